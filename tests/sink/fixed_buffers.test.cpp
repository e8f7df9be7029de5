// SPDX-License-Identifier: MIT

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/rings.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/fixed_buffers.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/uring.hpp>

// What a ring is told of once. That slots of registered pools keep law 1 is in uring.test.cpp.

namespace {

using namespace zcpool_test;
using zcpool::errc;
namespace sink = zcpool::sink;

/// Returns: null where io_uring, or SEND_ZC, is not to be had: then skip.
std::unique_ptr<zcpool::sys::uring> make_ring() {
    auto ring = zcpool::sys::uring::create(8);
    const bool has_it = ring && (*ring)->supports(zcpool::sys::op_send_zc);
    return has_it ? std::move(*ring) : nullptr;
}

#define NEED_SEND_ZC()                                                                             \
    if (make_ring() == nullptr) {                                                                  \
        SKIP("io_uring is not to be had, or before Linux 6.0");                                    \
    }

TEST_CASE("fixed_buffers: knows in which piece bytes lie, and nothing across two", "[sink]") {
    NEED_SEND_ZC();
    const held before;
    {
        const auto pool = make_pool({.slots = {16, 4}});
        const auto other = make_pool({.slots = {1, 1}});
        std::optional<sink::fixed_buffers> buffers{std::in_place, 64 * 1024};
        {
            const auto ring = make_ring();
            sink::registration_report report;
            REQUIRE(buffers->add(*ring, pool, report));
            CHECK(report.bytes == 5 * 64_KiB);
            const auto first = make_slice(pool, 64_KiB, 1);
            const auto second = make_slice(pool, 64_KiB, 1);
            const std::byte* const low = std::min(first.data(), second.data());
            const auto place = buffers->find(low, 64_KiB);
            REQUIRE(place);
            CHECK(buffers->find(low + 1, 64_KiB - 1) == place);
            CHECK(buffers->find(low + 64_KiB - 1, 1) == place);
            CHECK(buffers->find(low + 64_KiB, 1) == *place + 1);
            CHECK_FALSE(buffers->find(low + 1, 64_KiB));
            const auto foreign = make_slice(other, 64_KiB, 1);
            CHECK_FALSE(buffers->find(foreign.data(), 1));
            REQUIRE(buffers->add(*ring, pool, report));  // nothing happens
            CHECK(report.bytes == 5 * 64_KiB);
            REQUIRE(buffers->add(*ring, other, report));
            CHECK(report.bytes == 5 * 64_KiB + 68_KiB);
            CHECK(buffers->find(foreign.data(), 1) == 5);
            CHECK(pool.trim() == 0);
            CHECK(other.trim() == 0);
        }
        buffers.reset();
        CHECK(pool.trim() != 0);
        CHECK(other.trim() != 0);
    }
    CHECK(before == held{});
}

TEST_CASE("fixed_buffers: a pool of more pieces than there are places is refused", "[sink]") {
    NEED_SEND_ZC();
    const auto pool = make_pool({.slots = {65, 1}});
    const auto ring = make_ring();
    sink::fixed_buffers buffers{4096};
    sink::registration_report report;
    CHECK(buffers.add(*ring, pool, report).error() == errc::too_large);
    CHECK(report.refusal == errc::too_large);
    CHECK(std::string{report.text}.find(std::to_string(65 * 4_KiB + 64_KiB)) != std::string::npos);
    CHECK(pool.trim() != 0);
}

TEST_CASE("fixed_buffers: a pool that replaces pages is refused, in words", "[sink]") {
    NEED_SEND_ZC();
    const auto pool = make_pool(lending_options(1, 1));
    const auto ring = make_ring();
    sink::fixed_buffers buffers;
    sink::registration_report report;
    CHECK(buffers.add(*ring, pool, report).error() == errc::pages_replaceable);
    CHECK(std::string{report.text}.find("lending::never") != std::string::npos);
}

TEST_CASE("fixed_buffers: a ring clones what another one has, and keeps it when that ends",
          "[sink]") {
    NEED_SEND_ZC();
    const held before;
    {
        const auto pool = make_pool({.slots = {2, 2}});
        connection link = tcp_pair();
        auto first = sink::send_ring::create(8).value();
        const auto second = sink::send_ring::create(8).value();
        sink::registration_report report;
        REQUIRE(first->register_pool(pool));
        REQUIRE(second->register_all_of(*first, &report));
        CHECK(report.bytes == 2 * (4_KiB + 64_KiB));
        WARN("cloned: " << report.is_cloned);
        const auto part = make_slice(pool, 60'000, 7);
        CHECK(second->registered_place(part.data(), part.size()) == 0);
        first.reset();
        CHECK(pool.trim() == 0);
        sink::uring out{link.ours.get(), *second};
        out.push(part);
        CHECK(settle_ring(out) == sink::state::done);
        CHECK(out.stats().lent_bytes == 60'000);
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 7));
        // A pool that comes later has the next place.
        const auto late = make_pool({.slots = {1, 1}});
        REQUIRE(second->register_pool(late));
        CHECK(second->registered_place(make_slice(late, 1, 1).data(), 1) == 1);
    }
    CHECK(before == held{});
}

TEST_CASE("fixed_buffers: with the guard off a ring sends what a slot held before its renewal",
          "[sink]") {
    NEED_SEND_ZC();
    const auto pool = make_pool(lending_options(1, 1));
    connection link = tcp_pair();
    const auto ring = sink::send_ring::create(8).value();
    auto old = make_slice(pool, 64_KiB, 1);
    auto* const memory = const_cast<std::byte*>(old.data());
    REQUIRE(ring->ring().reserve_buffers(1));
    REQUIRE(ring->ring().set_buffer(0, {memory, 64_KiB}));
    REQUIRE(old.lend());
    old = {};
    const auto fresh = make_slice(pool, 64_KiB, 2);  // on new pages, at the same address
    REQUIRE(fresh.data() == memory);
    const sink::ring_line_ref line{new sink::ring_line};
    line->parts[0] = {memory, 64_KiB};
    line->message.msg_iov = line->parts.data();
    line->message.msg_iovlen = 1;
    sink::send_ring::sent what;
    REQUIRE(what.slices.append(fresh));
    what.line = line.share();
    REQUIRE(
        ring->send({.fd = link.ours.get(), .way = sink::send_way::registered}, std::move(what)));
    CHECK(read_exactly(link.peer.get(), 64_KiB) == pattern(64_KiB, 1));  // stale, with success
    ring->finish();
    CHECK(line->result == 64 * 1024);
}

// Run as a user without privileges (tests/support/with_memlock.sh).
TEST_CASE("fixed_buffers: beyond RLIMIT_MEMLOCK nothing is registered, and the report says why",
          "[sink][.memlock]") {
    const char* const text = std::getenv("ZCPOOL_TEST_MEMLOCK");
    if (text == nullptr) {
        SKIP("ZCPOOL_TEST_MEMLOCK is not set: run tests/support/with_memlock.sh");
    }
    const std::size_t limit = std::stoul(text);
    const held before;
    {
        auto first = zcpool::sys::uring::create(4);
        auto second = zcpool::sys::uring::create(4);
        if (!first || !second) {
            SKIP("the limit does not even allow a ring");
        }
        const auto large = make_pool({.slots = {static_cast<std::uint32_t>(limit / 4096 + 1), 1},
                                      .locking = zcpool::lock_policy::none});
        const auto half = make_pool({.slots = {static_cast<std::uint32_t>(limit / 4096 / 2), 1},
                                     .locking = zcpool::lock_policy::none});
        sink::registration_report report;
        sink::fixed_buffers of_first{256 * 1024};
        const auto refused = of_first.add(**first, large, report);
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == std::errc::not_enough_memory);
        CHECK(report.soft_limit == limit);
        CHECK(std::string{report.text}.find("ulimit -l") != std::string::npos);
        CHECK_FALSE(of_first.find(make_slice(large, 1, 1).data(), 1));
        CHECK(large.trim() != 0);
        // What was registered of it by then is charged no more.
        const auto kept = of_first.add(**first, half, report);
        if (limit >= 8'000'000) {
            REQUIRE(kept);
            // The same pages again would be charged again; cloned they are not.
            sink::fixed_buffers of_second{256 * 1024};
            sink::registration_report second_report;
            const auto done = of_second.add_all_of(**second, of_first, **first, second_report);
            CHECK(done.has_value() == second_report.is_cloned);
            second->reset();
        }
        first->reset();
    }
    CHECK(before == held{});
}

}  // namespace
