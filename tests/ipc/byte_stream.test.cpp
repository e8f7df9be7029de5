// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/streams.hpp>
#include <zcpool/ipc/byte_stream.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::stream_header;
using zcpool::ipc::stream_memory;
using zcpool::ipc::stream_reader;
using zcpool::ipc::stream_writer;
using zcpool::sys::clock;

constexpr auto ages = 60s;
constexpr std::size_t capacity = 4096;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}
std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_CASE("byte_stream: what is written is read, in order", "[ipc]") {
    stream_pair ends;
    CHECK(ends.writer.capacity() == capacity);
    CHECK(ends.reader.capacity() == capacity);
    CHECK(ends.reader.readable().value().empty());
    CHECK(ends.writer.write_some(bytes_of("hello, ")).value() == 7);
    CHECK(ends.writer.write_some(bytes_of("world")).value() == 5);
    CHECK(ends.writer.write_some({}).value() == 0);
    CHECK(text_of(ends.reader.readable(12).value()) == "hello, world");
    std::array<std::byte, 7> into{};
    CHECK(ends.reader.read_some(into).value() == 7);
    CHECK(text_of(into) == "hello, ");
    CHECK(ends.reader.read_some(into).value() == 5);
    CHECK(ends.reader.read_some(into).value() == 0);
    CHECK(ends.reader.read_some({}).value() == 0);
}

TEST_CASE("byte_stream: the reader may be the one who makes it", "[ipc]") {
    const socket_pair sockets;
    std::optional<zcpool::result<stream_writer>> got;
    std::thread other{[&] { got.emplace(stream_writer::receive(sockets.there.get())); }};
    auto reader = stream_reader::create(sockets.here.get(), {.capacity = 2 * capacity});
    other.join();
    REQUIRE(reader.has_value());
    REQUIRE(got->has_value());
    CHECK((*got)->capacity() == 2 * capacity);
    CHECK((*got)->write_some(bytes_of("x")).value() == 1);
    CHECK(text_of(reader->readable().value()) == "x");
}

TEST_CASE("byte_stream: takes what there is room for, and ranges are contiguous across the wrap",
          "[ipc]") {
    stream_pair ends;
    const std::string much(capacity + 100, 'a');
    CHECK(ends.writer.write_some(bytes_of(much)).value() == capacity);
    CHECK(ends.writer.write_some(bytes_of(much)).value() == 0);
    CHECK(ends.writer.space().value().empty());
    REQUIRE(ends.reader.readable(capacity).value().size() == capacity);
    ends.reader.consume(capacity - 10);
    CHECK(ends.writer.write_some(bytes_of("over the wrap")).value() == 13);
    CHECK(text_of(ends.reader.readable(23).value()) == std::string(10, 'a') + "over the wrap");
}

TEST_CASE("byte_stream: more than the capacity is an error at once", "[ipc]") {
    stream_pair ends;
    CHECK(ends.writer.space(capacity + 1).error() == errc::too_large);
    CHECK(ends.writer.space_for(capacity + 1, ages).error() == errc::too_large);
    CHECK(ends.reader.readable(capacity + 1).error() == errc::too_large);
    CHECK(ends.reader.readable_for(capacity + 1, ages).error() == errc::too_large);
}

TEST_CASE("byte_stream: a closed writer's last bytes are read, then it is closed", "[ipc]") {
    stream_pair ends;
    ends.writer.commit(3);
    ends.writer.close();
    ends.writer.close();
    CHECK(ends.writer.space().error() == errc::closed);
    CHECK(ends.writer.write_some(bytes_of("x")).error() == errc::closed);
    ends.writer.commit(0);
    ends.writer.commit(1);
    CHECK(ends.reader.readable(4).value().size() == 3);  // the last, and fewer than asked for
    CHECK(ends.reader.readable_for(4, ages).value().size() == 3);
    ends.reader.consume(3);
    CHECK(ends.reader.readable().error() == errc::closed);
    CHECK(ends.reader.readable_for(1, ages).error() == errc::closed);
    std::array<std::byte, 1> into{};
    CHECK(ends.reader.read_some(into).error() == errc::closed);
    CHECK(ends.reader.read_some(into, clock::now() + ages).error() == errc::closed);
}

TEST_CASE("byte_stream: a writer finds its reader closed, also while it waits", "[ipc]") {
    stream_pair ends;
    ends.writer.commit(capacity);
    std::thread closes{[&] {
        std::this_thread::sleep_for(5ms);
        ends.reader.close();
    }};
    CHECK(ends.writer.space_for(1, ages).error() == errc::closed);
    closes.join();
    CHECK(ends.writer.write_some(bytes_of("x")).error() == errc::closed);
    CHECK(ends.writer.write_some(bytes_of("x"), clock::now() + ages).error() == errc::closed);
    CHECK(ends.reader.readable().error() == errc::closed);
    ends.reader.consume(0);
    ends.reader.consume(1);
    CHECK(ends.reader.readable().error() == errc::closed);
}

TEST_CASE("byte_stream: who waits for nothing waits for a byte", "[ipc]") {
    stream_pair ends;
    CHECK(ends.reader.readable(0).value().empty());
    CHECK(ends.reader.readable_for(0, 1ms).error() == errc::timed_out);
    CHECK(ends.writer.space_for(0, ages).value().size() == capacity);
    ends.writer.commit(capacity);
    CHECK(ends.writer.space_for(0, 1ms).error() == errc::timed_out);
    CHECK(ends.reader.readable_for(0, 1s).value().size() == capacity);
    ends.reader.consume(5);
    CHECK(ends.writer.space_for(0, 1s).value().size() == 5);
}

TEST_CASE("byte_stream: makes no system call while nobody sleeps", "[ipc]") {
    stream_pair ends;
    faults counted;
    counted.fail_call(1'000'000, EIO);
    std::array<std::byte, 100> bytes{};
    for (int i = 0; i < 1'000; ++i) {
        REQUIRE(ends.writer.write_some(bytes, clock::now() + ages).value() == bytes.size());
        REQUIRE(ends.reader.read_some(bytes, clock::now() + ages).value() == bytes.size());
        REQUIRE(ends.reader.readable().value().empty());
    }
    CHECK(faults::calls() == 0);
}

TEST_CASE("byte_stream: the full barrier does as well, where the system has no other", "[ipc]") {
    faults old;
    faults::refuse_membarrier(ENOSYS);
    stream_pair ends{{.capacity = capacity, .spin = 0s}};
    CHECK(ends.writer.barrier() == zcpool::ipc::barrier_kind::full);
    constexpr int rounds = 2'000;
    std::thread writer{[&] {
        for (int i = 0; i < rounds; ++i) {
            static_cast<void>(ends.writer.write_some(bytes_of("12345678"), clock::now() + ages));
        }
    }};
    for (int i = 0; i < rounds; ++i) {
        REQUIRE(text_of(ends.reader.readable_for(8, ages).value().first(8)) == "12345678");
        ends.reader.consume(8);
    }
    writer.join();
}

/// The stream's header as a peer sees it, who may write what it likes there.
stream_memory as_a_peer(const socket_pair& sockets) {
    auto got = zcpool::ipc::stream_handover::accept(
        sockets.there.get(), zcpool::ipc::stream_side::reader, clock::now() + ages);
    REQUIRE(got.has_value());
    return std::move(got->memory);
}

TEST_CASE("byte_stream: a position that cannot be is corrupt, for good", "[ipc]") {
    const socket_pair sockets;
    std::optional<zcpool::result<stream_writer>> made;
    std::thread other{
        [&] { made.emplace(stream_writer::create(sockets.here.get(), {.capacity = capacity})); }};
    const stream_memory forged = as_a_peer(sockets);
    other.join();
    stream_writer& writer = made->value();
    writer.commit(capacity);
    forged.header().positions.consumed.store(capacity + 1, zcpool::memory_order_release);
    CHECK(writer.space().error() == errc::corrupt);
    forged.header().positions.consumed.store(capacity, zcpool::memory_order_release);
    CHECK(writer.space().error() == errc::corrupt);
    CHECK(writer.space_for(1, ages).error() == errc::corrupt);
    CHECK(writer.write_some(bytes_of("x")).error() == errc::corrupt);
}

TEST_CASE("byte_stream: a waiting reader finds what it waits for corrupt", "[ipc]") {
    stream_pair ends;
    stream_memory forged;
    {
        const socket_pair sockets;
        std::optional<zcpool::result<stream_reader>> made;
        std::thread other{[&] { made.emplace(stream_reader::create(sockets.here.get())); }};
        auto got = zcpool::ipc::stream_handover::accept(
            sockets.there.get(), zcpool::ipc::stream_side::writer, clock::now() + ages);
        other.join();
        REQUIRE(got.has_value());
        forged = std::move(got->memory);
        ends.reader = std::move(made->value());
    }
    std::thread scribbler{[&] {
        std::this_thread::sleep_for(5ms);
        forged.header().positions.committed.store(std::uint64_t{1} << 40,
                                                  zcpool::memory_order_release);
        static_cast<void>(forged.header().reader.wake(ends.reader.barrier()));
    }};
    CHECK(ends.reader.readable_for(1, ages).error() == errc::corrupt);
    scribbler.join();
    CHECK(ends.reader.readable().error() == errc::corrupt);
    std::array<std::byte, 1> into{};
    CHECK(ends.reader.read_some(into).error() == errc::corrupt);
}

// Under AddressSanitizer nothing beyond the ring is touched; without it a stray write would be
// SIGSEGV, as nothing is mapped there but by chance.
TEST_CASE("byte_stream: whatever a peer scribbles into the header, a reader stays in the ring",
          "[ipc]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    long corrupt = 0;
    for (long round = scaled(200); round > 0; --round) {
        const socket_pair sockets;
        std::optional<zcpool::result<stream_reader>> made;
        std::thread maker{[&] {
            made.emplace(stream_reader::create(sockets.here.get(), {.capacity = capacity}));
        }};
        auto got = zcpool::ipc::stream_handover::accept(
            sockets.there.get(), zcpool::ipc::stream_side::writer, clock::now() + ages);
        maker.join();
        REQUIRE(got.has_value());
        stream_reader& reader = made->value();
        const stream_memory& forged = got->memory;
        std::atomic<bool> is_done{false};
        std::thread scribbler{[&, draw = std::mt19937_64{random()}]() mutable {
            auto& header = forged.header();
            std::uint64_t right = 0;
            while (!is_done.load(std::memory_order_relaxed)) {
                // Mostly what may be, so that the reader goes on.
                right += draw() % 64;
                const auto choice = draw() % 4096;
                header.positions.committed.store(choice == 0   ? draw()
                                                 : choice == 1 ? right - draw() % 64
                                                               : right,
                                                 zcpool::memory_order_relaxed);
                if (choice == 2) {
                    header.positions.consumed.store(draw(), zcpool::memory_order_relaxed);
                } else if (choice == 3) {
                    static_cast<void>(header.reader.wake(reader.barrier()));
                }
                right = std::min(
                    right, header.positions.consumed.load(zcpool::memory_order_relaxed) + capacity);
            }
        }};
        unsigned sum = 0;
        for (int i = 0; i < 20'000; ++i) {
            const auto there = reader.readable_until(1, clock::time_point::min());
            if (!there) {
                if (there.error() == errc::corrupt) {
                    ++corrupt;
                    break;
                }
                continue;
            }
            REQUIRE(there->size() <= capacity);
            sum += static_cast<unsigned>(there->front()) + static_cast<unsigned>(there->back());
            reader.consume(1 + random() % there->size());
        }
        is_done = true;
        scribbler.join();
        CHECK(sum == 0);
    }
    CHECK(corrupt > 0);
}

}  // namespace
