// SPDX-License-Identifier: MIT
#include <sys/poll.h>

#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <support/channels.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/channel_receiver.hpp>
#include <zcpool/ipc/reaper.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::channel_receiver;
using zcpool::ipc::wake_by;
using zcpool::sys::unique_fd;

TEST_CASE("channel_receiver: waits for news, by futex or event", "[ipc]") {
    const auto wakes_by = GENERATE(wake_by::futex, wake_by::event);
    const auto spin = GENERATE(0us, 20us);
    channel_pair pair{{.wakes_by = wakes_by}};
    pair.in.set_spin(spin);
    CHECK(pair.in.receive_for(1ms).error() == errc::timed_out);
    std::thread writer{[&] {
        std::this_thread::sleep_for(30ms);
        static_cast<void>(pair.out.send(pair.frame(1)));
    }};
    const auto got = pair.in.receive();
    writer.join();
    REQUIRE(got.has_value());
    CHECK(is_frame(*got, 1));
    CHECK(pair.in.stats().waits > 0);
    CHECK(pair.in.stats().received == 1);
}

TEST_CASE("channel_receiver: an event loop is told of news", "[ipc]") {
    channel_pair pair{{.wakes_by = wake_by::event}};
    pollfd entry{pair.in.event(), POLLIN, 0};
    REQUIRE(pair.in.begin_wait());
    CHECK(::poll(&entry, 1, 0) == 0);
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    CHECK(::poll(&entry, 1, 1'000) == 1);
    pair.in.end_wait();
    CHECK(::poll(&entry, 1, 0) == 0);
    CHECK_FALSE(pair.in.begin_wait());  // there is one
    REQUIRE(pair.out.send(pair.frame(2)).has_value());
    CHECK(::poll(&entry, 1, 0) == 0);  // nobody waits: no signal
    CHECK(is_frame(pair.in.try_receive(), 1));
    CHECK(is_frame(pair.in.try_receive(), 2));
    REQUIRE(pair.in.begin_wait());
    pair.out.finish();
    CHECK(::poll(&entry, 1, 1'000) == 1);
    pair.in.end_wait();
    CHECK(pair.in.ended() == errc::closed);
    CHECK_FALSE(pair.in.begin_wait());
}

TEST_CASE("channel_receiver: what a dead sender sent can be had until it is recovered", "[ipc]") {
    const bool recovered_first = GENERATE(false, true);
    const auto pool = make_pool({.slots = {8, 1}});
    const auto files = pool.share().value();
    const auto ends = blocking_unix_pair();
    child writer{[&] {
        const auto attached = zcpool::ipc::attached_pool::attach(unique_fd{::dup(files.data)},
                                                                 unique_fd{::dup(files.control)});
        auto out = zcpool::ipc::channel_sender::create(attached.value()).value();
        for (std::uint64_t i = 0; i < 3; ++i) {
            zcpool::buffer into = attached->view().try_acquire(64);
            fill(into.space().first(64), i);
            into.commit(64);
            static_cast<void>(out.send(std::move(into).freeze()));
        }
        static_cast<void>(zcpool::ipc::send_channel(ends.peer.get(), out));
        for (;;) {
            ::pause();
        }
        return 0;
    }};
    auto in = zcpool::ipc::receive_channel(ends.ours.get(), pool);
    REQUIRE(in.has_value());
    const slice first = in->try_receive();
    CHECK(is_frame(first, 0));
    CHECK_FALSE(in->is_sender_gone());
    ::kill(writer.pid(), SIGKILL);
    static_cast<void>(writer.status());
    CHECK(in->is_sender_gone());
    zcpool::ipc::reaper reaper{pool};
    if (recovered_first) {
        REQUIRE(reaper.reap().has_value());
        CHECK(in->receive().error() == errc::peer_gone);
        CHECK(in->stats().lost == 2);
    } else {
        CHECK(is_frame(in->receive().value(), 1));
        CHECK(is_frame(in->receive().value(), 2));
        CHECK(in->receive().error() == errc::peer_gone);
        REQUIRE(reaper.reap().has_value());
    }
    CHECK(is_frame(first, 0));
}

TEST_CASE("channel_receiver: numbers that cannot be end the channel", "[ipc]") {
    channel_pair pair{{.capacity = 2}};
    const auto memory = zcpool::sys::mapping::shared(pair.out.files().memory,
                                                     zcpool::ipc::channel_memory::bytes_for(2));
    auto* const header = reinterpret_cast<zcpool::ipc::channel_header*>(memory->data());
    auto* const cells = reinterpret_cast<zcpool::spsc_memory::cell*>(header + 1);
    zcpool::spsc_producer hostile{{{cells, 2}, header->taken}};
    REQUIRE(hostile.try_push(zcpool::descriptor{8, 15, 0, 0, 1}.to_message()));
    CHECK(pair.in.try_receive().empty());
    CHECK(pair.in.ended() == errc::corrupt);
    CHECK(pair.in.receive().error() == errc::corrupt);
    CHECK_FALSE(pair.in.begin_wait());
}

TEST_CASE("channel_receiver: closing is seen behind what was sent", "[ipc]") {
    channel_pair pair;
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    pair.out.finish();
    CHECK_FALSE(pair.in.ended());
    CHECK(is_frame(pair.in.receive().value(), 1));
    CHECK(pair.in.receive().error() == errc::closed);
    CHECK(pair.in.ended() == errc::closed);
}

TEST_CASE("channel_receiver: files that are no channel of this pool are refused", "[ipc]") {
    channel_pair pair;
    const auto other = make_pool({.slots = {1, 1}});
    REQUIRE(other.share().has_value());
    const auto unshared = make_pool({.slots = {1, 1}});
    auto with_events = make_sender(pair.here, {.wakes_by = wake_by::event});
    const held before;
    const auto attach = [&](zcpool::pool_view pool, zcpool::ipc::received_channel files) {
        const auto made = channel_receiver::attach(pool, std::move(files));
        REQUIRE_FALSE(made.has_value());
        return made.error();
    };
    CHECK(attach(other, duplicate(pair.out.files())) == errc::not_a_pool);
    CHECK(attach(unshared, duplicate(pair.out.files())) == errc::closed);
    CHECK(attach(pair.here, duplicate(pair.out.files())) == errc::unsupported);  // to oneself
    CHECK(attach(pair.there, {}).value() == EBADF);
    {
        auto files = duplicate(with_events.files());
        files.room.reset();
        CHECK(attach(pair.there, std::move(files)) == errc::bad_message);
    }
    {
        auto files = duplicate(pair.out.files());
        files.news = unique_fd{::dup(with_events.files().news)};
        CHECK(attach(pair.there, std::move(files)) == errc::bad_message);
    }
    {
        zcpool::ipc::received_channel files;
        files.memory = unique_fd{::dup(pair.here.share()->data)};
        CHECK(attach(pair.there, std::move(files)) == errc::not_a_pool);
    }
    CHECK(before == held{});
}

TEST_CASE("channel_receiver: when the system refuses, it says so and keeps nothing", "[ipc]") {
    channel_pair pair;
    const held before;
    for (long i = 0;; ++i) {
        faults broken;
        auto files = duplicate(pair.out.files());
        broken.fail_call(i, ENOMEM);
        const auto made = channel_receiver::attach(pair.there, std::move(files));
        if (made && faults::calls() <= i) {
            CHECK(i >= 8);
            break;
        }
        // Some are advice, which may be refused.
        CHECK((made || made.error().value() == ENOMEM));
        REQUIRE(i < 50);
    }
    CHECK(before == held{});
}

TEST_CASE("channel_receiver: moved and assigned, it is the same channel", "[ipc]") {
    channel_pair pair;
    REQUIRE(pair.out.send(pair.frame(1)).has_value());
    channel_receiver other = std::move(pair.in);
    CHECK(pair.in.try_receive().empty());
    CHECK(pair.in.ended() == errc::closed);
    CHECK(is_frame(other.try_receive(), 1));
    pair.in = std::move(other);
    REQUIRE(pair.out.send(pair.frame(2)).has_value());
    CHECK(is_frame(pair.in.try_receive(), 2));
    pair.in = attach_receiver(pair.there, make_sender(pair.here, {}));
    CHECK(pair.out.send(pair.frame(3)).error() == errc::closed);
}

/// Sends numbered frames in one thread and takes them in another, either of which is now and then
/// slow.
void run_threads(back_pressure policy, wake_by wakes_by, std::uint32_t capacity) {
    channel_pair pair{{.capacity = capacity, .when_full = policy, .wakes_by = wakes_by}};
    const auto count = static_cast<std::uint64_t>(scaled(20'000));
    std::atomic<bool> failed{false};
    std::thread writer{[&] {
        std::mt19937_64 random{1};
        for (std::uint64_t i = 1; i <= count; ++i) {
            auto into = pair.here.acquire_for(64, 20s);
            if (!into) {
                failed = true;
                return;
            }
            std::memcpy(into->data(), &i, sizeof i);
            into->commit(sizeof i);
            if (!pair.out.send(std::move(*into).freeze())) {
                failed = true;
            }
            if (random() % 64 == 0) {
                std::this_thread::sleep_for(std::chrono::microseconds{random() % 100});
            }
        }
        if (!pair.out.finish_for(20s)) {
            failed = true;
        }
    }};
    std::mt19937_64 random{2};
    std::uint64_t last = 0;
    std::uint64_t wrong = 0;
    std::vector<slice> held;
    for (;;) {
        auto got = pair.in.receive_for(20s);
        if (!got) {
            CHECK(got.error() == errc::closed);
            break;
        }
        std::uint64_t number = 0;
        std::memcpy(&number, got->data(), sizeof number);
        const bool follows = policy == back_pressure::wait ? number == last + 1 : number > last;
        wrong += follows ? 0U : 1U;
        last = number;
        held.push_back(std::move(*got));
        if (held.size() > random() % 4) {
            held.clear();
        }
        if (random() % 64 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds{random() % 100});
        }
    }
    writer.join();
    held.clear();
    CHECK_FALSE(failed.load());
    CHECK(wrong == 0);
    const auto out = pair.out.stats();
    CHECK(pair.in.stats().lost == 0);
    if (policy == back_pressure::drop_oldest) {
        CHECK(out.sent == count);
        CHECK(last == count);
        CHECK(pair.in.stats().received + out.dropped == count);
    } else {
        CHECK(out.sent + out.dropped == count);
        CHECK(pair.in.stats().received == out.sent);
    }
    CHECK(pair.all_free());
    CHECK(slots_in_use(pair.here) == 0);
}

TEST_CASE("channel_receiver: a stream between two threads, nothing lost or twice", "[ipc]") {
    run_threads(
        GENERATE(back_pressure::wait, back_pressure::drop_newest, back_pressure::drop_oldest),
        GENERATE(wake_by::futex, wake_by::event), GENERATE(1U, 8U));
}

}  // namespace
