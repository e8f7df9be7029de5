// SPDX-License-Identifier: MIT
#include <csignal>
#include <utility>

#include <support/allocations.hpp>
#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/write.hpp>

// Beyond what all sinks promise (sink.test.cpp).

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

TEST_CASE("write: its memory is free when flush returns, whatever the peer reads", "[sink]") {
    STATIC_REQUIRE(sink::write::receipts == sink::receipt::copied);
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = unix_pair();
    sink::write out{link.ours.get()};
    for (std::uint64_t i = 0; i < 10; ++i) {
        out.push(make_slice(pool, 4000, i));
        CHECK(out.flush() == sink::state::done);
        CHECK(slots_in_use(pool) == 0);
    }
    for (std::uint64_t i = 0; i < 10; ++i) {
        CHECK(read_exactly(link.peer.get(), 4000) == pattern(4000, i));
    }
    CHECK(pool.stats()[0].renewed == 0);
}

TEST_CASE("write: a push without memory is an error, and what was pushed is given back", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const connection link = unix_pair();
    const zcpool::slice one = make_slice(pool, 100, 1);
    const long failed = fail_each_allocation([&] {
        sink::write out{link.ours.get()};
        for (int i = 0; i < 64 && !out.error(); ++i) {
            out.push(one);
        }
        return out.error();
    });
    CHECK(failed > 0);
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("write: takes a buffer as it is", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = unix_pair();
    sink::write out{link.ours.get()};
    auto last = pool.try_acquire(10);
    REQUIRE(last);
    fill(last.space().first(10), 3);
    last.commit(10);
    out.push(std::move(last));
    CHECK(out.flush() == sink::state::done);
    CHECK(read_exactly(link.peer.get(), 10) == pattern(10, 3));
}

TEST_CASE("write: many slices go out in calls of 64", "[sink]") {
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = tcp_pair();
    sink::write out{link.ours.get()};
    const auto whole = make_slice(pool, 200, 4);
    for (std::size_t i = 0; i < 200; ++i) {
        out.push(whole.subslice(i, 1));
    }
    CHECK(out.flush() == sink::state::done);
    CHECK(out.stats().calls == 4);
    CHECK(read_exactly(link.peer.get(), 200) == pattern(200, 4));
}

TEST_CASE("write: a peer that has gone is an error, not a signal", "[sink]") {
    static volatile std::sig_atomic_t signals = 0;
    const auto previous = std::signal(SIGPIPE, [](int) { signals = signals + 1; });
    const auto pool = make_pool({.slots = {1, 1}});
    connection link = unix_pair();
    link.peer.reset();
    sink::write out{link.ours.get()};
    out.push(make_slice(pool, 10, 1));
    CHECK(out.flush() == sink::state::failed);
    CHECK(out.error() == std::errc::broken_pipe);
    std::signal(SIGPIPE, previous);
    CHECK(signals == 0);
}

}  // namespace
