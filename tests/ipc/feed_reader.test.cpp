// SPDX-License-Identifier: MIT

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <climits>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/feeds.hpp>
#include <support/forgery.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/feed_reader.hpp>
#include <zcpool/sys/event_fd.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::feed_memory;
using zcpool::ipc::feed_reader;

const auto greeting =
    std::bit_cast<std::array<std::byte, 8>>(std::uint64_t{zcpool::ipc::feed_word});

TEST_CASE("feed_reader: waits for news", "[ipc]") {
    feed_pair pair;
    pair.in.set_spin(GENERATE(0us, 20us));
    CHECK(pair.in.receive_for(1ms).error() == errc::timed_out);
    std::thread writer{[&] {
        std::this_thread::sleep_for(30ms);
        static_cast<void>(pair.out.send(pair.frame(1)));
    }};
    const auto got = pair.in.receive();
    writer.join();
    REQUIRE(got.has_value());
    CHECK(shows_frame(*got, 1));
}

constexpr zcpool::ipc::feed_options by_event{.wakes_by = zcpool::ipc::wake_by::event};

TEST_CASE("feed_reader: waits for news in an event loop", "[ipc]") {
    feed_pair pair{by_event};
    REQUIRE(pair.in.event() >= 0);
    CHECK_FALSE(is_readable(pair.in.event()));
    // Nobody waits, so nobody is told.
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    CHECK_FALSE(is_readable(pair.in.event()));
    CHECK_FALSE(pair.in.begin_wait());  // there is one
    CHECK(shows_frame(pair.in.try_receive(), 1));
    for (std::uint64_t i = 2; i < 20; ++i) {
        REQUIRE(pair.in.begin_wait());
        CHECK_FALSE(is_readable(pair.in.event()));
        REQUIRE(pair.out.send(pair.frame(i)).has_value());
        REQUIRE(is_readable(pair.in.event()));
        pair.in.end_wait();
        CHECK_FALSE(is_readable(pair.in.event()));
        CHECK(shows_frame(pair.in.try_receive(), i));
    }
    REQUIRE(pair.in.begin_wait());
    pair.in.end_wait();
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    CHECK_FALSE(is_readable(pair.in.event()));  // it does not wait any more
    CHECK(feed_pair{}.in.event() == -1);
}

TEST_CASE("feed_reader: an event loop is told of the end", "[ipc]") {
    feed_pair pair{by_event};
    REQUIRE(pair.in.begin_wait());
    CHECK_FALSE(pair.in.is_owner_gone());
    {
        const auto gone = std::move(pair.out);
    }
    CHECK(is_readable(pair.in.event()));
    pair.in.end_wait();
    CHECK_FALSE(pair.in.begin_wait());
    CHECK(pair.in.ended() == errc::closed);
    CHECK(pair.in.is_owner_gone());
}

TEST_CASE("feed_reader: sleeps on its event too", "[ipc]") {
    feed_pair pair{by_event};
    pair.in.set_spin(0us);
    CHECK(pair.in.receive_for(1ms).error() == errc::timed_out);
    std::thread writer{[&] {
        std::this_thread::sleep_for(30ms);
        static_cast<void>(pair.out.send(pair.frame(1)));
    }};
    auto got = pair.in.receive();
    writer.join();
    REQUIRE(got.has_value());
    CHECK(shows_frame(*got, 1));
    writer = std::thread{[&] {
        std::this_thread::sleep_for(5ms);
        const auto gone = std::move(pair.out);
    }};
    CHECK(pair.in.receive().error() == errc::closed);
    writer.join();
}

TEST_CASE("feed_reader: what comes by its socket besides the feed does not wake it", "[ipc]") {
    auto sockets = blocking_unix_pair();
    const auto pool = make_pool({.slots = {4, 1}});
    const auto out = open_feed(sockets.ours.get(), pool, by_event);
    auto in = open_reader(sockets.peer.get());
    in.set_spin(0us);
    REQUIRE(::send(sockets.ours.get(), "x", 1, 0) == 1);
    faults none;
    none.fail_call(LONG_MAX, EIO);  // counts
    REQUIRE(in.receive_for(100ms).error() == errc::timed_out);
    CHECK(faults::calls() < 100);  // it looks around every 20 ms
}

TEST_CASE("feed_reader: an event that is none is refused", "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    auto& core = zcpool::pool_sharing::core_of(pool);
    const auto pair = blocking_unix_pair();
    const auto table = [&](zcpool::ipc::wake_by how) {
        return zcpool::ipc::feed_table{.capacity = 2,
                                       .frames = 2,
                                       .wakes_by = static_cast<std::uint32_t>(how),
                                       .data_bytes = core.memory().size()};
    };
    const auto with = feed_memory::create(table(zcpool::ipc::wake_by::event));
    const auto without = feed_memory::create(table(zcpool::ipc::wake_by::futex));
    const auto data = core.memory().file().reopen_read_only();
    const auto event = zcpool::sys::event_fd::create();
    const auto good = zcpool::sys::wake_socket::create();
    const held before;
    const auto refused = [&](std::vector<int> fds) -> std::error_code {
        REQUIRE(zcpool::sys::send_fds(pair.ours.get(), greeting, fds).has_value());
        const auto got = feed_reader::receive_from(pair.peer.get());
        return got ? std::error_code{} : got.error();
    };
    CHECK_FALSE(refused({data->get(), with->fd(), good->is_woken.get()}));
    CHECK(refused({data->get(), with->fd()}) == errc::bad_message);
    CHECK(refused({data->get(), without->fd(), good->is_woken.get()}) == errc::bad_message);
    // A pipe's mode, say, would be its sender's to change.
    CHECK(refused({data->get(), with->fd(), event->get()}) == errc::bad_message);
    CHECK(refused({data->get(), with->fd(), data->get()}) == errc::bad_message);
    CHECK(before == held{});
}

TEST_CASE("feed_reader: the owner's end of the socket is its sign of life", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    auto pair = blocking_unix_pair();
    // As an owner that died leaves them.
    const auto how = GENERATE(zcpool::ipc::wake_by::futex, zcpool::ipc::wake_by::event);
    const zcpool::ipc::feed_table table{
        .capacity = 2,
        .frames = 2,
        .wakes_by = static_cast<std::uint32_t>(how),
        .data_bytes = zcpool::pool_sharing::core_of(pool).memory().size()};
    auto event = zcpool::sys::wake_socket::create();
    const auto memory = feed_memory::create(table);
    const auto data = zcpool::pool_sharing::core_of(pool).memory().file().reopen_read_only();
    const std::array fds{data->get(), memory->fd(), event->is_woken.get()};
    REQUIRE(zcpool::sys::send_fds(pair.ours.get(), greeting,
                                  std::span{fds}.first(how == zcpool::ipc::wake_by::event ? 3 : 2))
                .has_value());
    auto in = open_reader(pair.peer.get());
    zcpool::spsc_producer sent{memory->ring()};
    REQUIRE(sent.try_push(zcpool::ipc::feed_frame{0, 10, 0, 1}.to_message()));
    pair.ours.reset();
    event = zcpool::sys::wake_socket::create();  // the old one is closed
    CHECK(in.receive().has_value());             // what it had sent before
    CHECK(in.receive().error() == errc::peer_gone);
}

TEST_CASE("feed_reader: an owner that writes what cannot be is left", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    auto pair = blocking_unix_pair();
    const auto bytes = zcpool::pool_sharing::core_of(pool).memory().size();
    const auto memory = feed_memory::create({.capacity = 2, .frames = 2, .data_bytes = bytes});
    const auto data = zcpool::pool_sharing::core_of(pool).memory().file().reopen_read_only();
    REQUIRE(zcpool::sys::send_fds(pair.ours.get(), greeting, std::array{data->get(), memory->fd()})
                .has_value());
    auto in = open_reader(pair.peer.get());
    zcpool::spsc_producer sent{memory->ring()};
    REQUIRE(sent.try_push(zcpool::ipc::feed_frame{bytes, 1, 0, 1}.to_message()));
    CHECK(in.try_receive().empty());
    CHECK(in.ended() == errc::corrupt);
    CHECK(in.receive().error() == errc::corrupt);
}

TEST_CASE("feed_reader: a message that is no feed is refused, and its descriptors are closed",
          "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    auto& core = zcpool::pool_sharing::core_of(pool);
    const auto pair = blocking_unix_pair();
    const auto memory =
        feed_memory::create({.capacity = 2, .frames = 2, .data_bytes = core.memory().size()});
    const auto other = feed_memory::create({.capacity = 2, .frames = 2, .data_bytes = 4096});
    const auto data = core.memory().file().reopen_read_only();
    const held before;
    const auto refused = [&](std::vector<int> fds,
                             std::span<const std::byte> bytes = greeting) -> std::error_code {
        REQUIRE(zcpool::sys::send_fds(pair.ours.get(), bytes, fds).has_value());
        const auto got = feed_reader::receive_from(pair.peer.get());
        return got ? std::error_code{} : got.error();
    };
    CHECK(refused({}) == errc::bad_message);
    CHECK(refused({data->get()}) == errc::bad_message);
    CHECK(refused({data->get(), memory->fd(), data->get(), data->get()}) == errc::bad_message);
    CHECK(refused({data->get(), memory->fd()}, std::span{greeting}.first(7)) == errc::bad_message);
    CHECK(refused({data->get(), memory->fd(), data->get()}) == errc::bad_message);
    CHECK(refused({memory->fd(), memory->fd()}) == errc::wrong_access);
    CHECK(refused({core.memory().fd(), memory->fd()}) == errc::wrong_access);  // for writing
    CHECK(refused({data->get(), other->fd()}) == errc::not_a_pool);
    CHECK_FALSE(refused({data->get(), memory->fd()}));
    CHECK(before == held{});
    CHECK(feed_reader::receive_from(-1).error().value() == EBADF);
}

TEST_CASE("feed_reader: when the system refuses, it says so and keeps nothing", "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    const auto pair = blocking_unix_pair();
    auto out = open_feed(pair.ours.get(), pool, {});
    for (long i = 0;; ++i) {
        // The message that open() sent is gone with the first try.
        if (i != 0) {
            out = open_feed(pair.ours.get(), pool, {});
        }
        const held before;
        faults broken;
        broken.fail_call(i, ENOMEM);
        const auto made = feed_reader::receive_from(pair.peer.get());
        if (made && faults::calls() <= i) {
            CHECK(i >= 12);
            break;
        }
        if (i == 0) {
            REQUIRE_FALSE(made.has_value());
            // Nothing was read: take the message away.
            CHECK(feed_reader::receive_from(pair.peer.get()).has_value());
        }
        REQUIRE(i < 60);
    }
}

}  // namespace
