// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/poll.h>

#include <chrono>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/allocations.hpp>
#include <support/channels.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/ipc/channel_sender.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::channel_sender;
using zcpool::ipc::send_outcome;
using zcpool::ipc::wake_by;

TEST_CASE("channel_sender: what is sent arrives in order, and its slots come back", "[ipc]") {
    channel_pair pair{{.capacity = 4}};
    for (std::uint64_t i = 0; i < 20; ++i) {
        CHECK(pair.out.send(pair.frame(i)) == send_outcome::sent);
        const slice got = pair.in.try_receive();
        CHECK(is_frame(got, i));
    }
    CHECK(pair.in.try_receive().empty());
    REQUIRE(pair.out.reclaim().has_value());
    CHECK(pair.out.in_flight() == 0);
    CHECK(pair.out.stats().sent == 20);
    CHECK(pair.in.stats().received == 20);
    CHECK(pair.all_free());
}

TEST_CASE("channel_sender: a slice that nobody else has is the receiver's to free", "[ipc]") {
    channel_pair pair;
    slice only = pair.frame(1);
    REQUIRE(pair.out.send(std::move(only)).has_value());
    CHECK(only.empty());
    slice got = pair.in.try_receive();
    CHECK(is_frame(got, 1));
    got = {};
    CHECK(pair.all_free());  // the sender has not looked since

    const slice kept = pair.frame(2);
    slice copy = kept;
    REQUIRE(pair.out.send(std::move(copy)).has_value());
    REQUIRE(pair.out.send(kept).has_value());
    CHECK(is_frame(pair.in.try_receive(), 2));
    CHECK(is_frame(pair.in.try_receive(), 2));
    CHECK_FALSE(pair.all_free());
    CHECK(is_frame(kept, 2));
}

TEST_CASE("channel_sender: what could not be sent is still the caller's", "[ipc]") {
    const auto policy = GENERATE(back_pressure::wait, back_pressure::drop_newest);
    channel_pair pair{{.capacity = 1, .when_full = policy}};
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    slice mine = pair.frame(1);
    CHECK(pair.out.try_send(std::move(mine)).error() == errc::full);
    CHECK(is_frame(mine, 1));
    const auto sent = pair.out.send_for(std::move(mine), 1ms);
    CHECK((sent ? *sent == send_outcome::dropped : sent.error() == errc::timed_out));
    CHECK(is_frame(mine, 1));
    pair.in.close();
    CHECK(pair.out.send(std::move(mine)).error() == errc::closed);
    CHECK(is_frame(mine, 1));
}

TEST_CASE("channel_sender: what was not read when it goes is taken back", "[ipc]") {
    const bool handed_over = GENERATE(false, true);
    channel_pair pair;
    slice kept;
    for (std::uint64_t i = 0; i < 3; ++i) {
        slice next = pair.frame(i);
        kept = handed_over ? slice{} : next;
        REQUIRE(pair.out.send(std::move(next)).has_value());
    }
    kept = {};
    const slice first = pair.in.try_receive();
    {
        const channel_sender gone = std::move(pair.out);
    }
    CHECK(slots_in_use(pair.here) == 1);
    CHECK(is_frame(first, 0));
    CHECK(pair.in.receive().error() == errc::closed);
    CHECK(pair.in.stats().lost == 0);
}

TEST_CASE("channel_sender: with room for no more, try_send says so and sends nothing", "[ipc]") {
    channel_pair pair{{.capacity = 3}};  // 4 of them
    for (std::uint64_t i = 0; i < 4; ++i) {
        REQUIRE(pair.out.try_send(pair.frame(i)).has_value());
    }
    CHECK(pair.out.try_send(pair.frame(9)).error() == errc::full);
    CHECK(pair.out.stats().sent == 4);
    CHECK(is_frame(pair.in.try_receive(), 0));
    CHECK(pair.out.try_send(pair.frame(4)).has_value());
    for (std::uint64_t i = 1; i < 5; ++i) {
        CHECK(is_frame(pair.in.try_receive(), i));
    }
}

TEST_CASE("channel_sender: several at once, as many as fit", "[ipc]") {
    channel_pair pair{{.capacity = 4}};
    std::vector<slice> frames;
    for (std::uint64_t i = 0; i < 6; ++i) {
        frames.push_back(pair.frame(i));
    }
    CHECK(pair.out.try_send_many(frames) == 4);
    CHECK(frames[3].empty());
    CHECK(is_frame(frames[4], 4));
    CHECK(pair.out.try_send_many(std::span{frames}.subspan(4)).error() == errc::full);
    CHECK(is_frame(frames[4], 4));
    CHECK(pair.out.try_send_many({}) == 0);
    std::vector<slice> got(3);
    CHECK(pair.in.try_receive_many(got) == 3);
    for (std::uint64_t i = 0; i < 3; ++i) {
        CHECK(is_frame(got[i], i));
    }
    CHECK(pair.in.try_receive_many(got) == 1);
    CHECK(is_frame(got[0], 3));
}

TEST_CASE("channel_sender: drop_newest keeps what is in the channel", "[ipc]") {
    channel_pair pair{{.capacity = 2, .when_full = back_pressure::drop_newest}};
    CHECK(pair.out.send(pair.frame(0)) == send_outcome::sent);
    CHECK(pair.out.send(pair.frame(1)) == send_outcome::sent);
    CHECK(pair.out.send(pair.frame(2)) == send_outcome::dropped);
    CHECK(pair.out.stats().dropped == 1);
    CHECK(is_frame(pair.in.try_receive(), 0));
    CHECK(is_frame(pair.in.try_receive(), 1));
    CHECK(pair.in.try_receive().empty());
}

TEST_CASE("channel_sender: drop_oldest keeps the newest", "[ipc]") {
    channel_pair pair{{.capacity = 2, .when_full = back_pressure::drop_oldest}};
    CHECK(pair.out.send(pair.frame(0)) == send_outcome::sent);
    CHECK(pair.out.send(pair.frame(1)) == send_outcome::sent);
    for (std::uint64_t i = 2; i < 10; ++i) {
        CHECK(pair.out.send(pair.frame(i)) == send_outcome::sent_for_oldest);
    }
    CHECK(pair.out.stats().dropped == 8);
    CHECK(slots_in_use(pair.here) == 2);  // what was dropped is free
    CHECK(is_frame(pair.in.try_receive(), 8));
    CHECK(is_frame(pair.in.try_receive(), 9));
    REQUIRE(pair.out.reclaim().has_value());
    CHECK(pair.all_free());
}

TEST_CASE("channel_sender: waits until there is room", "[ipc]") {
    const auto wakes_by = GENERATE(wake_by::futex, wake_by::event);
    channel_pair pair{{.capacity = 1, .wakes_by = wakes_by}};
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    CHECK(pair.out.send_for(pair.frame(1), 1ms).error() == errc::timed_out);
    CHECK(pair.out.stats().sent == 1);
    std::thread reader{[&] {
        std::this_thread::sleep_for(30ms);
        static_cast<void>(pair.in.try_receive());
    }};
    CHECK(pair.out.send(pair.frame(2)) == send_outcome::sent);
    reader.join();
    CHECK(pair.out.stats().waits > 0);
    CHECK(is_frame(pair.in.try_receive(), 2));
}

TEST_CASE("channel_sender: an event loop is told of room", "[ipc]") {
    channel_pair pair{{.capacity = 1, .wakes_by = wake_by::event}};
    CHECK_FALSE(pair.out.begin_wait());  // there is room
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    REQUIRE(pair.out.begin_wait());
    pollfd entry{pair.out.event(), POLLIN, 0};
    CHECK(::poll(&entry, 1, 0) == 0);
    static_cast<void>(pair.in.try_receive());
    CHECK(::poll(&entry, 1, 1'000) == 1);
    pair.out.end_wait();
    CHECK(::poll(&entry, 1, 0) == 0);
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    static_cast<void>(pair.in.try_receive());  // nobody waits: no signal
    CHECK(::poll(&entry, 1, 0) == 0);
}

TEST_CASE("channel_sender: finishing waits for the last message to be read", "[ipc]") {
    channel_pair pair;
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    CHECK(pair.out.finish_for(1ms).error() == errc::timed_out);
    CHECK(pair.out.send(pair.frame(2)).error() == errc::closed);
    std::thread reader{[&] {
        std::this_thread::sleep_for(10ms);
        static_cast<void>(pair.in.receive());
        std::this_thread::sleep_for(10ms);
        static_cast<void>(pair.in.receive());
    }};
    CHECK(pair.out.finish_for(20s).has_value());
    reader.join();
    CHECK(pair.in.receive().error() == errc::closed);
    CHECK(pair.in.ended() == errc::closed);
    CHECK(pair.all_free());
}

TEST_CASE("channel_sender: a receiver that closed is told of at once", "[ipc]") {
    channel_pair pair{{.capacity = 1}};
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    std::thread reader{[&] {
        std::this_thread::sleep_for(10ms);
        pair.in.close();
    }};
    CHECK(pair.out.send(pair.frame(1)).error() == errc::closed);
    reader.join();
    CHECK(pair.out.try_send(pair.frame(1)).error() == errc::closed);
    CHECK(pair.out.finish_for(20s).has_value());
}

TEST_CASE("channel_sender: the death of the receiver ends a wait", "[ipc]") {
    const auto wakes_by = GENERATE(wake_by::futex, wake_by::event);
    const auto pool = make_pool({.slots = {4, 1}});
    auto out = make_sender(pool, {.capacity = 1, .wakes_by = wakes_by});
    const auto files = pool.share().value();
    child reader{[&] {
        const auto attached =
            zcpool::ipc::attached_pool::attach(zcpool::sys::unique_fd{::dup(files.data)},
                                               zcpool::sys::unique_fd{::dup(files.control)});
        auto in = zcpool::ipc::channel_receiver::attach(attached.value(), duplicate(out.files()));
        static_cast<void>(in.value().receive());
        for (;;) {
            ::pause();
        }
        return 0;
    }};
    REQUIRE(out.send(make_slice(pool, 64, 0)).has_value());
    REQUIRE(out.send(make_slice(pool, 64, 1)).has_value());  // it has received the first
    CHECK_FALSE(out.is_receiver_gone());
    ::kill(reader.pid(), SIGSTOP);
    CHECK(out.send_for(make_slice(pool, 64, 2), 50ms).error() == errc::timed_out);
    ::kill(reader.pid(), SIGKILL);
    CHECK(out.send(make_slice(pool, 64, 2)).error() == errc::peer_gone);
    CHECK(out.is_receiver_gone());
    CHECK(out.finish_for(20s).error() == errc::peer_gone);
}

TEST_CASE("channel_sender: a position that cannot be ends the channel", "[ipc]") {
    channel_pair pair{{.capacity = 2}};
    REQUIRE(pair.out.send(pair.frame(0)).has_value());
    const auto memory = zcpool::sys::mapping::shared(pair.out.files().memory,
                                                     zcpool::ipc::channel_memory::bytes_for(2));
    reinterpret_cast<zcpool::ipc::channel_header*>(memory->data())
        ->taken.store(77, zcpool::memory_order_relaxed);
    CHECK(pair.out.reclaim().error() == errc::corrupt);
    CHECK(pair.out.send(pair.frame(1)).error() == errc::corrupt);
    CHECK(pair.out.finish_for(20s).error() == errc::corrupt);
}

TEST_CASE("channel_sender: options out of range are refused", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    CHECK(channel_sender::create(pool, {.capacity = 0}).error() == errc::invalid_options);
    CHECK(channel_sender::create(pool, {.capacity = 32'769}).error() == errc::invalid_options);
    CHECK(channel_sender::create(pool, {.capacity = 32'768}).has_value());
    CHECK(channel_sender::create(pool, {.capacity = 1}).has_value());
    using checked_pool = zcpool::pool<zcpool::size_classes<4_KiB>,
                                      zcpool::pool_policy{.checking = zcpool::checking::guarded}>;
    const auto checked = make_pool<checked_pool>({.slots = {1}});
    CHECK(channel_sender::create(checked).error() == errc::unsupported);
}

TEST_CASE("channel_sender: another pool's slice, or none, is refused", "[ipc]") {
    channel_pair pair;
    const auto other = make_pool({.slots = {1, 1}});
    CHECK(pair.out.send(make_slice(other, 10, 1)).error() == errc::foreign_slice);
    CHECK(pair.out.send(slice{}).error() == errc::foreign_slice);
    CHECK(pair.in.try_receive().empty());
}

TEST_CASE("channel_sender: when the system refuses, it says so and keeps nothing", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    REQUIRE(pool.share().has_value());
    const held before;
    long calls = 0;
    for (long i = 0;; ++i) {
        faults broken;
        broken.fail_call(i, EMFILE);
        const auto made = channel_sender::create(pool, {.wakes_by = wake_by::event});
        if (made && faults::calls() <= i) {
            calls = faults::calls();
            break;
        }
        INFO("call " << i);
        // Some are advice, which may be refused.
        CHECK((made || made.error().value() == EMFILE));
        REQUIRE(i < 50);
    }
    CHECK(calls >= 8);
    CHECK(before == held{});
}

TEST_CASE("channel_sender: without memory it says so and keeps nothing", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    REQUIRE(pool.share().has_value());
    const held before;
    CHECK(fail_each_allocation([&] { return error_of(channel_sender::create(pool, {})); }) > 0);
    CHECK(before == held{});
}

TEST_CASE("channel_sender: moved and assigned, it is the same channel", "[ipc]") {
    channel_pair pair;
    channel_sender other = std::move(pair.out);
    CHECK(other.send(pair.frame(1)) == send_outcome::sent);
    CHECK(pair.out.try_send(pair.frame(1)).error() == errc::closed);
    CHECK_FALSE(pair.out.begin_wait());
    pair.out = std::move(other);
    CHECK(pair.out.send(pair.frame(2)) == send_outcome::sent);
    CHECK(is_frame(pair.in.try_receive(), 1));
    pair.out = make_sender(pair.here, {});
    CHECK(pair.in.receive().error() == errc::closed);  // what was not received was taken back
}

TEST_CASE("channel_sender: in a forked child it does nothing", "[ipc]") {
    channel_pair pair;
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    CHECK(status_of([&] {
              const bool refused = pair.out.reclaim().error() == errc::closed &&
                                   pair.out.try_send(slice{}).error() == errc::closed &&
                                   pair.in.try_receive().empty() && pair.in.ended() == errc::closed;
              channel_sender mine = std::move(pair.out);
              zcpool::ipc::channel_receiver ours = std::move(pair.in);
              return refused ? 0 : 1;
          }) == 0);
    CHECK(is_frame(pair.in.try_receive(), 1));
}

TEST_CASE("channel_sender: assigned to itself, it is as it was", "[ipc]") {
    channel_pair pair;
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    auto& same = pair.out;
    pair.out = std::move(same);
    REQUIRE(pair.out.send(pair.frame(2)).has_value());
    CHECK(is_frame(pair.in.try_receive(), 1));
    CHECK(is_frame(pair.in.try_receive(), 2));
}

TEST_CASE("channel_sender: a forked child's own memory stays when the ends go", "[ipc]") {
    channel_pair pair{{.wakes_by = wake_by::event}};
    REQUIRE(pair.in.begin_wait());
    CHECK(status_of([&] {
              pair.in.end_wait();
              pair.out.end_wait();
              // The hole that the ends' memory has left is filled at once.
              std::vector<volatile char*> mine;
              for (int i = 0; i < 512; ++i) {
                  auto* const page = static_cast<volatile char*>(::mmap(
                      nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
                  // It may lie where the parent has released slots.
                  zcpool::unpoison(const_cast<char*>(page), 4096);
                  *page = 7;
                  mine.push_back(page);
              }
              {
                  const channel_sender out = std::move(pair.out);
                  const zcpool::ipc::channel_receiver in = std::move(pair.in);
              }
              for (volatile char* const each : mine) {
                  if (*each != 7) {
                      return 1;
                  }
              }
              return 0;
          }) == 0);
    pair.in.end_wait();
}

}  // namespace
