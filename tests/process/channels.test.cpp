// SPDX-License-Identifier: MIT
// Slices between processes that are killed at any moment: what arrives is whole and in order, and
// no slot is lost.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <support/channels.hpp>
#include <support/sockets.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::back_pressure;
using zcpool::ipc::channel_receiver;
using zcpool::ipc::channel_sender;
using zcpool::ipc::reaper;
using zcpool::ipc::wake_by;

using frames = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;

/// The beginning of a frame; the rest is fill(number).
struct frame_head {
    std::uint64_t number;
    std::uint64_t bytes;
};

/// A frame of some size with its number in it; nothing when there is no slot in time. Where a pool
/// that zeroes did not, the frame is wrong.
std::optional<slice> make_frame(zcpool::pool_view pool, std::uint64_t number,
                                std::mt19937_64& random, std::chrono::milliseconds patience = 20s) {
    const std::uint64_t bytes = random() % 8 == 0 ? 60'000 : sizeof(frame_head) + random() % 1'000;
    auto into = pool.acquire_for(bytes, patience);
    if (!into) {
        return std::nullopt;
    }
    const bool is_right = pool.report().zeroing == zcpool::zeroing::never || is_zero(*into);
    const frame_head head{number, is_right ? bytes : 0};
    std::memcpy(into->data(), &head, sizeof head);
    fill(into->space().subspan(sizeof head, bytes - sizeof head), number);
    into->commit(bytes);
    return std::move(*into).freeze();
}

/// The number of a frame; 0 when its bytes are not what make_frame() wrote.
std::uint64_t number_of(const slice& frame) {
    frame_head head{};
    if (frame.size() < sizeof head) {
        return 0;
    }
    std::memcpy(&head, frame.data(), sizeof head);
    if (head.bytes != frame.size()) {
        return 0;
    }
    const auto wanted = pattern(frame.size() - sizeof head, head.number);
    const bool is_whole = std::equal(wanted.begin(), wanted.end(), frame.data() + sizeof head);
    return is_whole ? head.number : 0;
}

/// Both, one after the other: what is zeroed too early is wrong at its receiver.
zcpool::zeroing either_way() {
    return GENERATE(zcpool::zeroing::never, zcpool::zeroing::on_release);
}

/// What a test's processes count, beside tally_page.
struct stream_tally {
    std::atomic<std::uint64_t> next;      // number of the next frame to be made
    std::atomic<std::uint64_t> last;      // that was received
    std::atomic<std::uint64_t> received;  // frames
    std::atomic<std::uint64_t> wrong;     // bytes or order
    std::atomic<std::uint64_t> kept;      // frames that the sender went on using

    [[nodiscard]] static stream_tally& make() {
        void* const page = ::mmap(nullptr, sizeof(stream_tally), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(page != MAP_FAILED);
        return *new (page) stream_tally{};
    }
};

/// Mostly by event, with which a death is noticed at once.
wake_by any_wake(std::uint64_t random) { return random % 8 == 0 ? wake_by::futex : wake_by::event; }

/// Sends numbered frames until it is killed, or the receiver goes.
int send_frames(int socket, const zcpool::pool_descriptors& files, back_pressure policy,
                std::uint64_t seed, tally_page& tally, stream_tally& stream) {
    const auto attached = attach_in_child(files, tally);
    std::mt19937_64 random{seed};
    auto out = channel_sender::create(
        attached, {.capacity = 8, .when_full = policy, .wakes_by = any_wake(seed)});
    if (!out || !zcpool::ipc::send_channel(socket, *out)) {
        tally.refused.fetch_add(1);
        return 1;
    }
    slice kept;
    for (;;) {
        auto frame = make_frame(attached, stream.next.fetch_add(1) + 1, random);
        if (!frame) {
            tally.timeouts.fetch_add(1);
            continue;
        }
        if (random() % 4 == 0) {
            kept = *frame;  // so that it is shared, and not handed over
            stream.kept.fetch_add(1);
        }
        if (auto sent = out->send(std::move(*frame)); !sent) {
            return sent.error() == errc::closed || sent.error() == errc::peer_gone ? 0 : 2;
        }
        if (random() % 4 == 0) {
            kept = {};
        }
    }
}

/// Receives until the sender is gone; holds a few frames meanwhile.
void receive_frames(channel_receiver& in, std::mt19937_64& random, stream_tally& stream) {
    std::vector<slice> held;
    for (;;) {
        auto got = in.receive_for(20s);
        if (!got) {
            if (got.error() != errc::peer_gone && got.error() != errc::closed) {
                stream.wrong.fetch_add(1);
            }
            return;
        }
        const std::uint64_t number = number_of(*got);
        if (number <= stream.last.load()) {
            stream.wrong.fetch_add(1);
        } else {
            stream.last.store(number);
        }
        stream.received.fetch_add(1);
        held.push_back(std::move(*got));
        if (held.size() > random() % 6) {
            held.erase(held.begin(), held.begin() + static_cast<long>(held.size() / 2 + 1));
        }
    }
}

back_pressure any_policy(std::mt19937_64& random) {
    constexpr back_pressure all[] = {back_pressure::wait, back_pressure::drop_newest,
                                     back_pressure::drop_oldest};
    return all[random() % std::size(all)];
}

void check_stream(zcpool::pool_view pool, const tally_page& tally, const stream_tally& stream) {
    CHECK(stream.received.load() > 0);
    CHECK(stream.kept.load() > 0);
    CHECK(stream.wrong.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    CHECK(tally.refused.load() == 0);
    CHECK(places_taken(pool) == 1);
    check_all_there(pool);
}

TEST_CASE("channels: senders are killed, and what arrived of theirs was whole", "[channels]") {
    const auto pool = make_pool<frames>({.slots = {32, 8}, .zeroing = either_way()});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    stream_tally& stream = stream_tally::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    reaper reap{pool};
    std::uint64_t lost = 0;
    for (long n = scaled(500); n > 0; --n) {
        const auto ends = blocking_unix_pair();
        const auto policy = any_policy(random);
        child sender{[&] {
            return send_frames(ends.peer.get(), files, policy, random() + 1, tally, stream);
        }};
        auto in = zcpool::ipc::receive_channel(ends.ours.get(), pool);
        REQUIRE(in.has_value());
        std::thread killer{[&, wait = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(wait));
            ::kill(sender.pid(), SIGKILL);
        }};
        if (random() % 2 == 0) {
            receive_frames(*in, random, stream);
            killer.join();
        } else {
            // Recovered first: what had not been read is skipped.
            killer.join();
            static_cast<void>(sender.status());
            REQUIRE(reap.reap().has_value());
            receive_frames(*in, random, stream);
            lost += in->stats().lost;
        }
        static_cast<void>(random());
        REQUIRE(reap.reap().has_value());
    }
    CHECK(lost > 0);
    REQUIRE(reap.reap().has_value());
    check_stream(pool, tally, stream);
}

TEST_CASE("channels: receivers are killed, and their slots come back", "[channels]") {
    const auto pool = make_pool<frames>({.slots = {32, 8}, .zeroing = either_way()});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    stream_tally& stream = stream_tally::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    reaper reap{pool};
    for (long n = scaled(500); n > 0; --n) {
        const auto ends = blocking_unix_pair();
        stream.last.store(0);
        child receiver{[&] {
            const auto attached = attach_in_child(files, tally);
            auto in = zcpool::ipc::receive_channel(ends.peer.get(), attached);
            if (!in) {
                tally.refused.fetch_add(1);
                return 1;
            }
            std::mt19937_64 own{random()};
            receive_frames(*in, own, stream);
            return 0;
        }};
        auto out = make_sender(
            pool, {.capacity = 8, .when_full = any_policy(random), .wakes_by = any_wake(random())});
        REQUIRE(zcpool::ipc::send_channel(ends.ours.get(), out).has_value());
        std::atomic<bool> killed{false};
        std::thread killer{[&, wait = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(wait));
            ::kill(receiver.pid(), SIGKILL);
            static_cast<void>(receiver.status());
            killed.store(true);
        }};
        slice kept;
        for (std::uint64_t number = 1; !killed.load(); ++number) {
            // Slots that the dead one has come back when it is recovered.
            auto frame = make_frame(pool, number, random, 1ms);
            if (frame && random() % 4 == 0) {
                kept = *frame;
                stream.kept.fetch_add(1);
            }
            if (frame && !out.send_for(std::move(*frame), 1ms)) {
                kept = {};
            }
        }
        killer.join();
        kept = {};
        static_cast<void>(random());
        REQUIRE(reap.reap().has_value());
    }
    REQUIRE(reap.reap().has_value());
    check_stream(pool, tally, stream);
}

TEST_CASE("channels: a pipeline of three, of which any is killed", "[channels]") {
    // Source, middle, this one. The middle hands on what it gets.
    const auto pool = make_pool<frames>({.slots = {48, 12}, .zeroing = either_way()});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    stream_tally& stream = stream_tally::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    reaper reap{pool};
    for (long n = scaled(250); n > 0; --n) {
        const auto first = blocking_unix_pair();
        const auto second = blocking_unix_pair();
        child source{[&] {
            return send_frames(first.peer.get(), files, back_pressure::wait, random() + 1, tally,
                               stream);
        }};
        child middle{[&] {
            const auto attached = attach_in_child(files, tally);
            auto in = zcpool::ipc::receive_channel(first.ours.get(), attached);
            auto out =
                channel_sender::create(attached, {.capacity = 4, .wakes_by = any_wake(random())});
            if (!in || !out || !zcpool::ipc::send_channel(second.peer.get(), *out)) {
                tally.refused.fetch_add(1);
                return 1;
            }
            for (;;) {
                auto got = in->receive();
                if (!got || !out->send(std::move(*got))) {
                    return 0;
                }
            }
        }};
        auto in = zcpool::ipc::receive_channel(second.ours.get(), pool);
        REQUIRE(in.has_value());
        const pid_t victim = random() % 2 == 0 ? source.pid() : middle.pid();
        std::thread killer{[&, wait = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(wait));
            ::kill(victim, SIGKILL);
        }};
        receive_frames(*in, random, stream);
        killer.join();
        ::kill(source.pid(), SIGKILL);
        ::kill(middle.pid(), SIGKILL);
        static_cast<void>(source.status());
        static_cast<void>(middle.status());
        static_cast<void>(random());
        REQUIRE(reap.reap().has_value());
        REQUIRE(reap.reap().has_value());
    }
    check_stream(pool, tally, stream);
}

TEST_CASE("channels: every message once and in order, between two processes", "[channels]") {
    const auto pool = make_pool<frames>({.slots = {256, 1}});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto ends = blocking_unix_pair();
    const auto count = static_cast<std::uint64_t>(scaled(1'000'000));
    child sender{[&] {
        const auto attached = attach_in_child(files, tally);
        auto out = channel_sender::create(attached, {.capacity = 64});
        if (!out || !zcpool::ipc::send_channel(ends.peer.get(), *out)) {
            return 1;
        }
        for (std::uint64_t i = 1; i <= count; ++i) {
            auto into = attached.view().acquire_for(8, 20s);
            if (!into) {
                return 2;
            }
            std::memcpy(into->data(), &i, sizeof i);
            into->commit(sizeof i);
            if (!out->send(std::move(*into).freeze())) {
                return 3;
            }
        }
        return out->finish_for(20s) ? 0 : 4;
    }};
    auto in = zcpool::ipc::receive_channel(ends.ours.get(), pool);
    REQUIRE(in.has_value());
    std::uint64_t wrong = 0;
    std::uint64_t expected = 1;
    std::array<slice, 16> some;
    for (;;) {
        // One after the other, or many at once.
        auto one = in->receive_for(20s);
        if (!one) {
            CHECK(one.error() == errc::closed);
            break;
        }
        const auto check = [&](const slice& got) {
            std::uint64_t number = 0;
            std::memcpy(&number, got.data(), sizeof number);
            wrong += number == expected ? 0U : 1U;
            ++expected;
        };
        check(*one);
        const std::size_t more = expected % 3 == 0 ? in->try_receive_many(some) : 0;
        for (std::size_t i = 0; i < more; ++i) {
            check(some[i]);
            some[i] = {};
        }
    }
    CHECK(wrong == 0);
    CHECK(expected == count + 1);
    CHECK(sender.status() == 0);
    reaper reap{pool};
    REQUIRE(reap.reap().has_value());
    check_all_there(pool);
}

}  // namespace
