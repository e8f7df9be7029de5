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

using connector = connection (*)();

/// Runs something in a thread that has entered a network namespace; sockets made there stay there.
template <class Work>
void in_namespace(const char* name, Work work) {
    bool entered = false;
    std::thread{[&] {
        const unique_fd space{
            ::open((std::string{"/run/netns/"} + name).c_str(), O_RDONLY | O_CLOEXEC)};
        entered = ::setns(space.get(), CLONE_NEWNET) == 0;
        if (entered) {
            work();
        }
    }}.join();
    REQUIRE(entered);
}

/// A TCP connection between the two namespaces of tests/support/with_veth.sh.
connection veth_pair() {
    std::unique_ptr<listener> server;
    unique_fd peer;
    in_namespace(std::getenv("ZCPOOL_TEST_NETNS_A"),
                 [&] { server = std::make_unique<listener>(std::getenv("ZCPOOL_TEST_ADDR_A")); });
    in_namespace(std::getenv("ZCPOOL_TEST_NETNS_B"), [&] { peer = connect_to(server->address); });
    connection made{server->accept(), std::move(peer)};
    make_nonblocking(made.ours.get());
    return made;
}

bool has_veth() { return std::getenv("ZCPOOL_TEST_NETNS_A") != nullptr; }

/// Sends from a pool of one slot, uses the slot again at once, and only then lets the peer read.
///
/// Returns: of how many messages the peer read something else than was sent.
template <class Sink>
int messages_changed(connector connect, int messages, bool renewing) {
    constexpr std::size_t size = 32 * 1024;  // fits into the queues of every kind of link
    using one_slot = zcpool::pool<zcpool::size_classes<32_KiB>>;
    const auto pool = make_pool<one_slot>(lending_options(1, 0));
    connection link = connect();
    Sink out{link.ours.get()};
    const faults broken;
    if (!renewing) {
        faults::switch_renewal_off();
    }
    int changed = 0;
    for (int i = 0; i < messages; ++i) {
        const auto seed = static_cast<std::uint64_t>(i);
        out.push(make_slice(pool, size, seed));
        while (settle(out) == sink::state::blocked) {
            REQUIRE(wait_writable(link.ours.get()));
        }
        auto next = pool.try_acquire(size);
        REQUIRE(next);
        fill(next.space(), ~seed);
        changed += read_exactly(link.peer.get(), size) != pattern(size, seed) ? 1 : 0;
    }
    return changed;
}

/// What one message is, known to both sides by its number.
struct message_plan {
    std::size_t size;
    std::chrono::milliseconds delay;

    static message_plan of(std::uint64_t number, std::size_t largest) {
        std::mt19937_64 random{number};
        // As many sizes between 1 and 2 as between 512 KiB and 1 MiB; three in a thousand readers
        // sleep.
        const auto bits = random() % 21;
        const auto size = std::min<std::size_t>(
            (std::size_t{1} << bits) + random() % (std::size_t{1} << bits), largest);
        return {size, std::chrono::milliseconds{random() % 1000 < 3 ? random() % 501 : 0}};
    }
};

/// Sends messages of all sizes that a pool has over several connections to readers that sleep now
/// and then.
///
/// Returns: how many messages were not what was sent.
template <class Sink>
long wrong_messages(zcpool::pool_view pool, connector connect, long messages, std::uint64_t seed) {
    constexpr std::size_t readers = 4;
    const std::size_t largest = pool.largest();
    std::vector<connection> links;
    std::vector<std::thread> threads;
    std::atomic<long> wrong{0};
    for (std::size_t r = 0; r < readers; ++r) {
        links.push_back(connect());
        threads.emplace_back([&wrong, fd = links.back().peer.get(), r, messages, seed, largest] {
            for (auto number = r; number < static_cast<std::uint64_t>(messages);
                 number += readers) {
                const auto plan = message_plan::of(seed + number, largest);
                std::this_thread::sleep_for(plan.delay);
                wrong += read_exactly(fd, plan.size) != pattern(plan.size, seed + number) ? 1 : 0;
            }
        });
    }
    std::vector<Sink> sinks;
    for (const connection& link : links) {
        sinks.emplace_back(link.ours.get());
    }
    bool alive = true;
    for (std::uint64_t number = 0; alive && number < static_cast<std::uint64_t>(messages);
         ++number) {
        const auto plan = message_plan::of(seed + number, largest);
        // Who waits for a slot must hear meanwhile that the kernel has done with one.
        auto into = pool.acquire_for(plan.size, 1ms);
        for (int i = 0; !into && i < 60'000; ++i) {
            for (Sink& each : sinks) {
                static_cast<void>(each.flush());
            }
            into = pool.acquire_for(plan.size, 1ms);
        }
        REQUIRE(into.has_value());
        fill(into->space().first(plan.size), seed + number);
        into->commit(plan.size);
        Sink& out = sinks[number % readers];
        out.push(std::move(*into).freeze());
        auto state = out.flush();
        while (state == sink::state::blocked && wait_writable(links[number % readers].ours.get())) {
            state = out.flush();
        }
        alive = state == sink::state::done || state == sink::state::pending;
    }
    CHECK(alive);
    for (Sink& out : sinks) {
        CHECK(settle(out) == sink::state::done);
    }
    for (connection& link : links) {
        link.ours.reset();  // readers that miss something come to an end
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(slots_in_use(pool) == 0);
    return wrong;
}

/// Likewise from a pool of two slots.
template <class Sink>
long wrong_messages(connector connect, long messages, std::uint64_t seed) {
    using two_slots = zcpool::pool<zcpool::size_classes<1_MiB>>;
    const auto pool = make_pool<two_slots>(lending_options(2, 0));
    return wrong_messages<Sink>(pool, connect, messages, seed);
}

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
            changed += read_exactly(link.peer.get(), size) != pattern(size, seed) ? 1 : 0;
        }
    }
    return changed;
}

constexpr connector all_links[] = {unix_pair, tcp_pair, pipe_pair};

std::uint64_t run_seed() {
    const std::uint64_t seed = std::random_device{}();
    WARN("seed " << seed);
    return seed;
}

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
