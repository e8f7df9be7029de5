// SPDX-License-Identifier: MIT
#include <poll.h>

#include <cerrno>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/rings.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/uring.hpp>

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

/// Lets the loop of a driven ring turn until nothing is in flight.
void turn(sink::send_ring& ring) {
    for (int i = 0; i < 1'000 && ring.in_flight() != 0; ++i) {
        ring.ring().submit_and_wait(10);
        ring.ring().reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            ring.take_in(name, result, flags);
        });
    }
}

TEST_CASE("send_ring: keeps what a send refers to until its last completion", "[sink]") {
    if (test_ring() == nullptr) {
        SKIP("io_uring is not to be had");
    }
    const auto pool = make_pool({.slots = {1, 2}});
    connection link = tcp_pair();
    const held before;
    {
        const auto ring = sink::send_ring::create(4).value();
        const sink::ring_line_ref line{new sink::ring_line};
        for (const bool by_reference : {false, true}) {
            if (by_reference && !ring->can_refer()) {
                continue;
            }
            sink::send_ring::sent what;
            REQUIRE(what.slices.append(make_slice(pool, 60'000, 1)));
            line->parts[0] = {const_cast<std::byte*>(what.slices.front().data()), 60'000};
            line->message.msg_iov = line->parts.data();
            line->message.msg_iovlen = 1;
            what.line = line.share();
            REQUIRE(
                ring->send({.fd = link.ours.get(),
                            .way = by_reference ? sink::send_way::reference : sink::send_way::copy},
                           std::move(what)));
            pollfd readable{ring->fd(), POLLIN, 0};
            CHECK(::poll(&readable, 1, 10'000) == 1);
            CHECK(slots_in_use(pool) == 1);
            for (int i = 0; ring->in_flight() != 0 && i < 10'000; ++i) {
                ::usleep(1'000);
                ring->reap();
            }
            CHECK_FALSE(line->is_waiting());
            CHECK(line->result == 60'000);
            CHECK(line->holders == 1);
            CHECK(slots_in_use(pool) == 0);
            CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
        }
    }
    CHECK(before == held{});
}

TEST_CASE("send_ring: keeps what a splice refers to until it is in the pipe", "[sink]") {
    auto loop = zcpool::sys::uring::create_for_loop(16);
    if (!loop) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool(lending_options(1, 2));
    connection link = tcp_pair();
    const auto ring = sink::send_ring::create_driven(std::move(*loop)).value();
    REQUIRE(ring->ring().enable());
    const sink::ring_line_ref line{new sink::ring_line};
    line->pipe = zcpool::sys::sized_pipe::create(1_MiB).value();
    line->target = unique_fd::duplicate(link.ours.get()).value();
    const auto send = [&](sink::splice_order order) {
        sink::send_ring::sent what;
        if (order.from >= 0) {
            const auto part = make_slice(pool, 60'000, 1);
            const auto where = part.lend().value();
            order.from = where.fd;
            order.offset = where.offset;
            REQUIRE(what.slices.append(part));
        }
        what.line = line.share();
        REQUIRE(ring->splice(order, std::move(what)));
        CHECK(slots_in_use(pool) == (order.from < 0 ? 0 : 1));
        turn(*ring);
        CHECK_FALSE(line->is_waiting());
        CHECK(line->requests == 0);
        CHECK(line->holders == 1);
        CHECK(slots_in_use(pool) == 0);
    };
    send({.from = 0, .bytes = 60'000});
    CHECK(line->result_before == 60'000);
    CHECK(line->result == 60'000);
    CHECK(read_exactly(link.peer.get(), 60'000) == pattern(60'000, 1));
    // A socket that takes more lets the drain go on, of a pipe that has nothing.
    send({.bytes = 1, .waits = true});
    CHECK(line->result_before.value_or(0) > 0);  // what the poll saw
    CHECK(line->result == -EAGAIN);
    line->pipe.ends.read_end.reset();  // so that the fill fails, and with it the drain
    send({.from = 0, .bytes = 60'000});
    CHECK(line->result_before.value_or(0) < 0);
    CHECK(line->result.value_or(0) < 0);
}

TEST_CASE("send_ring: what a loop drives leaves when the loop submits, many sends at once",
          "[sink]") {
    auto loop = zcpool::sys::uring::create_for_loop(16);
    if (!loop) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool({.slots = {2, 4}});
    connection links[] = {tcp_pair(), tcp_pair()};
    const auto ring = sink::send_ring::create_driven(std::move(*loop)).value();
    REQUIRE(ring->ring().enable());
    sink::uring outs[] = {sink::uring{links[0].ours.get(), *ring},
                          sink::uring{links[1].ours.get(), *ring}};
    for (sink::uring& out : outs) {
        out.push(make_slice(pool, 300, 1));
        out.push(make_slice(pool, 60'000, 2));
        CHECK(out.flush() == sink::state::blocked);
        CHECK(out.interest() == sink::interest::completion);
    }
    CHECK(ring->in_flight() == 2);
    pollfd readable{links[0].peer.get(), POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
    ring->ring().submit_and_wait(10'000);
    CHECK(read_exactly(links[0].peer.get(), 300) == pattern(300, 1));
    CHECK(read_exactly(links[1].peer.get(), 300) == pattern(300, 1));
    turn(*ring);
    for (sink::uring& out : outs) {
        CHECK(out.flush() == sink::state::blocked);
    }
    ring->ring().submit_and_wait(10'000);
    CHECK(read_exactly(links[0].peer.get(), 60'000) == pattern(60'000, 2));
    CHECK(read_exactly(links[1].peer.get(), 60'000) == pattern(60'000, 2));
    turn(*ring);
    for (sink::uring& out : outs) {
        CHECK(out.flush() == sink::state::done);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE(
    "send_ring: a sink that ends before the loop submits sends nothing to whoever has its "
    "descriptor then",
    "[sink]") {
    auto loop = zcpool::sys::uring::create_for_loop(16);
    if (!loop) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool({.slots = {2, 4}});
    connection link = tcp_pair();
    connection other = tcp_pair();
    const auto ring = sink::send_ring::create_driven(std::move(*loop)).value();
    REQUIRE(ring->ring().enable());
    {
        sink::uring out{link.ours.get(), *ring};
        out.push(make_slice(pool, 300, 1));
        CHECK(out.flush() == sink::state::blocked);
    }
    REQUIRE(::dup2(other.ours.get(), link.ours.get()) == link.ours.get());
    turn(*ring);
    CHECK(ring->in_flight() == 0);
    CHECK(slots_in_use(pool) == 0);
    pollfd readable{other.peer.get(), POLLIN, 0};
    CHECK(::poll(&readable, 1, 50) == 0);
}

TEST_CASE(
    "send_ring: a full descriptor makes a send wait in a driven ring, and ending it ends that",
    "[sink]") {
    auto loop = zcpool::sys::uring::create_for_loop(16);
    if (!loop) {
        SKIP("io_uring is not to be had, or before Linux 5.19");
    }
    const auto pool = make_pool({.slots = {2, 256}});
    connection link = unix_pair();
    const auto ring = sink::send_ring::create_driven(std::move(*loop)).value();
    REQUIRE(ring->ring().enable());
    {
        sink::uring out{link.ours.get(), *ring};
        for (std::uint64_t i = 0; i < 100; ++i) {
            out.push(make_slice(pool, 60'000, i));
        }
        for (int i = 0; i < 20; ++i) {
            CHECK(out.flush() == sink::state::blocked);
            CHECK(out.interest() == sink::interest::completion);
            ring->ring().submit_and_wait(10);
            ring->ring().reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
                ring->take_in(name, result, flags);
            });
        }
        for (std::uint64_t i = 0; i < 100; ++i) {  // as it is read, it goes on by itself
            std::vector<std::byte> got;
            for (int n = 0; n < 6; ++n) {
                const auto part = read_exactly(link.peer.get(), 10'000);
                got.insert(got.end(), part.begin(), part.end());
                ring->ring().submit_and_wait(0);
                ring->ring().reap([&](std::uint64_t name, std::int32_t result,
                                      std::uint32_t flags) { ring->take_in(name, result, flags); });
                static_cast<void>(out.flush());
            }
            REQUIRE(got == pattern(60'000, i));
        }
        for (int i = 0; i < 20; ++i) {
            out.push(make_slice(pool, 60'000, 7));
        }
        static_cast<void>(out.flush());
        ring->ring().submit_and_wait(0);
    }
    turn(*ring);
    CHECK(ring->in_flight() == 0);
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
