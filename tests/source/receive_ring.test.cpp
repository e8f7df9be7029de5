// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/receive_rings.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/source/uring.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;

TEST_CASE("receive_ring: has as many slots as it was told, or as there are, and gives all back",
          "[source]") {
    const auto pool = make_pool({.slots = {6, 1}});
    if (!test_receive_ring(pool, {})) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const held before;
    for (const unsigned buffers : {1U, 4U, 8U}) {
        {
            const auto ring = test_receive_ring(pool, {.buffers = buffers, .buffer_bytes = 4_KiB});
            CHECK(ring->with_kernel() == (buffers == 8 ? 6U : buffers));
            CHECK(slots_in_use(pool) == ring->with_kernel());
            CHECK(ring->in_flight() == 0);
        }
        CHECK(slots_in_use(pool) == 0);
    }
    CHECK(before == held{});
}

TEST_CASE("receive_ring: what it cannot have is told", "[source]") {
    const auto pool = make_pool({.slots = {1, 1}});
    if (!test_receive_ring(pool, {})) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    CHECK(source::receive_ring::create(pool, {.buffer_bytes = 1 << 20}).error() ==
          zcpool::errc::too_large);
    CHECK(source::receive_ring::create(pool, {.buffers = 3}).error() ==
          zcpool::errc::invalid_options);
    const zcpool::buffer only = pool.try_acquire(64_KiB);
    CHECK(source::receive_ring::create(pool).error() == zcpool::errc::exhausted);
}

TEST_CASE("receive_ring: tells of each source that something came for, once", "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    const auto ring = test_receive_ring(pool, {.buffers = 8, .buffer_bytes = 4_KiB});
    if (!ring) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    connection links[] = {unix_pair(), unix_pair(), unix_pair()};
    std::vector<source::uring> ins;
    for (connection& each : links) {
        ins.emplace_back(each.ours.get(), *ring);
        CHECK(ins.back().pull() == source::state::blocked);
    }
    for (source::uring& each : ins) {
        each.set_owner(&each);
    }
    const auto told = [&] {
        std::vector<source::uring*> all;
        ring->reap();
        ring->announce([&](void* owner) { all.push_back(static_cast<source::uring*>(owner)); });
        return all;
    };
    CHECK(told().empty());
    REQUIRE(::write(links[0].peer.get(), "a", 1) == 1);
    REQUIRE(::write(links[2].peer.get(), "b", 1) == 1);
    pollfd readable{ring->fd(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
    const auto first = told();
    REQUIRE(first.size() == 2);
    CHECK(first[0] != first[1]);
    CHECK(first[0] != &ins[1]);
    CHECK(first[1] != &ins[1]);
    CHECK(told().empty());
    // One that was pulled meanwhile has heard already.
    REQUIRE(::write(links[1].peer.get(), "c", 1) == 1);
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
    CHECK(ins[1].pull() == source::state::data);
    CHECK(told().empty());
}

TEST_CASE("receive_ring: what was in flight when it ended writes to no slot that is free",
          "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    if (!test_receive_ring(pool, {})) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    for (int i = 0; i < 50; ++i) {
        connection link = unix_pair();
        {
            const auto ring = test_receive_ring(pool, {.buffers = 4, .buffer_bytes = 4_KiB});
            source::uring in{link.ours.get(), *ring};
            CHECK(in.pull() == source::state::blocked);
            if (i % 2 == 0) {
                const source::uring gone{std::move(in)};
            }
            CHECK(ring->in_flight() <= 1);
        }
        std::vector<zcpool::buffer> all(4);
        REQUIRE(zcpool::pool_view{pool}.acquire_many(4_KiB, all) == 4);
        for (auto& each : all) {
            fill(each.space(), 7);
        }
        const auto evil = pattern(4096, 8);
        REQUIRE(::write(link.peer.get(), evil.data(), evil.size()) == 4096);
        ::usleep(100);
        for (auto& each : all) {
            const auto now = each.space();
            CHECK(std::vector<std::byte>(now.begin(), now.end()) == pattern(4096, 7));
        }
        // And they are still in the socket: nobody took them on the way.
        CHECK(read_exactly(link.ours.get(), 4096) == evil);
    }
}

}  // namespace
