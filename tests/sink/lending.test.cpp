// SPDX-License-Identifier: MIT
#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/lending.hpp>

// What the sinks without a receipt promise, beyond what all do (sink.test.cpp). That nobody sees a
// byte change is in lifetime.test.cpp.

namespace {

using namespace zcpool_test;
using zcpool::slice;
namespace sink = zcpool::sink;

TEMPLATE_TEST_CASE("lending: what may not be lent is copied and counted", "[sink]", sink::sendfile,
                   sink::splice, sink::vmsplice) {
    connection link = unix_pair();
    TestType out{link.ours.get()};
    SECTION("a pool that never lends") {
        const auto pool = make_pool({.slots = {1, 2}});
        out.push(make_slice(pool, 60'000, 1));
        REQUIRE(out.flush() == sink::state::done);
        CHECK(pool.stats()[1].copied_bytes == 60'000);
        CHECK(pool.stats()[1].lent == 0);
    }
    SECTION("adopted memory") {
        auto owner = std::make_unique<std::vector<std::byte>>(pattern(60'000, 1));
        const std::span<const std::byte> bytes{*owner};
        out.push(slice::adopt(bytes, std::move(owner)).value());
        REQUIRE(out.flush() == sink::state::done);
    }
    SECTION("a pool whose lent budget is used up") {
        auto options = lending_options(1, 2);
        options.lent_budget_permille = 0;
        options.lent_settle_time = std::chrono::hours{1};
        const auto pool = make_pool(options);
        out.push(make_slice(pool, 60'000, 1));
        REQUIRE(out.flush() == sink::state::done);
        CHECK(pool.stats()[1].copied_bytes == 60'000);
        CHECK(pool.stats()[1].lent == 0);
    }
    CHECK(out.stats().fallback_bytes >= 60'000 - 1);
    CHECK(out.stats().lent_bytes == 0);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
}

TEMPLATE_TEST_CASE("lending: may copy what is not sent often, and lends it from then on", "[sink]",
                   sink::sendfile, sink::splice, sink::vmsplice) {
    const auto pool = make_pool(lending_options(1, 1));
    connection link = unix_pair();
    TestType out{link.ours.get(), {.copies_first = 2}};
    const auto send = [&](const slice& each) {
        out.push(each);
        REQUIRE(out.flush() == sink::state::done);
        static_cast<void>(read_exactly(link.peer.get(), each.size()));
    };
    {
        const slice cached = make_slice(pool, 60'000, 1);
        send(cached);
        send(cached);
        CHECK(out.stats().lent_bytes == 0);
        send(cached);
        CHECK(out.stats().lent_bytes == 60'000);
        CHECK(out.stats().fallback_bytes == 0);
    }
    {
        // Every slice of a run is counted, not only its first.
        const auto other = make_pool(lending_options(1, 2));
        const slice one = make_slice(other, 20'000, 3);
        const slice two = make_slice(other, 20'000, 4);
        out.push(one);
        out.push(two);
        REQUIRE(out.flush() == sink::state::done);
        CHECK(one.copied_sends() == 1);
        CHECK(two.copied_sends() == 1);
        static_cast<void>(read_exactly(link.peer.get(), 40'000));
    }
    const slice next = make_slice(pool, 60'000, 2);  // other content in the same slot counts anew
    send(next);
    CHECK(out.stats().lent_bytes == 60'000);
}

TEMPLATE_TEST_CASE("lending: a slice sent to many is lent once and renewed once", "[sink]",
                   sink::sendfile, sink::splice, sink::vmsplice) {
    const auto pool = make_pool(lending_options(1, 1));
    std::vector<connection> links;
    {
        const slice cached = make_slice(pool, 60'000, 7);
        for (int i = 0; i < 5; ++i) {
            links.push_back(unix_pair());
            TestType out{links.back().ours.get()};
            out.push(cached);
            REQUIRE(out.flush() == sink::state::done);
        }
    }
    auto next = pool.try_acquire(60'000);
    REQUIRE(next);
    fill(next.space(), 8);
    for (const connection& link : links) {
        CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 7));
    }
    CHECK(pool.stats()[1].lent == 1);
    CHECK(pool.stats()[1].renewed == 1);
}

TEMPLATE_TEST_CASE("lending: falling back is counted as far as it went", "[sink]", sink::sendfile,
                   sink::splice, sink::vmsplice) {
    const auto pool = make_pool({.slots = {2, 2}});  // never lends
    connection link = unix_pair();
    TestType out{link.ours.get(), {.copy_below = 1'000}};
    const faults broken;
    faults::shorten_sends(500);
    out.push(make_slice(pool, 1'200, 1));
    out.push(make_slice(pool, 300, 2));
    REQUIRE(out.flush() == sink::state::done);
    CHECK(out.stats().copied_bytes == 1'500);
    // The first 500 bytes should have been lent; the rest of 700 is small enough to be copied.
    CHECK(out.stats().fallback_bytes == 500);
    CHECK(read_exactly(link.peer.get(), 1'200) == pattern(1'200, 1));
    CHECK(read_exactly(link.peer.get(), 300) == pattern(300, 2));
}

TEMPLATE_TEST_CASE(
    "lending: a send counts towards lending when it is whole, and only of large slices", "[sink]",
    sink::sendfile, sink::splice, sink::vmsplice) {
    const auto pool = make_pool(lending_options(2, 2));
    connection link = unix_pair();
    TestType out{link.ours.get(), {.copies_first = 3}};
    const slice large = make_slice(pool, 40'000, 1);
    const slice small = make_slice(pool, 100, 2);
    const faults broken;
    faults::shorten_sends(30'000);
    out.push(large);
    out.push(small);
    REQUIRE(out.flush() == sink::state::done);
    CHECK(large.copied_sends() == 0);  // in two parts, of which the last is small
    CHECK(small.copied_sends() == 0);
    faults::shorten_sends(SIZE_MAX);
    out.push(large);
    out.push(small);
    REQUIRE(out.flush() == sink::state::done);
    CHECK(large.copied_sends() == 1);
    CHECK(small.copied_sends() == 0);
}

}  // namespace
