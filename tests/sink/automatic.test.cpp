// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/huge_pages.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/automatic.hpp>

// What it chooses and why. What all sinks promise is in sink.test.cpp, what those that lend do in
// lending.test.cpp and piped.test.cpp, that no byte changes in lifetime.test.cpp.

namespace {

using namespace zcpool_test;
using zcpool::slice;
using zcpool::sink::path_probe;
using zcpool::sink::peer_path;
using zcpool::sink::route;
namespace sink = zcpool::sink;

/// Sends a slice and reads it at the other end.
void send(sink::automatic& out, const connection& link, const slice& each) {
    out.push(each);
    REQUIRE(out.flush() != sink::state::failed);
    const auto got = read_exactly(link.peer.get(), each.size());
    CHECK(std::equal(got.begin(), got.end(), each.bytes().begin(), each.bytes().end()));
    REQUIRE(settle(out) == sink::state::done);
}

TEST_CASE("automatic: copies what is small, and with it what is not worth more", "[sink]") {
    const auto pool = make_pool(lending_options(8, 8));
    connection link = unix_pair();
    sink::automatic out{link.ours.get()};
    out.push(make_slice(pool, 200, 1));
    out.push(make_slice(pool, 30'000, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().calls == 1);  // a head and its body
    CHECK(out.report().last == route::copy);
    CHECK(read_exactly(link.peer.get(), 200) == pattern(200, 1));
    CHECK(read_exactly(link.peer.get(), 30'000) == pattern(30'000, 2));
}

TEST_CASE("automatic: lends what was sent often enough to pay for new pages", "[sink]") {
    const auto pool = make_pool(lending_options(8, 8));
    connection link = unix_pair();
    sink::automatic out{link.ours.get(), {.lend_after = 3}};
    const slice body = make_slice(pool, 60'000, 1);
    for (int i = 0; i < 3; ++i) {
        send(out, link, body);
        CHECK(out.report().last == route::copy);
    }
    CHECK(out.stats().copied_bytes == 180'000);
    CHECK(pool.stats()[1].lent == 0);
    send(out, link, body);
    CHECK(out.report().last == route::lend);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(pool.stats()[1].lent == 1);
    CHECK(out.stats().fallback_bytes == 0);
    send(out, link, make_slice(pool, 60'000, 2));  // other content
    CHECK(out.report().last == route::copy);
}

TEST_CASE("automatic: lends from an arena at once", "[sink]") {
    if (!has_huge_pages()) {
        SKIP("no huge pages are to be had");
    }
    const auto pool = make_pool(arena_options(8, 8));
    connection link = unix_pair();
    sink::automatic out{link.ours.get()};
    send(out, link, make_slice(pool, 60'000, 1));
    CHECK(out.report().last == route::lend);
    CHECK(out.stats().lent_bytes == 60'000);
    CHECK(out.stats().fallback_bytes == 0);
}

TEST_CASE("automatic: never lends from a pool that does not, nor counts that as falling back",
          "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    connection link = unix_pair();
    sink::automatic out{link.ours.get(), {.lend_after = 1}};
    const slice body = make_slice(pool, 60'000, 1);
    for (int i = 0; i < 4; ++i) {
        send(out, link, body);
    }
    CHECK(out.stats().copied_bytes == 240'000);
    CHECK(out.stats().fallback_bytes == 0);
    CHECK(pool.stats()[1].copied_bytes == 0);
}

TEST_CASE("automatic: tries a way once, and copies where that copies", "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    connection link = tcp_pair();
    sink::automatic out{link.ours.get()};
    const slice body = make_slice(pool, 60'000, 1);
    send(out, link, body);
    CHECK(out.report().last == route::refer);
    CHECK(out.report().referred_bytes == 60'000);
    if (out.report().path != peer_path::copies) {
        SKIP("the loopback device of this kernel does not copy");
    }
    CHECK(out.report().pause_left == path_probe::first_pause);
    for (std::uint32_t i = 0; i < path_probe::first_pause; ++i) {
        send(out, link, body);
        REQUIRE(out.report().last == route::copy);
    }
    send(out, link, body);
    CHECK(out.report().last == route::refer);
    CHECK(out.report().pause_left == 2 * path_probe::first_pause);
    CHECK(out.report().referred.sent == 2);
    CHECK(out.stats().lent_bytes == 120'000);
    CHECK(out.stats().fallback_bytes == 0);
}

TEST_CASE("automatic: while a trial is under way the others are copied", "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    connection link = tcp_pair();
    sink::automatic out{link.ours.get()};
    out.push(make_slice(pool, 40'000, 1));
    out.push(make_slice(pool, 40'000, 2));
    REQUIRE(out.flush() != sink::state::failed);
    CHECK(out.stats().lent_bytes == 40'000);
    CHECK(out.stats().copied_bytes == 40'000);
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 1));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 2));
    CHECK(settle(out) == sink::state::done);
}

TEST_CASE("automatic: refers many with a call where the way does not copy", "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    connection link = tcp_pair();
    const faults broken;
    faults::forge_notices();  // as of a way that does not copy
    sink::automatic out{link.ours.get()};
    send(out, link, make_slice(pool, 40'000, 1));
    CHECK(out.report().path == peer_path::refers);
    const auto calls = out.stats().calls;
    out.push(make_slice(pool, 40'000, 2));
    out.push(make_slice(pool, 40'000, 3));
    out.push(make_slice(pool, 100, 4));
    static_cast<void>(out.flush());
    CHECK(out.stats().calls == calls + 2);
    CHECK(out.stats().lent_bytes == 120'000);
    CHECK(out.stats().copied_bytes == 100);
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 2));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 3));
    CHECK(read_exactly(link.peer.get(), 100) == pattern(100, 4));
    out.push(make_slice(pool, 100, 5));
    out.push(make_slice(pool, 40'000, 6));
    static_cast<void>(out.flush());
    CHECK(out.stats().lent_bytes == 160'000);
    CHECK(read_exactly(link.peer.get(), 100) == pattern(100, 5));
    CHECK(read_exactly(link.peer.get(), 40'000) == pattern(40'000, 6));
    static_cast<void>(settle(out));
}

TEST_CASE("automatic: what is refused for want of memory is copied, and rests", "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    connection link = tcp_pair();
    sink::automatic out{link.ours.get()};
    {
        const faults broken;
        faults::fail_references(ENOBUFS);
        send(out, link, make_slice(pool, 60'000, 1));
    }
    CHECK(out.report().last == route::copy);
    CHECK(out.report().pause_left == path_probe::first_pause);
    CHECK(out.report().referred.refused == 1);
    CHECK(out.stats().fallback_bytes == 60'000);
    send(out, link, make_slice(pool, 60'000, 2));
    CHECK(out.report().last == route::copy);
    CHECK(out.report().referred.sent == 0);
}

TEST_CASE("automatic: says why nothing goes by reference", "[sink]") {
    const auto pool = make_pool({.slots = {8, 8}});
    SECTION("a socket that cannot") {
        connection link = unix_pair();
        sink::automatic out{link.ours.get()};
        send(out, link, make_slice(pool, 60'000, 1));
        CHECK(out.report().refer_refusal.value() == EOPNOTSUPP);
        CHECK(out.report().last == route::copy);
        const slice next = make_slice(pool, 60'000, 2);
        faults counting;
        counting.fail_call(-1, 0);
        out.push(next);
        CHECK(out.flush() == sink::state::done);
        CHECK(faults::calls() == 1);  // it does not ask again
    }
    SECTION("a socket that takes the option, and no reference") {
        connection link = tcp_pair();
        sink::automatic out{link.ours.get()};
        const faults broken;
        faults::fail_references(EOPNOTSUPP);
        send(out, link, make_slice(pool, 60'000, 1));
        CHECK(out.report().refer_refusal.value() == EOPNOTSUPP);
        CHECK(out.report().last == route::copy);
    }
    SECTION("who was told not to") {
        connection link = tcp_pair();
        sink::automatic out{link.ours.get(), {.refer_from = SIZE_MAX}};
        send(out, link, make_slice(pool, 60'000, 1));
        CHECK_FALSE(out.report().refer_refusal);
        CHECK(out.report().referred.sent == 0);
    }
}

TEST_CASE("automatic: what is in flight when it ends is kept until the kernel has done", "[sink]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {8, 8}});
        connection link = tcp_pair();
        auto out = std::make_optional<sink::automatic>(link.ours.get());
        out->push(make_slice(pool, 60'000, 1));
        {
            faults broken;
            broken.fail_call(5, EAGAIN, 1'000);  // nothing is heard of yet
            CHECK(out->flush() == sink::state::pending);
            CHECK(out->interest() == sink::interest::error_queue);
        }
        auto second = std::make_optional<sink::automatic>(std::move(*out));
        out.reset();
        CHECK(second->in_flight() == 1);
        if (GENERATE(false, true)) {
            second.reset();
        } else {
            *second = sink::automatic{link.ours.get()};
        }
        CHECK(slots_in_use(pool) == 1);
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        for (int i = 0; i < 10'000 && sink::linger_list::common().poll() != 0; ++i) {
            ::usleep(1'000);
        }
        CHECK(slots_in_use(pool) == 0);
    }
    CHECK(before == held{});
}

}  // namespace
