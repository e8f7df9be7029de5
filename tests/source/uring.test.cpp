// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/pools.hpp>
#include <support/receive_rings.hpp>
#include <support/receiving.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/pool/slot_event.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/source/uring.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;
using source::state;

/// Pulls until it says something else than that it waits for the ring; ten seconds at most.
state settle_in(source::uring& in, const source::receive_ring& ring) {
    state last = in.pull();
    for (int i = 0; i < 100 && last == state::blocked; ++i) {
        CHECK(in.interest() == source::interest::completion);
        pollfd readable{ring.fd(), POLLIN, 0};
        static_cast<void>(::poll(&readable, 1, 100));
        last = in.pull();
    }
    return last;
}

/// Takes everything up to the end. Returns: what came.
std::vector<std::byte> drain(source::uring& in, const source::receive_ring& ring) {
    std::vector<std::byte> got;
    for (;;) {
        const state last = settle_in(in, ring);
        const auto part = flatten(in.take());
        got.insert(got.end(), part.begin(), part.end());
        if (last != state::data && last != state::full) {
            CHECK(last == state::ended);
            return got;
        }
    }
}

#define RING_OR_SKIP(name, pool, ...)                                                              \
    const auto name = test_receive_ring(pool, {__VA_ARGS__});                                      \
    if (!(name)) {                                                                                 \
        SKIP("io_uring is not to be had, or before Linux 5.19");                                   \
    }

TEST_CASE("uring: receives from a socket that the ring knows by its place", "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    auto loop = test_receiving_loop(pool, {.buffers = 16, .buffer_bytes = 4_KiB});
    if (!loop || !loop->ring->reserve_files(2)) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    connection link = tcp_pair();
    connection other = tcp_pair();
    REQUIRE(loop->ring->set_file(1, link.ours.get()));
    {
        // Another's descriptor: only the place leads to the peer.
        source::uring in{other.ours.get(), *loop->slots, {.registered_file = 1}};
        CHECK(in.pull() == state::blocked);
        send_all(link.peer.get(), pattern(10'000, 1));
        CHECK(loop->turn_until([&] {
            static_cast<void>(in.pull());
            return in.available() == 10'000;
        }));
        CHECK(flatten(in.take()) == pattern(10'000, 1));
    }
    CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
}

TEST_CASE("uring: the kernel fills slots of the pool, in order, up to the end", "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 16, .buffer_bytes = 4_KiB)
    const auto sent = pattern(3'000'000, 1);
    for (const bool tcp : {false, true}) {
        connection link = tcp ? tcp_pair() : unix_pair();
        source::uring in{link.ours.get(), *ring};
        CHECK(in.pull() == state::blocked);
        std::thread peer{[&] {
            send_all(link.peer.get(), sent);
            link.peer.reset();
        }};
        CHECK(drain(in, *ring) == sent);
        peer.join();
        CHECK(in.stats().bytes == sent.size());
        CHECK(in.pull() == state::ended);
        CHECK(in.interest() == source::interest::none);
        CHECK(ring->in_flight() == 0);
    }
    CHECK(slots_in_use(pool) == 16);
}

TEST_CASE("uring: one request brings many completions", "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 16, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    source::uring in{link.ours.get(), *ring};
    for (std::uint64_t i = 0; i < 20; ++i) {
        send_all(link.peer.get(), pattern(100, i));
        REQUIRE(settle_in(in, *ring) == state::data);
        const auto came = in.take();
        CHECK(flatten(came) == pattern(100, i));
        CHECK(came.front().in_pool());
    }
    if (!ring->is_multishot()) {
        SKIP("before Linux 6.0");
    }
    CHECK(in.stats().calls == 1);
}

TEST_CASE("uring: a slice keeps what it is, however many come behind it", "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    source::uring in{link.ours.get(), *ring};
    std::vector<zcpool::chain> kept;
    for (std::uint64_t i = 0; i < 50; ++i) {
        send_all(link.peer.get(), pattern(1000, i));
        REQUIRE(settle_in(in, *ring) == state::data);
        kept.push_back(in.take());
    }
    for (std::uint64_t i = 0; i < 50; ++i) {
        CHECK(flatten(kept[i]) == pattern(1000, i));
    }
}

TEST_CASE("uring: want of slots never ends a stream, and releasing goes on with it", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = tcp_pair();
    const auto sent = pattern(400'000, 2);
    std::thread peer{[&] {
        send_all(link.peer.get(), sent);
        link.peer.reset();
    }};
    source::uring in{link.ours.get(), *ring};
    zcpool::slot_event event{pool, 4_KiB, zcpool::sys::event_fd::create().value()};
    std::vector<std::byte> got;
    std::vector<zcpool::chain> kept;
    int exhausted = 0;
    for (;;) {
        const state last = settle_in(in, *ring);
        if (in.available() != 0) {
            kept.push_back(in.take());
        }
        if (last == state::exhausted) {
            ++exhausted;
            CHECK(in.interest() == source::interest::slot);
            CHECK(ring->with_kernel() == 0);
            CHECK(slots_in_use(pool) == 4);  // all with the application
            REQUIRE(event.try_again().error() == zcpool::errc::exhausted);
            for (const auto& each : kept) {
                const auto part = flatten(each);
                got.insert(got.end(), part.begin(), part.end());
            }
            kept.clear();
            pollfd free{event.fd(), POLLIN, 0};
            REQUIRE(::poll(&free, 1, 10'000) == 1);
            event.cancel();
        } else if (last == state::ended) {
            break;
        } else {
            REQUIRE((last == state::data || last == state::full));
        }
    }
    peer.join();
    for (const auto& each : kept) {
        const auto part = flatten(each);
        got.insert(got.end(), part.begin(), part.end());
    }
    CHECK(got == sent);
    CHECK(exhausted > 0);
    CHECK(in.stats().exhausted >= static_cast<std::uint64_t>(exhausted));
    CHECK_FALSE(in.error());
}

TEST_CASE("uring: sources that wait for slots go on by themselves when one is back", "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 2, .buffer_bytes = 4_KiB)
    connection links[] = {unix_pair(), unix_pair(), unix_pair()};
    std::vector<source::uring> ins;
    for (connection& each : links) {
        ins.emplace_back(each.ours.get(), *ring);
        ins.back().set_owner(&each);
        CHECK(ins.back().pull() == state::blocked);
    }
    for (std::uint64_t i = 0; i < 3; ++i) {
        send_all(links[i].peer.get(), pattern(10, i));
    }
    // Nobody pulls: the ring alone is looked at.
    const auto wait_for = [&](auto&& holds) {
        for (int i = 0; i < 10'000 && !holds(); ++i) {
            ::usleep(1'000);
            ring->reap();
        }
        return holds();
    };
    REQUIRE(wait_for([&] { return ring->with_kernel() == 0 && ring->in_flight() == 2; }));
    const auto with_data = [](const source::uring& each) { return each.available() != 0; };
    CHECK(std::count_if(ins.begin(), ins.end(), with_data) == 2);
    const auto starved = std::find_if_not(ins.begin(), ins.end(), with_data);
    CHECK(starved->interest() == source::interest::slot);
    CHECK(starved->stats().exhausted == 1);
    for (source::uring& each : ins) {
        static_cast<void>(each.take());
    }
    CHECK(ring->refill() == 2);
    CHECK(ring->in_flight() == 3);
    CHECK(starved->interest() == source::interest::completion);
    CHECK(wait_for([&] { return with_data(*starved); }));
    CHECK(flatten(starved->take()) ==
          pattern(10, static_cast<std::uint64_t>(starved - ins.begin())));
}

TEST_CASE("uring: an application that does not take has so many slots and no more", "[source]") {
    const auto pool = make_pool({.slots = {128, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 8, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    const auto sent = pattern(2'000'000, 3);
    std::thread peer{[&] {
        send_all(link.peer.get(), sent);
        link.peer.reset();
    }};
    source::uring in{link.ours.get(), *ring, {.most_slots = 5}};
    std::vector<std::byte> got;
    int full = 0;
    for (;;) {
        const state last = settle_in(in, *ring);
        CHECK(slots_in_use(pool) <= 8 + 5 + 8);
        if (last == state::full) {
            ++full;
            CHECK(in.interest() == source::interest::none);
            for (int i = 0; i < 20 && full < 3; ++i) {  // and it stays so, while more is sent
                ::usleep(1'000);
                ring->reap();
                CHECK(slots_in_use(pool) <= 8 + 5 + 8);
            }
        }
        if (last == state::full || last == state::ended) {
            const auto part = flatten(in.take());
            got.insert(got.end(), part.begin(), part.end());
        }
        if (last == state::ended) {
            break;
        }
        REQUIRE((last == state::full || last == state::data));
    }
    peer.join();
    CHECK(got == sent);
    CHECK(full > 3);
}

TEST_CASE("uring: what comes in drops stops at so many slots, too, and comes when they are taken",
          "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 8, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    source::uring in{link.ours.get(), *ring, {.most_slots = 5}};
    REQUIRE(in.pull() == state::blocked);
    std::vector<std::byte> sent;
    for (std::uint64_t i = 0; i < 40; ++i) {
        const auto drop = pattern(10, i);
        send_all(link.peer.get(), drop);
        sent.insert(sent.end(), drop.begin(), drop.end());
        pollfd readable{ring->fd(), POLLIN, 0};
        static_cast<void>(::poll(&readable, 1, i < 6 ? 1'000 : 1));
        ring->reap();
        CHECK(slots_in_use(pool) <= 8 + 5 + 1);
    }
    CHECK(in.available() >= 50);
    link.peer.reset();
    CHECK(drain(in, *ring) == sent);
}

TEST_CASE("uring: a source that is full does not keep the others from theirs", "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection slow = unix_pair();
    connection quick = unix_pair();
    source::uring first{slow.ours.get(), *ring, {.most_slots = 2}};
    source::uring second{quick.ours.get(), *ring};
    send_all(slow.peer.get(), pattern(100'000, 1));
    while (settle_in(first, *ring) != state::full) {
    }
    for (std::uint64_t i = 0; i < 30; ++i) {
        send_all(quick.peer.get(), pattern(5000, i));
        std::vector<std::byte> got;
        while (got.size() < 5000) {
            REQUIRE(settle_in(second, *ring) == state::data);
            const auto part = flatten(second.take());
            got.insert(got.end(), part.begin(), part.end());
        }
        CHECK(got == pattern(5000, i));
    }
    slow.peer.reset();
    CHECK(drain(first, *ring) == pattern(100'000, 1));
}

TEST_CASE("uring: one that ends with a request in flight leaves nothing behind", "[source]") {
    const auto pool = make_pool({.slots = {8, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    for (int i = 0; i < 100; ++i) {
        connection link = i % 2 == 0 ? unix_pair() : tcp_pair();
        {
            source::uring in{link.ours.get(), *ring};
            CHECK(in.pull() == state::blocked);
            if (i % 3 == 0) {
                send_all(link.peer.get(), pattern(6000, 1));
            }
            if (i % 6 == 0) {
                CHECK(settle_in(in, *ring) == state::data);
            }
        }
        link.ours.reset();
        // The peer hears of it: the request does not hold the socket.
        pollfd gone{link.peer.get(), POLLIN, 0};
        CHECK(::poll(&gone, 1, 10'000) == 1);
        for (int n = 0; n < 1000 && ring->in_flight() != 0; ++n) {
            ring->reap();
            ::usleep(1000);
        }
        CHECK(ring->in_flight() == 0);
        CHECK(ring->with_kernel() == 4);
        CHECK(slots_in_use(pool) == 4);
    }
}

TEST_CASE("uring: taking alone goes on with a source that was full", "[source]") {
    const auto pool = make_pool({.slots = {32, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    source::uring in{link.ours.get(), *ring, {.most_slots = 4}};
    const auto sent = pattern(100'000, 1);
    std::thread peer{[&] { send_all(link.peer.get(), sent); }};
    while (settle_in(in, *ring) != state::full) {
    }
    for (int i = 0; i < 1'000 && ring->in_flight() != 0; ++i) {  // the kernel has heard of it
        ::usleep(1'000);
        ring->reap();
    }
    REQUIRE(ring->in_flight() == 0);
    std::vector<std::byte> got = flatten(in.take());
    pollfd readable{ring->fd(), POLLIN, 0};
    CHECK(::poll(&readable, 1, 10'000) == 1);
    while (got.size() < sent.size()) {
        static_cast<void>(settle_in(in, *ring));
        const auto part = flatten(in.take());
        got.insert(got.end(), part.begin(), part.end());
    }
    peer.join();
    CHECK(got == sent);
}

TEST_CASE("uring: the ring announces a source once, and not what a pull has told of", "[source]") {
    const auto pool = make_pool({.slots = {8, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    source::uring in{link.ours.get(), *ring};
    in.set_owner(&in);
    int told = 0;
    const auto listen = [&](void* owner) { told += owner == &in ? 1 : 100; };
    CHECK(in.pull() == state::blocked);
    send_all(link.peer.get(), pattern(100, 1));
    for (int i = 0; i < 10'000 && told == 0; ++i) {
        ::usleep(1'000);
        ring->reap();
        ring->announce(listen);
    }
    ring->announce(listen);
    CHECK(told == 1);
    send_all(link.peer.get(), pattern(100, 2));
    REQUIRE(settle_in(in, *ring) == state::data);
    ring->announce(listen);
    CHECK(told == 1);
}

TEST_CASE("uring: while the kernel takes no request a source waits for its socket, and goes on",
          "[source]") {
    const auto pool = make_pool({.slots = {8, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    const unique_fd kept{::dup(ring->fd())};
    const unique_fd no_ring{::memfd_create("zcpool-test-no-ring", MFD_CLOEXEC)};
    REQUIRE(::dup2(no_ring.get(), ring->fd()) == ring->fd());
    source::uring in{link.ours.get(), *ring};
    for (int i = 0; i < 100; ++i) {  // more often than there are places for requests
        REQUIRE(in.pull() == state::blocked);
        REQUIRE(in.interest() == source::interest::readable);
        REQUIRE(ring->in_flight() == 0);
    }
    CHECK(in.stats().calls == 0);
    REQUIRE(::dup2(kept.get(), ring->fd()) == ring->fd());
    send_all(link.peer.get(), pattern(100, 1));
    CHECK(settle_in(in, *ring) == state::data);
    CHECK(flatten(in.take()) == pattern(100, 1));
}

TEST_CASE("uring: a request that the kernel did not take reads from nobody when its source is gone",
          "[source]") {
    const auto pool = make_pool({.slots = {8, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    connection other = unix_pair();
    // In place of the ring's descriptor something that is no ring: io_uring_enter fails.
    const unique_fd kept{::dup(ring->fd())};
    const unique_fd no_ring{::memfd_create("zcpool-test-no-ring", MFD_CLOEXEC)};
    REQUIRE(::dup2(no_ring.get(), ring->fd()) == ring->fd());
    {
        source::uring in{link.ours.get(), *ring};
        CHECK(in.pull() == state::blocked);
    }
    REQUIRE(::dup2(kept.get(), ring->fd()) == ring->fd());
    send_all(other.peer.get(), pattern(100, 1));
    REQUIRE(::dup2(other.ours.get(), link.ours.get()) == link.ours.get());
    connection next = unix_pair();
    source::uring in{next.ours.get(), *ring};  // whose request takes the others with it
    CHECK(in.pull() == state::blocked);
    for (int i = 0; i < 1'000 && ring->in_flight() != 1; ++i) {
        ::usleep(1'000);
        ring->reap();
    }
    CHECK(ring->in_flight() == 1);
    CHECK(read_exactly(other.ours.get(), 100) == pattern(100, 1));
}

TEST_CASE("uring: a peer that resets the connection fails it, behind what had come", "[source]") {
    const auto pool = make_pool({.slots = {8, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection link = tcp_pair();
    source::uring in{link.ours.get(), *ring};
    send_all(link.peer.get(), pattern(100, 1));
    REQUIRE(settle_in(in, *ring) == state::data);
    const linger now{1, 0};
    REQUIRE(::setsockopt(link.peer.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    link.peer.reset();
    CHECK(settle_in(in, *ring) == state::failed);
    CHECK(in.error() == system_error(ECONNRESET));
    CHECK(flatten(in.take()) == pattern(100, 1));
    CHECK(in.pull() == state::failed);

    source::uring nothing{-1, *ring};
    CHECK(settle_in(nothing, *ring) == state::failed);
    CHECK(nothing.error() == system_error(EBADF));
    const connection pipe = pipe_pair();
    source::uring no_socket{pipe.peer.get(), *ring};
    CHECK(settle_in(no_socket, *ring) == state::failed);
    CHECK(no_socket.error() == system_error(ENOTSOCK));
}

TEST_CASE("uring: one that was moved goes on, and the other has nothing", "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    RING_OR_SKIP(ring, pool, .buffers = 4, .buffer_bytes = 4_KiB)
    connection links[] = {unix_pair(), unix_pair()};
    source::uring first{links[0].ours.get(), *ring};
    send_all(links[0].peer.get(), pattern(100, 1));
    REQUIRE(settle_in(first, *ring) == state::data);
    source::uring second{std::move(first)};
    CHECK(first.pull() == state::failed);
    CHECK(first.take().empty());
    CHECK(first.interest() == source::interest::none);
    send_all(links[0].peer.get(), pattern(50, 2));
    REQUIRE(settle_in(second, *ring) == state::data);
    CHECK(second.take().size() == 150);
    second = source::uring{links[1].ours.get(), *ring};
    send_all(links[1].peer.get(), pattern(70, 3));
    REQUIRE(settle_in(second, *ring) == state::data);
    CHECK(flatten(second.take()) == pattern(70, 3));
}

TEST_CASE("uring: slots that were lent are received into, with what was lent unchanged",
          "[source]") {
    // The pool has two slots, so that each that was lent is one that the kernel fills next.
    const auto pool = make_pool(lending_options(2, 1));
    RING_OR_SKIP(ring, pool, .buffers = 1, .buffer_bytes = 4_KiB)
    connection in_link = unix_pair();
    connection out_link = unix_pair();
    source::uring in{in_link.ours.get(), *ring};
    for (std::uint64_t i = 0; i < 30; ++i) {
        send_all(in_link.peer.get(), pattern(4096, i));
        state last = settle_in(in, *ring);
        REQUIRE((last == state::data || last == state::exhausted));
        zcpool::sink::sendfile out{out_link.ours.get(), {.copy_below = 0}};
        out.push(in.take());
        REQUIRE(out.flush() == zcpool::sink::state::done);
        CHECK(out.stats().lent_bytes == 4096);
    }
    for (std::uint64_t i = 0; i < 30; ++i) {
        CHECK(read_exactly(out_link.peer.get(), 4096) == pattern(4096, i));
    }
}

TEST_CASE("uring: messages of all sizes that are kept for a while stay as they came",
          "[source][.zerocopy]") {
    const auto pool = make_pool({.slots = {64, 1}});
    {
        RING_OR_SKIP(ring, pool, .buffers = 16, .buffer_bytes = 4_KiB) {
            connection link = tcp_pair();
            source::uring in{link.ours.get(), *ring};
            CHECK(wrong_octets(in, std::move(link.peer), scaled(20'000), run_seed(), [&] {
                      pollfd readable{ring->fd(), POLLIN, 0};
                      static_cast<void>(::poll(&readable, 1, 100));
                  }) == 0);
        }
        CHECK(slots_in_use(pool) <= 16);
    }
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
