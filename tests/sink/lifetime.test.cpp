// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/huge_pages.hpp>
#include <support/lifetime.hpp>
#include <support/pools.hpp>
#include <support/scale.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/sink.hpp>

// A slow reader sees the bytes as they were when they were sent, however soon the slot is used
// again; and the test that shows it sees corruption where renewal is switched off. Tiny pools: in a
// large one the hazard hides.

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
namespace sink = zcpool::sink;

/// A pool of one arena, of which every slot is `Bytes`.
template <std::size_t Bytes>
auto make_arena(zcpool::arena_backing backing) {
    auto options = arena_options(zcpool::huge_page_size / Bytes, 0);
    options.arenas = backing;
    auto pool = make_pool<zcpool::pool<zcpool::size_classes<Bytes>>>(options);
    INFO(pool.report().arenas.text);
    REQUIRE(pool.report().lending == zcpool::lending::arena);
    return pool;
}

/// Sends from all slots of a pool of one arena, uses all of them again at once, and only then lets
/// the peer read.
///
/// Returns: of how many messages the peer read something else than was sent.
template <class Sink>
int arena_messages_changed(zcpool::pool_view pool, connector connect, int rounds) {
    constexpr std::size_t size = 16 * 1024;  // two fit into the queues of every kind of link
    constexpr std::size_t slots = 2;
    connection link = connect();
    Sink out{link.ours.get()};
    int changed = 0;
    std::vector<std::byte> room(size);
    for (int i = 0; i < rounds; ++i) {
        for (std::size_t slot = 0; slot < slots; ++slot) {
            auto into = pool.try_acquire(pool.largest());
            REQUIRE(into);
            fill(into.space().first(size), slots * static_cast<std::uint64_t>(i) + slot);
            into.commit(size);
            out.push(std::move(into).freeze());
        }
        while (settle(out) == sink::state::blocked) {
            REQUIRE(wait_writable(link.ours.get()));
        }
        REQUIRE(out.stats().copied_bytes == 0);
        for (std::size_t slot = 0; slot < slots; ++slot) {
            auto next = pool.try_acquire(pool.largest());
            REQUIRE(next);
            fill(next.space(), ~std::uint64_t{slot});
        }
        for (std::size_t slot = 0; slot < slots; ++slot) {
            const auto seed = slots * static_cast<std::uint64_t>(i) + slot;
            changed += reads_pattern(link.peer.get(), room, seed) ? 0 : 1;
        }
    }
    return changed;
}

constexpr connector all_links[] = {unix_pair, tcp_pair, pipe_pair};

TEMPLATE_TEST_CASE("lifetime: a slot used again at once changes nothing for a slow reader",
                   "[sink][.zerocopy]", sink::write, LENDING_SINKS, lending_zerocopy) {
    CHECK(messages_changed<TestType>(unix_pair, 100, true) == 0);
    CHECK(messages_changed<TestType>(tcp_pair, 100, true) == 0);
    CHECK(messages_changed<TestType>(pipe_pair, 100, true) == 0);
}

TEMPLATE_TEST_CASE("lifetime: with renewal switched off the same test sees corruption",
                   "[sink][.zerocopy]", LENDING_SINKS) {
    CHECK(messages_changed<TestType>(unix_pair, 100, false) >= 99);
    CHECK(messages_changed<TestType>(tcp_pair, 100, false) >= 99);
    CHECK(messages_changed<TestType>(pipe_pair, 100, false) >= 99);
}

TEST_CASE("lifetime: a sink that copies needs no renewal", "[sink][.zerocopy]") {
    CHECK(messages_changed<sink::write>(tcp_pair, 100, false) == 0);
}

TEMPLATE_TEST_CASE(
    "lifetime: however a connection ends, what was in flight is not used again too early",
    "[sink][.zerocopy]", sink::write, LENDING_SINKS, lending_zerocopy) {
    const auto pool = make_pool(lending_options(1, 256));
    const auto times = static_cast<int>(scaled(50));
    for (const ending how : all_endings) {
        CAPTURE(static_cast<int>(how));
        CHECK(endings_changed<TestType>(pool, how, times, wait_for_lingering) == 0);
    }
}

TEMPLATE_TEST_CASE("lifetime: with renewal switched off a connection that ends shows corruption",
                   "[sink][.zerocopy]", LENDING_SINKS) {
    const auto pool = make_pool(lending_options(1, 256));
    const faults broken;
    faults::switch_renewal_off();
    for (const ending how : {ending::peer_reads, ending::shut_down, ending::closed}) {
        CAPTURE(static_cast<int>(how));
        CHECK(endings_changed<TestType>(pool, how, 20, wait_for_lingering) >= 19);
    }
}

TEMPLATE_TEST_CASE("lifetime: messages of all sizes to sleepy readers arrive as they were sent",
                   "[sink][.zerocopy]", sink::write, LENDING_SINKS, lending_zerocopy) {
    CHECK(wrong_messages<TestType>(tcp_pair, scaled(20'000), run_seed()) == 0);
}

TEMPLATE_TEST_CASE(
    "lifetime: between two network namespaces corruption shows with renewal switched off",
    "[sink][.veth]", LENDING_SINKS) {
    if (!has_veth()) {
        SKIP("ZCPOOL_TEST_NETNS_A is not set: run tests/support/with_veth.sh");
    }
    CHECK(messages_changed<TestType>(veth_pair, 100, false) >= 99);
    CHECK(messages_changed<TestType>(veth_pair, 100, true) == 0);
    CHECK(messages_changed<sink::write>(veth_pair, 100, true) == 0);
}

TEMPLATE_TEST_CASE(
    "lifetime: between two network namespaces messages of all sizes arrive as they were sent",
    "[sink][.veth]", sink::write, LENDING_SINKS, lending_zerocopy) {
    if (!has_veth()) {
        SKIP("ZCPOOL_TEST_NETNS_A is not set: run tests/support/with_veth.sh");
    }
    CHECK(wrong_messages<TestType>(veth_pair, scaled(20'000), run_seed()) == 0);
}

TEST_CASE("lifetime: an arena used again at once changes nothing for a slow reader, by address",
          "[sink][.zerocopy]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_arena<1_MiB>(zcpool::arena_backing::anonymous);
    for (const connector connect : all_links) {
        CHECK(arena_messages_changed<lending_vmsplice>(pool, connect, 100) == 0);
    }
    CHECK(pool.stats()[0].renewed >= 2 * 299);
    const faults broken;
    faults::switch_renewal_off();
    for (const connector connect : all_links) {
        CHECK(arena_messages_changed<lending_vmsplice>(pool, connect, 100) >= 198);
    }
}

TEMPLATE_TEST_CASE("lifetime: an arena used again at once changes nothing for a slow reader",
                   "[sink][.zerocopy]", LENDING_SINKS) {
    const shmem_huge_pages allowed{"advise"};
    if (!allowed.was_granted()) {
        SKIP("shmem_enabled may not be set to advise");
    }
    const auto pool = make_arena<1_MiB>(zcpool::arena_backing::memfd);
    for (const connector connect : all_links) {
        CHECK(arena_messages_changed<TestType>(pool, connect, 100) == 0);
    }
    CHECK(pool.stats()[0].renewed >= 2 * 299);
    const faults broken;
    SECTION("with renewal switched off the same test sees corruption") {
        faults::switch_renewal_off();
    }
    SECTION("and where each slot is renewed by itself, a part of a huge page") {
        faults::split_punches(1_MiB);
    }
    for (const connector connect : all_links) {
        CHECK(arena_messages_changed<TestType>(pool, connect, 100) >= 198);
    }
}

TEST_CASE("lifetime: messages of all sizes from one arena arrive as they were sent, by address",
          "[sink][.zerocopy]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_arena<64_KiB>(zcpool::arena_backing::anonymous);
    CHECK(wrong_messages<lending_vmsplice>(pool, tcp_pair, scaled(10'000), run_seed()) == 0);
    CHECK(wrong_messages<lending_vmsplice>(pool, unix_pair, scaled(10'000), run_seed()) == 0);
    CHECK(pool.stats()[0].renewed > 500);
}

TEMPLATE_TEST_CASE("lifetime: messages of all sizes from one arena arrive as they were sent",
                   "[sink][.zerocopy]", LENDING_SINKS) {
    const shmem_huge_pages allowed{"advise"};
    if (!allowed.was_granted()) {
        SKIP("shmem_enabled may not be set to advise");
    }
    const auto pool = make_arena<1_MiB>(zcpool::arena_backing::memfd);
    CHECK(wrong_messages<TestType>(pool, tcp_pair, scaled(5'000), run_seed()) == 0);
    CHECK(wrong_messages<TestType>(pool, unix_pair, scaled(5'000), run_seed()) == 0);
}

}  // namespace
