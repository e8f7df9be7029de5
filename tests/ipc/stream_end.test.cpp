// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/streams.hpp>
#include <zcpool/ipc/stream_end.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::stream_reader;
using zcpool::ipc::stream_writer;
using zcpool::sys::clock;

static_assert(!std::is_copy_constructible_v<stream_writer>);
static_assert(std::is_nothrow_move_constructible_v<stream_reader>);
static_assert(std::is_nothrow_move_assignable_v<stream_writer>);

constexpr auto ages = 60s;

TEST_CASE("stream_end: an empty one is closed", "[ipc]") {
    stream_writer writer;
    stream_reader reader;
    CHECK_FALSE(writer.is_open());
    CHECK(writer.capacity() == 0);
    CHECK(writer.space().error() == errc::closed);
    CHECK(writer.space_for(1, 1s).error() == errc::closed);
    CHECK(reader.readable().error() == errc::closed);
    CHECK(reader.readable_for(1, 1s).error() == errc::closed);
    writer.close();
    reader.close();
}

TEST_CASE("stream_end: a move takes the stream along, and closes what was there", "[ipc]") {
    const held before;
    {
        stream_pair first;
        stream_pair second;
        stream_writer moved{std::move(first.writer)};
        CHECK_FALSE(first.writer.is_open());  // NOLINT(bugprone-use-after-move): by promise
        CHECK(first.writer.space().error() == errc::closed);
        CHECK(moved.is_open());
        CHECK(first.reader.readable().value().empty());  // and not closed
        moved = std::move(second.writer);
        CHECK(first.reader.readable().error() == errc::closed);
        REQUIRE(moved.write_some(std::array{std::byte{4}}).value() == 1);
        CHECK(second.reader.readable().value()[0] == std::byte{4});
        stream_writer& itself = moved;
        moved = std::move(itself);
        CHECK(moved.is_open());
    }
    CHECK(before == held{});
}

TEST_CASE("stream_end: goes at its end, and closes the stream", "[ipc]") {
    stream_pair ends;
    {
        const stream_writer gone{std::move(ends.writer)};
    }
    CHECK(ends.reader.readable().error() == errc::closed);
    stream_pair others;
    {
        const stream_reader gone{std::move(others.reader)};
    }
    CHECK(others.writer.space().value().size() == 4096);  // until it is noticed
    CHECK(others.writer.write_some(std::array{std::byte{1}}).has_value());
    CHECK(others.writer.space().error() == errc::closed);
}

TEST_CASE("stream_end: a forked child's copy closes nothing", "[ipc]") {
    stream_pair ends;
    CHECK(status_of([&] {
              ends.writer.close();
              const stream_reader gone{std::move(ends.reader)};
              return 0;
          }) == 0);
    REQUIRE(ends.writer.write_some(std::array{std::byte{1}}).value() == 1);
    REQUIRE(ends.writer.write_some(std::array{std::byte{1}}).value() == 1);
    CHECK(ends.reader.readable(2).value().size() == 2);
}

TEST_CASE("stream_end: a wait ends at its deadline, also one that has passed", "[ipc]") {
    stream_pair ends;
    CHECK(ends.reader.readable_until(1, clock::time_point::min()).error() == errc::timed_out);
    CHECK(ends.reader.readable_for(1, 1ms).error() == errc::timed_out);
    CHECK(ends.reader.readable_for(1, 150ms).error() == errc::timed_out);
    REQUIRE(ends.writer.space().has_value());
    ends.writer.commit(4096);
    CHECK(ends.writer.space_for(1, 1ms).error() == errc::timed_out);
    CHECK(ends.reader.readable_for(1, 0s).value().size() == 4096);
}

TEST_CASE("stream_end: who sleeps is woken by bytes, by room, and by the end", "[ipc]") {
    for (const auto spin : {std::chrono::nanoseconds{0}, std::chrono::nanoseconds{20us},
                            std::chrono::nanoseconds::max()}) {
        stream_pair ends{{.capacity = 4096, .spin = spin}};
        std::thread writer{[&] {
            std::this_thread::sleep_for(5ms);
            ends.writer.commit(4096);
            // Room comes while this thread waits for it.
            if (ends.writer.space_for(1, ages)) {
                ends.writer.commit(1);
            }
            std::this_thread::sleep_for(5ms);
            ends.writer.close();
        }};
        CHECK(ends.reader.readable_for(4096, ages).value().size() == 4096);
        std::this_thread::sleep_for(5ms);
        ends.reader.consume(4096);
        CHECK(ends.reader.readable_for(1, ages).value().size() == 1);
        ends.reader.consume(1);
        CHECK(ends.reader.readable_for(1, ages).error() == errc::closed);
        writer.join();
    }
}

/// A stream whose writer is in a child that does as told.
template <class Body>
std::pair<std::unique_ptr<child>, stream_reader> with_writer(Body body) {
    const socket_pair sockets;
    std::pair<std::unique_ptr<child>, stream_reader> made;
    const auto run = [&] {
        auto writer = stream_writer::create(sockets.here.get(), {.capacity = 4096});
        return writer ? body(*writer) : 1;
    };
    made.first = std::make_unique<child>(run);
    auto reader = stream_reader::receive(sockets.there.get());
    REQUIRE(reader.has_value());
    made.second = std::move(*reader);
    return made;
}

TEST_CASE("stream_end: that the peer's process has ended is an error value", "[ipc]") {
    auto [writer, reader] = with_writer([](stream_writer& end) {
        end.commit(3);
        ::raise(SIGKILL);
        return 1;
    });
    CHECK(reader.readable_for(4, ages).value().size() == 3);  // what it had committed
    reader.consume(3);
    CHECK(reader.readable_for(1, ages).error() == errc::peer_gone);
    CHECK(reader.readable_for(1, ages).error() == errc::peer_gone);
    CHECK(writer->status() == -SIGKILL);
}

TEST_CASE("stream_end: a stopped process is not dead", "[ipc]") {
    auto [writer, reader] = with_writer([](stream_writer& end) {
        ::raise(SIGSTOP);
        end.commit(3);
        end.close();
        return 0;
    });
    int status = 0;
    REQUIRE(::waitpid(writer->pid(), &status, WUNTRACED) == writer->pid());
    CHECK(reader.readable_for(1, 300ms).error() == errc::timed_out);
    ::kill(writer->pid(), SIGCONT);
    CHECK(reader.readable_for(3, ages).value().size() == 3);
    reader.consume(3);
    CHECK(reader.readable_for(1, ages).error() == errc::closed);
}

TEST_CASE("stream_end: what the system refuses of a wait is told, or slept over", "[ipc]") {
    stream_pair ends;
    const bool is_lopsided = ends.reader.barrier() == zcpool::ipc::barrier_kind::lopsided;
    faults broken;
    broken.fail_call(0, ENOMEM);
    CHECK(ends.reader.readable_for(1, 50ms).error() == std::errc::not_enough_memory);  // poll
    broken.fail_call(is_lopsided ? 2 : 1, EFAULT, 1);
    CHECK(ends.reader.readable_for(1, 1ms).error() == errc::timed_out);  // futex
}

}  // namespace
