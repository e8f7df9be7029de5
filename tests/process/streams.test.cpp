// SPDX-License-Identifier: MIT
// Byte streams between two processes: every byte is checked, either one is killed at any moment,
// and one of them lies.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <span>
#include <system_error>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/streams.hpp>
#include <zcpool/ipc/byte_stream.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::stream_options;
using zcpool::ipc::stream_reader;
using zcpool::ipc::stream_writer;
using zcpool::sys::clock;

constexpr auto ages = 60s;  // a wait that takes them has lost its wake-up

/// The bytes of a stream: eight at each position that is a multiple of eight, from a seed.
class pattern {
public:
    explicit pattern(std::uint64_t seed) : seed_(seed) {}

    void fill(std::span<std::byte> into, std::uint64_t position) const {
        each_word(into.size(), position, [&](std::size_t at, const std::byte* word, auto bytes) {
            std::memcpy(into.data() + at, word, bytes);
        });
    }
    [[nodiscard]] bool is(std::span<const std::byte> bytes, std::uint64_t position) const {
        bool right = true;
        each_word(bytes.size(), position, [&](std::size_t at, const std::byte* word, auto count) {
            right = right && std::memcmp(bytes.data() + at, word, count) == 0;
        });
        return right;
    }

private:
    template <class Use>
    void each_word(std::size_t count, std::uint64_t position, Use use) const {
        for (std::size_t at = 0; at < count;) {
            const std::uint64_t index = (position + at) / 8;
            const std::size_t inside = (position + at) % 8;
            // splitmix64
            std::uint64_t word = seed_ + (index + 1) * 0x9E37'79B9'7F4A'7C15;
            word = (word ^ (word >> 30)) * 0xBF58'476D'1CE4'E5B9;
            word = (word ^ (word >> 27)) * 0x94D0'49BB'1331'11EB;
            word ^= word >> 31;
            std::array<std::byte, 8> bytes;
            std::memcpy(bytes.data(), &word, 8);
            const std::size_t part = std::min(8 - inside, count - at);
            use(at, bytes.data() + inside, part);
            at += part;
        }
    }
    std::uint64_t seed_;
};

/// Sizes of messages: mostly small, now and then as large as may be.
class sizes {
public:
    sizes(std::uint64_t seed, std::size_t most) : random_(seed), most_(most) {}
    [[nodiscard]] std::size_t next() {
        const std::uint64_t draw = random_();
        const std::size_t most = (draw & 3) == 0 ? most_ : std::min<std::size_t>(most_, 2'000);
        return 1 + (draw >> 8) % most;
    }
    /// True now and then: the caller rests, so that the other one falls asleep.
    [[nodiscard]] bool is_pause() { return random_() % 4'096 == 0; }

private:
    std::mt19937_64 random_;
    std::size_t most_;
};

/// Writes `total` bytes of a pattern. Returns: 0, or what was wrong.
int write_pattern(stream_writer& writer, std::uint64_t seed, std::uint64_t total) {
    const pattern content{seed};
    // Half of it: a writer that waits for more room than a reader, who waits for more bytes, leaves
    // would wait for ever.
    sizes draw{seed + 1, writer.capacity() / 2};
    for (std::uint64_t done = 0; done < total;) {
        const auto wanted =
            static_cast<std::size_t>(std::min<std::uint64_t>(draw.next(), total - done));
        const auto room = writer.space_for(wanted, ages);
        if (!room || room->size() < wanted) {
            return 10;
        }
        content.fill(room->first(wanted), done);
        writer.commit(wanted);
        done += wanted;
        if (draw.is_pause()) {
            ::usleep(300);
        }
    }
    writer.close();
    return 0;
}

constexpr std::uint64_t wrong_byte = UINT64_MAX;

/// Reads until the end. Returns: how many bytes, all of them right; or `wrong_byte`.
std::uint64_t read_pattern(stream_reader& reader, std::uint64_t seed, std::error_code& ended_as) {
    const pattern content{seed};
    sizes draw{seed + 2, reader.capacity() / 2};
    for (std::uint64_t done = 0;;) {
        const auto there = reader.readable_for(draw.next(), ages);
        if (!there) {
            ended_as = there.error();
            return done;
        }
        const std::size_t part = std::min(draw.next(), there->size());
        if (!content.is(there->first(part), done)) {
            return wrong_byte;
        }
        reader.consume(part);
        done += part;
        if (draw.is_pause()) {
            ::usleep(300);
        }
    }
}

TEST_CASE("streams: two processes exchange a gigabyte of random sizes, every byte right",
          "[streams]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    const auto total = static_cast<std::uint64_t>(scaled(1'000'000'000));
    for (const stream_options& options :
         {stream_options{.capacity = 4096, .spin = 0ns}, stream_options{.capacity = 65'536},
          stream_options{.capacity = 1 << 20, .spin = 1ms}}) {
        CAPTURE(options.capacity);
        // The small one sleeps at every turn.
        const std::uint64_t amount = options.capacity == 4096 ? total / 50 : total / 2;
        const socket_pair sockets;
        child writer{[&] {
            auto end = stream_writer::create(sockets.here.get(), options);
            return end ? write_pattern(*end, seed, amount) : 1;
        }};
        auto reader = stream_reader::receive(sockets.there.get(), options);
        REQUIRE(reader.has_value());
        std::error_code ended_as;
        CHECK(read_pattern(*reader, seed, ended_as) == amount);
        CHECK(ended_as == errc::closed);
        CHECK(writer.status() == 0);
    }
}

/// A turn that two processes pass to each other, and the words that they sleep on.
struct shared_turn {
    alignas(64) std::atomic<std::uint32_t> turn{0};
    alignas(64) zcpool::ipc::sleep_word words[2];
};

// Without a stream around it, whose sleeper looks again every 100 ms: a lost wake-up is a minute.
TEST_CASE("streams: two processes that wake each other lose no wake-up", "[streams]") {
    using zcpool::ipc::barrier_kind;
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    const auto rounds = static_cast<std::uint32_t>(scaled(100'000));
    const bool has_barrier = zcpool::sys::global_barrier::prepare().has_value();
    for (const barrier_kind kind : {barrier_kind::full, barrier_kind::lopsided}) {
        if (kind == barrier_kind::lopsided && !has_barrier) {
            continue;
        }
        void* const memory = ::mmap(nullptr, sizeof(shared_turn), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory != MAP_FAILED);
        shared_turn& shared = *::new (memory) shared_turn;
        const auto play = [&](unsigned side) {
            static_cast<void>(zcpool::sys::global_barrier::prepare());
            std::minstd_rand random{seed + side};
            for (std::uint32_t i = side; i < 2 * rounds; i += 2) {
                const auto is_mine = [&] {
                    return shared.turn.load(std::memory_order_acquire) == i;
                };
                const auto begin = clock::now();
                while (!is_mine()) {
                    shared.words[side].sleep_unless(is_mine, kind, begin + ages);
                    if (clock::now() - begin >= ages) {
                        return 2;
                    }
                }
                for (auto spins = random() % 4'096; spins > 0; --spins) {
                    std::atomic_signal_fence(std::memory_order_seq_cst);
                }
                shared.turn.store(i + 1, std::memory_order_release);
                static_cast<void>(shared.words[1 - side].wake(kind));
            }
            return 0;
        };
        const auto other_side = [&] { return play(1); };
        child other{other_side};
        CHECK(play(0) == 0);
        CHECK(other.status() == 0);
        CHECK(shared.turn == 2 * rounds);
        ::munmap(memory, sizeof(shared_turn));
    }
}

TEST_CASE("streams: messages to and fro arrive, however the ends sleep", "[streams]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    const auto rounds = static_cast<std::uint64_t>(scaled(50'000));
    const stream_options options{.capacity = 4096, .spin = 0ns};
    const socket_pair there;
    const socket_pair back;
    child other{[&] {
        auto in = stream_reader::receive(there.there.get(), options);
        auto out = stream_writer::create(back.there.get(), options);
        if (!in || !out) {
            return 1;
        }
        std::minstd_rand random{seed};
        for (;;) {
            const auto got = in->readable_for(8, ages);
            if (!got) {
                return got.error() == errc::closed ? 0 : 2;
            }
            for (auto spins = random() % 4'096; spins > 0; --spins) {
                std::atomic_signal_fence(std::memory_order_seq_cst);
            }
            if (!out->write_some(got->first(8), clock::now() + ages)) {
                return 3;
            }
            in->consume(8);
        }
    }};
    auto out = stream_writer::create(there.here.get(), options);
    auto in = stream_reader::receive(back.here.get(), options);
    REQUIRE(out.has_value());
    REQUIRE(in.has_value());
    std::minstd_rand random{seed + 1};
    bool right = true;
    for (std::uint64_t i = 0; i < rounds && right; ++i) {
        const auto bytes = std::as_bytes(std::span{&i, 1});
        right = out->write_some(bytes, clock::now() + ages).value_or(0) == 8;
        const auto got = in->readable_for(8, ages);
        right = right && got && std::memcmp(got->data(), &i, 8) == 0;
        if (right) {
            in->consume(8);
        }
        for (auto spins = random() % 4'096; spins > 0; --spins) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
    }
    CHECK(right);
    out->close();
    CHECK(other.status() == 0);
}

TEST_CASE("streams: a killed writer's bytes are right up to its death, which is told",
          "[streams]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    const held before;
    for (long round = scaled(50); round > 0; --round) {
        const stream_options options{.capacity = 4096, .spin = round % 2 == 0 ? 20us : 0us};
        const socket_pair sockets;
        child writer{[&] {
            auto end = stream_writer::create(sockets.here.get(), options);
            return end ? write_pattern(*end, seed, UINT64_MAX) : 1;
        }};
        auto reader = stream_reader::receive(sockets.there.get(), options);
        REQUIRE(reader.has_value());
        child killer{[pid = writer.pid(), delay = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(delay));
            return ::kill(pid, SIGKILL);
        }};
        std::error_code ended_as;
        CHECK(read_pattern(*reader, seed, ended_as) != wrong_byte);
        CHECK(ended_as == errc::peer_gone);
        CHECK(killer.status() == 0);
        CHECK(writer.status() == -SIGKILL);
    }
    CHECK(before == held{});
}

TEST_CASE("streams: a killed reader is told to the writer who waits for it", "[streams]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    for (long round = scaled(50); round > 0; --round) {
        const stream_options options{.capacity = 4096, .spin = round % 2 == 0 ? 20us : 0us};
        const socket_pair sockets;
        child reader{[&] {
            auto end = stream_reader::receive(sockets.there.get(), options);
            std::error_code ended_as;
            return end && read_pattern(*end, seed, ended_as) != wrong_byte ? 0 : 1;
        }};
        auto writer = stream_writer::create(sockets.here.get(), options);
        REQUIRE(writer.has_value());
        child killer{[pid = reader.pid(), delay = random() % 3'000] {
            ::usleep(static_cast<useconds_t>(delay));
            return ::kill(pid, SIGKILL);
        }};
        std::error_code reason;
        while (!reason) {
            const auto room = writer->space_for(1 + random() % 4'096, ages);
            if (room) {
                writer->commit(room->size());
            } else {
                reason = room.error();
            }
        }
        // It reads a pattern that this is not, and may have ended by itself before it was killed.
        CHECK((reason == errc::peer_gone || reason == errc::closed));
        CHECK(killer.status() == 0);
        const int status = reader.status();
        CHECK((status == -SIGKILL || status == 1));
    }
}

TEST_CASE("streams: whatever a peer scribbles, the other one ends and stays in the ring",
          "[streams]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    for (long round = scaled(50); round > 0; --round) {
        const bool writes = round % 2 == 0;
        const socket_pair sockets;
        // The liar: takes its end, and writes random words all over the header.
        child liar{[&, draw = std::mt19937_64{random()}]() mutable {
            using zcpool::ipc::stream_side;
            auto got = zcpool::ipc::stream_handover::accept(
                sockets.there.get(), writes ? stream_side::reader : stream_side::writer,
                clock::now() + ages);
            if (!got) {
                return 1;
            }
            auto* const words = reinterpret_cast<std::uint64_t*>(got->memory.pages.front());
            for (;;) {
                // What may be, more often than not: then the other one goes on.
                const auto at = draw() % (zcpool::page_size / 8);
                const auto value = draw();
                std::atomic_ref{words[at]}.store(value % 4 == 0 ? value : value % 8'192,
                                                 std::memory_order_relaxed);
            }
        }};
        std::error_code reason;
        const auto until = clock::now() + 5s;  // bounded, however the words fall
        if (writes) {
            auto writer = stream_writer::create(sockets.here.get(), {.capacity = 4096});
            REQUIRE(writer.has_value());
            while (!reason && clock::now() < until) {
                const auto room = writer->space_for(1 + random() % 4'096, 1ms);
                if (room) {
                    REQUIRE(room->size() <= 4'096);
                    std::memset(room->data(), 1, room->size());
                    writer->commit(room->size());
                } else if (room.error() != errc::timed_out) {
                    reason = room.error();
                }
            }
        } else {
            auto reader = stream_reader::create(sockets.here.get(), {.capacity = 4096});
            REQUIRE(reader.has_value());
            while (!reason && clock::now() < until) {
                const auto there = reader->readable_for(1 + random() % 4'096, 1ms);
                if (there) {
                    REQUIRE(there->size() <= 4'096);
                    REQUIRE(std::count(there->begin(), there->end(), std::byte{0}) ==
                            std::ssize(*there));
                    reader->consume(there->size());
                } else if (there.error() != errc::timed_out) {
                    reason = there.error();
                }
            }
        }
        CHECK((reason == errc::corrupt || reason == errc::closed));
    }
}

}  // namespace
