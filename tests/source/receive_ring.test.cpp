// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/receive_rings.hpp>
#include <support/receiving.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/uring.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/source/uring.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;
using source::state;

#define LOOP_OR_SKIP(name, pool, ...)                                                              \
    auto name = test_receiving_loop(pool, {__VA_ARGS__});                                          \
    if (!(name)) {                                                                                 \
        SKIP("io_uring is not to be had, or before Linux 5.19");                                   \
    }

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

TEST_CASE("receive_ring: in a loop, requests wait for its call, and completions for its hand",
          "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    LOOP_OR_SKIP(loop, pool, .buffers = 8, .buffer_bytes = 4_KiB)
    CHECK(loop->slots->is_driven());
    connection links[] = {unix_pair(), unix_pair(), unix_pair()};
    std::vector<source::uring> ins;
    ins.reserve(3);
    for (connection& each : links) {
        ins.emplace_back(each.ours.get(), *loop->slots);
        ins.back().set_owner(&ins.back());
        CHECK(ins.back().pull() == state::blocked);
        CHECK(ins.back().interest() == source::interest::completion);
    }
    CHECK(loop->ring->prepared() == 3);
    io_uring_sqe* const of_loop = loop->ring->next_request();
    ::io_uring_prep_nop(of_loop);
    of_loop->user_data = std::uint64_t{1} << 63 | 5;
    loop->turn(0);
    CHECK(loop->ring->prepared() == 0);
    CHECK(loop->others == 1);
    CHECK(loop->told.empty());

    send_all(links[0].peer.get(), pattern(100, 1));
    send_all(links[2].peer.get(), pattern(100, 2));
    loop->ring->submit_and_wait(10'000);
    // The completions are there, and the loop has not looked at them.
    CHECK(ins[0].pull() == state::blocked);
    loop->slots->reap();
    CHECK(ins[0].available() == 0);
    loop->turn(0);
    CHECK(loop->told.size() == 2);
    CHECK(ins[0].pull() == state::data);
    CHECK(ins[2].pull() == state::data);
    CHECK(flatten(ins[0].take()) == pattern(100, 1));
    CHECK(flatten(ins[2].take()) == pattern(100, 2));
    CHECK(ins[1].pull() == state::blocked);
    loop->turn(0);
    CHECK(loop->told.empty());
    if (loop->slots->is_multishot()) {  // before Linux 6.0 each completion asks for a request
        CHECK(loop->ring->prepared() == 0);
    }
    CHECK(loop->slots->in_flight() == 3);
    ins.clear();
    CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
}

TEST_CASE("receive_ring: its names are nobody else's", "[source]") {
    using ring = source::receive_ring;
    const auto own = std::make_unique<source::receive_line>();
    const auto address = reinterpret_cast<std::uintptr_t>(own.get());
    STATIC_REQUIRE_FALSE(ring::is_name(INT64_MAX));  // a send_ring's
    CHECK_FALSE(ring::is_name(address));
    CHECK_FALSE(ring::is_name(std::uint64_t{1} << 63 | address));  // a loop's
    CHECK(ring::is_name(std::uint64_t{3} << 62 | address));
}

TEST_CASE(
    "receive_ring: in a loop, a source that ends before its request was handed over receives "
    "nothing",
    "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    LOOP_OR_SKIP(loop, pool, .buffers = 8, .buffer_bytes = 4_KiB)
    connection link = unix_pair();
    connection next = unix_pair();
    send_all(next.peer.get(), pattern(100, 1));
    {
        source::uring in{link.ours.get(), *loop->slots};
        CHECK(in.pull() == state::blocked);
    }
    // The number is another's when the loop makes its call.
    const int number = link.ours.get();
    REQUIRE(::dup2(next.ours.get(), number) == number);
    CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
    CHECK(read_exactly(number, 100) == pattern(100, 1));
    CHECK(loop->slots->with_kernel() == 8);
}

TEST_CASE(
    "receive_ring: in a loop, a source that ends leaves its request to the ring, and its "
    "socket may be closed",
    "[source]") {
    const auto pool = make_pool({.slots = {16, 1}});
    LOOP_OR_SKIP(loop, pool, .buffers = 8, .buffer_bytes = 4_KiB)
    for (int i = 0; i < 50; ++i) {
        connection link = i % 2 == 0 ? unix_pair() : tcp_pair();
        {
            source::uring in{link.ours.get(), *loop->slots};
            in.set_owner(&in);
            CHECK(in.pull() == state::blocked);
            loop->turn(0);
            CHECK(loop->slots->in_flight() == 1);
            if (i % 3 == 0) {
                send_all(link.peer.get(), pattern(6000, 1));
            }
            if (i % 6 == 0) {
                CHECK(loop->turn_until([&] { return in.available() != 0; }));
            }
        }
        link.ours.reset();
        CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
        CHECK(loop->told.empty());
        pollfd gone{link.peer.get(), POLLIN, 0};
        CHECK(::poll(&gone, 1, 10'000) == 1);
        CHECK(slots_in_use(pool) == 8);
    }
    loop->slots.reset();
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("receive_ring: in a loop, want of slots ends no stream, and reaping goes on",
          "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    LOOP_OR_SKIP(loop, pool, .buffers = 2, .buffer_bytes = 4_KiB)
    connection links[] = {unix_pair(), unix_pair(), unix_pair()};
    std::vector<source::uring> ins;
    ins.reserve(3);
    for (std::uint64_t i = 0; i < 3; ++i) {
        ins.emplace_back(links[i].ours.get(), *loop->slots);
        ins.back().set_owner(&ins.back());
        CHECK(ins.back().pull() == state::blocked);
        send_all(links[i].peer.get(), pattern(10, i));
    }
    REQUIRE(loop->turn_until([&] { return loop->slots->with_kernel() == 0; }));
    const auto with_data = [](const source::uring& each) { return each.available() != 0; };
    const auto starved = std::find_if_not(ins.begin(), ins.end(), with_data);
    REQUIRE(loop->turn_until([&] { return starved->stats().exhausted == 1; }));
    CHECK(starved->interest() == source::interest::slot);
    CHECK(std::count_if(ins.begin(), ins.end(), with_data) == 2);
    for (source::uring& each : ins) {
        static_cast<void>(each.take());
    }
    loop->slots->reap();
    CHECK(loop->slots->with_kernel() == 2);
    CHECK(starved->interest() == source::interest::completion);
    CHECK(loop->ring->prepared() == 1);
    CHECK(loop->turn_until([&] { return with_data(*starved); }));
    CHECK(flatten(starved->take()) ==
          pattern(10, static_cast<std::uint64_t>(starved - ins.begin())));
    ins.clear();
    CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
}

TEST_CASE("receive_ring: a loop's ring sends what it has received, without a copy between",
          "[source]") {
    const auto pool = make_pool({.slots = {64, 1}});
    auto ring = zcpool::sys::uring::create_for_loop(64);
    auto sends = ring ? zcpool::sink::send_ring::create_driven(std::move(*ring))
                      : zcpool::fail(ring.error());
    if (!sends) {
        SKIP("io_uring is not to be had");
    }
    zcpool::sys::uring& both = (*sends)->ring();
    auto slots =
        source::receive_ring::create_driven(both, pool, {.buffers = 16, .buffer_bytes = 4_KiB});
    if (!slots) {
        SKIP("before Linux 5.19");
    }
    REQUIRE(both.enable().has_value());
    connection in_link = tcp_pair();
    connection out_link = tcp_pair();
    const auto sent = pattern(1'000'000, 4);
    std::vector<std::byte> got;
    std::thread writer{[&] {
        send_all(in_link.peer.get(), sent);
        in_link.peer.reset();
    }};
    std::thread reader{[&] { got = read_exactly(out_link.peer.get(), sent.size()); }};
    {
        source::uring in{in_link.ours.get(), **slots};
        zcpool::sink::uring out{out_link.ours.get(), **sends};
        bool has_ended = false;
        for (int i = 0; i < 20'000 && (!has_ended || out.queued() != 0); ++i) {
            const state last = in.pull();
            has_ended = last == state::ended;
            out.push(in.take());
            REQUIRE(out.flush() != zcpool::sink::state::failed);
            both.submit_and_wait(1);
            both.reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
                if (source::receive_ring::is_name(name)) {
                    (*slots)->take_in(name, result, flags);
                } else {
                    (*sends)->take_in(name, result, flags);
                }
            });
        }
    }
    (*sends)->finish();
    writer.join();
    out_link.ours.reset();
    reader.join();
    CHECK(got == sent);
    CHECK((*slots)->in_flight() == 0);
    slots->reset();
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE(
    "receive_ring: in a loop, messages of all sizes that are kept for a while stay as they "
    "came",
    "[source][.zerocopy]") {
    const auto pool = make_pool({.slots = {64, 1}});
    LOOP_OR_SKIP(loop, pool, .buffers = 16, .buffer_bytes = 4_KiB) {
        connection link = tcp_pair();
        source::uring in{link.ours.get(), *loop->slots};
        CHECK(wrong_octets(in, std::move(link.peer), scaled(20'000), run_seed(),
                           [&] { loop->turn(100); }) == 0);
    }
    CHECK(loop->turn_until([&] { return loop->slots->in_flight() == 0; }));
    loop->slots->reap();  // places that were empty while all slots were kept
    CHECK(loop->slots->with_kernel() == 16);
    CHECK(slots_in_use(pool) == 16);
    loop->slots.reset();
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
