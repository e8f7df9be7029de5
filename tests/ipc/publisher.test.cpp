// SPDX-License-Identifier: MIT
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include <support/channels.hpp>
#include <support/child.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/publisher.hpp>
#include <zcpool/ipc/reaper.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::channel_receiver;
using zcpool::ipc::publisher;

/// A publisher with readers that have a place of their own each.
struct crowd {
    explicit crowd(std::size_t readers, back_pressure policy = back_pressure::drop_oldest) {
        for (std::size_t i = 0; i < readers; ++i) {
            parts.push_back(attach_again(pool));
            in.push_back(join(parts.back(), policy));
        }
    }
    channel_receiver join(zcpool::pool_view part, back_pressure policy) {
        auto out = make_sender(pool, {.capacity = 2, .when_full = policy});
        auto reader = attach_receiver(part, out);
        REQUIRE(source.add(std::move(out)).has_value());
        return reader;
    }
    [[nodiscard]] slice frame(std::uint64_t seed) { return make_slice(pool, 64, seed); }

    small_pool pool = make_pool({.slots = {32, 1}});
    std::vector<zcpool::ipc::attached_pool> parts;
    publisher source;
    std::vector<channel_receiver> in;
};

TEST_CASE("publisher: all readers get the same bytes, and the last one frees them", "[ipc]") {
    crowd all{5};
    CHECK(all.source.publish(all.frame(1)) == 5);
    std::vector<slice> got;
    for (auto& each : all.in) {
        got.push_back(each.try_receive());
        CHECK(is_frame(got.back(), 1));
    }
    CHECK(slots_in_use(all.pool) == 1);
    CHECK(all.source.publish(all.frame(2)) == 5);
    CHECK(slots_in_use(all.pool) == 2);
    for (std::size_t i = 0; i < got.size(); ++i) {
        CHECK(slots_in_use(all.pool) == 2);
        got[i] = {};
    }
    CHECK(slots_in_use(all.pool) == 1);
    CHECK(all.source.stats().sent == 10);
}

TEST_CASE("publisher: who comes later gets the newest", "[ipc]") {
    crowd all{1};
    all.source.publish(all.frame(1));
    all.source.publish(all.frame(2));
    all.parts.push_back(attach_again(all.pool));
    auto late = all.join(all.parts.back(), back_pressure::drop_newest);
    CHECK(is_frame(late.try_receive(), 2));
    CHECK(late.try_receive().empty());
    CHECK(is_frame(all.source.newest(), 2));
    all.source.forget();
    all.parts.push_back(attach_again(all.pool));
    auto later = all.join(all.parts.back(), back_pressure::drop_newest);
    CHECK(later.try_receive().empty());
    CHECK(all.source.publish(all.frame(3)) == 3);
    CHECK(is_frame(later.try_receive(), 3));
    const auto other = make_pool({.slots = {1, 1}});
    CHECK(all.source.publish(make_slice(other, 64, 4)) == 0);
    all.parts.push_back(attach_again(all.pool));
    auto last = all.join(all.parts.back(), back_pressure::drop_newest);
    CHECK(last.try_receive().empty());
    CHECK(all.source.publish(all.frame(5)) == 4);
    CHECK(is_frame(last.try_receive(), 5));
}

TEST_CASE("publisher: a slow reader loses frames, the others do not", "[ipc]") {
    const auto policy = GENERATE(back_pressure::drop_newest, back_pressure::drop_oldest);
    crowd all{2, policy};
    for (std::uint64_t i = 0; i < 10; ++i) {
        const std::size_t reached = all.source.publish(all.frame(i));
        CHECK(reached == (policy == back_pressure::drop_oldest || i < 2 ? 2 : 1));
        CHECK(is_frame(all.in[0].try_receive(), i));
    }
    CHECK(all.source.stats().dropped == 8);
    const std::uint64_t first = policy == back_pressure::drop_oldest ? 8 : 0;
    CHECK(is_frame(all.in[1].try_receive(), first));
    CHECK(is_frame(all.in[1].try_receive(), first + 1));
    CHECK(all.in[1].try_receive().empty());
    CHECK(all.source.readers() == 2);
}

TEST_CASE("publisher: a reader that closed leaves, and its place is free", "[ipc]") {
    crowd all{3};
    all.in[1].close();
    CHECK(all.source.publish(all.frame(1)) == 2);
    CHECK(all.source.readers() == 2);
    CHECK(all.source.stats().left == 1);
    auto again = all.join(all.parts[1], back_pressure::drop_newest);
    CHECK(all.source.publish(all.frame(2)) == 3);
}

TEST_CASE("publisher: a reader that died leaves, at the latest when its channel is full", "[ipc]") {
    const bool asked = GENERATE(false, true);
    const auto pool = make_pool({.slots = {8, 1}});
    const auto pair = blocking_unix_pair();
    const auto files = pool.share().value();
    child reader{[&] {
        const auto attached = zcpool::ipc::attached_pool::attach(unique_fd{::dup(files.data)},
                                                                 unique_fd{::dup(files.control)});
        auto in = zcpool::ipc::receive_channel(pair.peer.get(), attached.value());
        static_cast<void>(in.value().receive());
        static_cast<void>(!::write(pair.peer.get(), "x", 1));
        for (;;) {
            ::pause();
        }
        return 0;
    }};
    publisher source;
    auto out = make_sender(pool, {.capacity = 2, .when_full = back_pressure::drop_newest});
    REQUIRE(zcpool::ipc::send_channel(pair.ours.get(), out).has_value());
    REQUIRE(source.add(std::move(out)).has_value());
    CHECK(source.publish(make_slice(pool, 64, 1)) == 1);
    char byte = 0;
    REQUIRE(::read(pair.ours.get(), &byte, 1) == 1);
    ::kill(reader.pid(), SIGKILL);
    static_cast<void>(reader.status());
    if (asked) {
        source.reclaim();
    } else {
        for (std::uint64_t i = 0; i < 3; ++i) {
            source.publish(make_slice(pool, 64, i));
        }
    }
    CHECK(source.readers() == 0);
    zcpool::ipc::reaper reaper{pool};
    REQUIRE(reaper.reap().has_value());
    source.forget();
    CHECK(zcpool::ipc::audit(pool).classes[0].available() == 8);
}

TEST_CASE("publisher: at its end readers get what was sent, and those who do not read hold nobody",
          "[ipc]") {
    crowd all{3};
    for (std::uint64_t i = 0; i < 2; ++i) {
        CHECK(all.source.publish(all.frame(i)) == 3);
    }
    all.in[1].close();
    std::thread reader{[&] {
        for (std::uint64_t i = 0; i < 2; ++i) {
            const auto got = all.in[0].receive();
            if (!got || !is_frame(*got, i)) {
                std::abort();
            }
        }
    }};
    // The second has closed, and the third does nothing.
    CHECK(all.source.finish_for(std::chrono::seconds{1}) == 1);
    reader.join();
    CHECK(all.source.readers() == 0);
    CHECK(all.in[0].receive().error() == errc::closed);
    CHECK(all.in[2].receive().error() == errc::closed);
    CHECK(slots_in_use(all.pool) == 0);
    CHECK(all.source.finish_for(std::chrono::milliseconds{0}) == 0);
}

TEST_CASE("publisher: at most 31 readers", "[ipc]") {
    crowd all{1};
    std::vector<channel_receiver> in;
    for (int i = 0; i < 30; ++i) {
        in.push_back(all.join(all.parts.front(), back_pressure::drop_newest));
    }
    CHECK(all.source.readers() == 31);
    CHECK(all.source.add(make_sender(all.pool, {})).error() == errc::too_many_processes);
    CHECK(all.source.publish(all.frame(1)) == 31);
}

TEST_CASE("publisher: a frame that is none costs no reader", "[ipc]") {
    crowd all{2};
    const auto other = make_pool({.slots = {1, 1}});
    CHECK(all.source.publish(slice{}) == 0);
    CHECK(all.source.publish(make_slice(other, 10, 1)) == 0);
    CHECK(all.source.readers() == 2);
    CHECK(all.source.publish(all.frame(1)) == 2);
    CHECK(is_frame(all.in[0].try_receive(), 1));
}

}  // namespace
