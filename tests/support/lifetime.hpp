// SPDX-License-Identifier: MIT
#pragma once

// What law 1 says of a sink, tried: a slow reader sees the bytes as they were when they were sent,
// however soon the slot is used again, and however the connection ends. Tiny pools: in a large one
// the hazard hides.

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/scale.hpp>
#include <support/sinks.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/linger_list.hpp>
#include <zcpool/sink/sink.hpp>

namespace zcpool_test {

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
inline connection veth_pair() {
    std::unique_ptr<listener> server;
    unique_fd peer;
    in_namespace(std::getenv("ZCPOOL_TEST_NETNS_A"),
                 [&] { server = std::make_unique<listener>(std::getenv("ZCPOOL_TEST_ADDR_A")); });
    in_namespace(std::getenv("ZCPOOL_TEST_NETNS_B"), [&] { peer = connect_to(server->address); });
    connection made{server->accept(), std::move(peer)};
    make_nonblocking(made.ours.get());
    return made;
}

inline bool has_veth() { return std::getenv("ZCPOOL_TEST_NETNS_A") != nullptr; }

/// Whether the next bytes, as many as there is room for, are those that fill() writes.
inline bool reads_pattern(int fd, std::span<std::byte> room, std::uint64_t seed) {
    return read_all(fd, room) == room.size() && is_pattern(room, seed);
}

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
    std::vector<std::byte> room(size);
    for (int i = 0; i < messages; ++i) {
        const auto seed = static_cast<std::uint64_t>(i);
        out.push(make_slice(pool, size, seed));
        while (settle(out) == zcpool::sink::state::blocked) {
            REQUIRE(wait_writable(link.ours.get()));
        }
        auto next = pool.try_acquire(size);
        REQUIRE(next);
        fill(next.space(), ~seed);
        changed += reads_pattern(link.peer.get(), room, seed) ? 0 : 1;
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
            std::vector<std::byte> room(largest);
            for (auto number = r; number < static_cast<std::uint64_t>(messages);
                 number += readers) {
                const auto plan = message_plan::of(seed + number, largest);
                std::this_thread::sleep_for(plan.delay);
                const auto part = std::span{room}.first(plan.size);
                wrong += reads_pattern(fd, part, seed + number) ? 0 : 1;
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
        auto into = pool.acquire_for(plan.size, std::chrono::milliseconds{1});
        for (int i = 0; !into && i < 60'000; ++i) {
            for (Sink& each : sinks) {
                static_cast<void>(each.flush());
            }
            into = pool.acquire_for(plan.size, std::chrono::milliseconds{1});
        }
        REQUIRE(into.has_value());
        fill(into->space().first(plan.size), seed + number);
        into->commit(plan.size);
        Sink& out = sinks[number % readers];
        out.push(std::move(*into).freeze());
        auto state = out.flush();
        while (state == zcpool::sink::state::blocked &&
               wait_writable(links[number % readers].ours.get())) {
            state = out.flush();
        }
        alive = state == zcpool::sink::state::done || state == zcpool::sink::state::pending;
    }
    CHECK(alive);
    for (Sink& out : sinks) {
        CHECK(settle(out) == zcpool::sink::state::done);
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

inline std::uint64_t run_seed() {
    const std::uint64_t seed = std::random_device{}();
    WARN("seed " << seed);
    return seed;
}

/// Pushes messages of 60,000 bytes from a pool that has room for all until the socket takes no more
/// and what the peer's socket has taken is confirmed.
///
/// Returns: the bytes that were handed to the kernel, or to the sink's pipe.
template <class Sink>
std::vector<std::byte> fill_connection(Sink& out, zcpool::pool_view pool) {
    using zcpool::sink::state;
    std::vector<std::byte> sent;
    std::uint64_t number = 0;
    // The peer's socket may have taken more by the time it has confirmed what it has.
    for (auto now = state::done; now != state::blocked; now = out.flush()) {
        while (now != state::blocked) {
            REQUIRE(now != state::failed);
            const auto part = make_slice(pool, 60'000, number++);
            sent.insert(sent.end(), part.bytes().begin(), part.bytes().end());
            out.push(part);
            now = out.flush();
        }
        ::usleep(2'000);
    }
    sent.resize(sent.size() - out.queued());
    return sent;
}

/// Writes into every slot that may be written.
inline void spoil_free_slots(zcpool::pool_view pool) {
    std::vector<zcpool::buffer> taken;
    for (zcpool::buffer next; (next = pool.try_acquire(60'000));) {
        fill(next.space(), 0xBAD);
        taken.push_back(std::move(next));
    }
}

/// What may happen to a connection with sends in flight.
enum class ending { peer_reads, shut_down, closed, peer_resets, reset };
inline constexpr ending all_endings[] = {ending::peer_reads, ending::shut_down, ending::closed,
                                         ending::peer_resets, ending::reset};

/// A TCP connection that is soon full.
inline connection small_tcp_pair() {
    connection link = tcp_pair();
    const int small = 128 * 1024;
    ::setsockopt(link.ours.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    ::setsockopt(link.peer.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    return link;
}

/// Fills a connection, ends it in one way, uses every slot that is free again at once, and only
/// then lets the peer read. Returns: whether what it read was a beginning of what was sent, whole
/// where nobody reset the connection and the sink has no pipe.
template <class Sink>
bool ends_unchanged(ending how, zcpool::pool_view pool) {
    connection link = small_tcp_pair();
    auto out = std::make_optional<Sink>(link.ours.get());
    const auto sent = fill_connection(*out, pool);
    const linger at_once{1, 0};
    switch (how) {
        case ending::peer_reads: break;
        case ending::shut_down: ::shutdown(link.ours.get(), SHUT_WR); break;
        case ending::reset:
            ::setsockopt(link.ours.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            [[fallthrough]];
        case ending::closed:
            out.reset();
            link.ours.reset();
            break;
        case ending::peer_resets:
            ::setsockopt(link.peer.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            link.peer.reset();
            ::usleep(1'000);
            static_cast<void>(out->flush());
            break;
    }
    spoil_free_slots(pool);
    if (how == ending::peer_resets) {
        return true;
    }
    if (link.ours) {
        ::shutdown(link.ours.get(), SHUT_WR);  // so that the peer sees the end of what there is
    }
    const bool may_miss =
        how == ending::reset || requires(const Sink& piped) { piped.pipe_room(); };
    const auto got = read_exactly(link.peer.get(), sent.size());
    return std::equal(got.begin(), got.end(), sent.begin()) &&
           (may_miss || got.size() == sent.size());
}

/// Waits until nothing is in flight of sinks that have gone.
inline bool wait_for_lingering() {
    for (int i = 0; i < 10'000 && zcpool::sink::linger_list::common().poll() != 0; ++i) {
        ::usleep(1'000);
    }
    return zcpool::sink::linger_list::common().size() == 0;
}

/// `wait`: until nothing is in flight of sinks that have gone; false when that took too long.
/// Returns: of how many connections that ended so the peer read something else than was sent.
template <class Sink, class Wait>
int endings_changed(zcpool::pool_view pool, ending how, int times, Wait wait) {
    int changed = 0;
    for (int i = 0; i < times; ++i) {
        changed += ends_unchanged<Sink>(how, pool) ? 0 : 1;
        CHECK(wait());
        CHECK(slots_in_use(pool) == 0);
    }
    return changed;
}

}  // namespace zcpool_test
