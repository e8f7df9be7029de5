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

    static message_plan of(std::uint64_t number) {
        std::mt19937_64 random{number};
        // As many sizes between 1 and 2 as between 512 KiB and 1 MiB; three in a thousand readers
        // sleep.
        const auto bits = random() % 21;
        const auto size = std::min<std::size_t>(
            (std::size_t{1} << bits) + random() % (std::size_t{1} << bits), 1_MiB);
        return {size, std::chrono::milliseconds{random() % 1000 < 3 ? random() % 501 : 0}};
    }
};

/// Sends messages of all sizes from a pool of two slots over several connections to readers that
/// sleep now and then.
///
/// Returns: how many messages were not what was sent.
template <class Sink>
long wrong_messages(connector connect, long messages, std::uint64_t seed) {
    constexpr std::size_t readers = 4;
    using two_slots = zcpool::pool<zcpool::size_classes<1_MiB>>;
    const auto pool = make_pool<two_slots>(lending_options(2, 0));
    std::vector<connection> links;
    std::vector<std::thread> threads;
    std::atomic<long> wrong{0};
    for (std::size_t r = 0; r < readers; ++r) {
        links.push_back(connect());
        threads.emplace_back([&wrong, fd = links.back().peer.get(), r, messages, seed] {
            for (auto number = r; number < static_cast<std::uint64_t>(messages);
                 number += readers) {
                const auto plan = message_plan::of(seed + number);
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
        const auto plan = message_plan::of(seed + number);
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

}  // namespace
