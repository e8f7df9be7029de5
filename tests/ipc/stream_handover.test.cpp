// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <future>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/streams.hpp>
#include <zcpool/ipc/stream_handover.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::barrier_kind;
using zcpool::ipc::stream_file;
using zcpool::ipc::stream_handover;
using zcpool::ipc::stream_memory;
using zcpool::ipc::stream_side;
using zcpool::sys::clock;
using zcpool::sys::unique_fd;

constexpr auto ages = 60s;

stream_memory make_memory() {
    auto made = stream_file::create(4096);
    REQUIRE(made.has_value());
    return std::move(*made);
}

auto offer(const socket_pair& sockets, const stream_memory& memory,
           stream_side mine = stream_side::writer) {
    return stream_handover::offer(sockets.here.get(), memory, mine, clock::now() + ages);
}
auto accept(const socket_pair& sockets, stream_side mine = stream_side::reader) {
    return stream_handover::accept(sockets.there.get(), mine, clock::now() + ages);
}

TEST_CASE("stream_handover: both get the memory and each other's process", "[ipc]") {
    const held before;
    for (const stream_side mine : {stream_side::writer, stream_side::reader}) {
        const socket_pair sockets;
        const stream_memory memory = make_memory();
        auto other = std::async(std::launch::async,
                                [&] { return accept(sockets, zcpool::ipc::other_side(mine)); });
        const auto peer = offer(sockets, memory, mine);
        const auto got = other.get();
        REQUIRE(peer.has_value());
        REQUIRE(got.has_value());
        memory.pages.data()[5] = std::byte{5};
        CHECK(got->memory.pages.data()[5] == std::byte{5});
        CHECK(peer->barrier == got->peer.barrier);
        for (const int process : {peer->process.get(), got->peer.process.get()}) {
            pollfd entry{process, POLLIN, 0};
            CHECK(::poll(&entry, 1, 0) == 0);  // it lives: it is this one
        }
    }
    CHECK(before == held{});
}

TEST_CASE("stream_handover: without the barrier of either both use the full one", "[ipc]") {
    const socket_pair sockets;
    const stream_memory memory = make_memory();
    faults old;
    faults::refuse_membarrier(EINVAL);
    auto other = std::async(std::launch::async, [&] { return accept(sockets); });
    const auto peer = offer(sockets, memory);
    const auto got = other.get();
    REQUIRE(peer.has_value());
    REQUIRE(got.has_value());
    CHECK(peer->barrier == barrier_kind::full);
    CHECK(got->peer.barrier == barrier_kind::full);
}

TEST_CASE("stream_handover: two writers do not meet", "[ipc]") {
    const socket_pair sockets;
    const stream_memory memory = make_memory();
    auto other =
        std::async(std::launch::async, [&] { return accept(sockets, stream_side::writer); });
    auto mine = std::async(std::launch::async, [&] { return offer(sockets, memory); });
    CHECK(other.get().error() == errc::bad_message);
    ::shutdown(sockets.there.get(), SHUT_RDWR);
    CHECK(mine.get().error() == errc::bad_message);  // hung up
}

TEST_CASE("stream_handover: waits no longer than told", "[ipc]") {
    const socket_pair sockets;
    const stream_memory memory = make_memory();
    CHECK(
        stream_handover::offer(sockets.here.get(), memory, stream_side::writer, clock::now() + 1ms)
            .error() == errc::timed_out);
    const socket_pair others;
    CHECK(stream_handover::accept(others.here.get(), stream_side::writer, clock::now() + 1ms)
              .error() == errc::timed_out);
}

TEST_CASE("stream_handover: a message that is no offer is refused, its descriptors are closed",
          "[ipc]") {
    // A right one, as it goes over the socket.
    const stream_memory memory = make_memory();
    std::array<std::byte, 24> right{};
    std::array<unique_fd, 2> fds;
    {
        const socket_pair sockets;
        static_cast<void>(
            stream_handover::offer(sockets.here.get(), memory, stream_side::writer, clock::now()));
        const auto got = zcpool::sys::receive_fds(sockets.there.get(), right, fds);
        REQUIRE(got.has_value());
        REQUIRE(got->bytes == right.size());
        REQUIRE(got->fds == 2);
    }
    const auto answer = [&](std::span<const std::byte> bytes, std::vector<int> with) {
        const socket_pair sockets;
        const held before;
        REQUIRE(zcpool::sys::send_fds(sockets.here.get(), bytes, with).has_value());
        const auto got = accept(sockets);
        if (got) {
            return std::error_code{};
        }
        CHECK(before == held{});
        return got.error();
    };
    const int file = fds[0].get();
    const int process = fds[1].get();
    CHECK_FALSE(answer(right, {file, process}));
    for (const auto& with :
         {std::vector<int>{}, {file}, {file, process, process}, std::vector<int>(8, file)}) {
        CHECK(answer(right, with) == errc::bad_message);
    }
    CHECK(answer(right, {process, file}) == errc::not_a_stream);
    CHECK(answer(std::span{right}.first(23), {file, process}) == errc::bad_message);
    for (const std::size_t at : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{12}}) {
        auto wrong = right;
        wrong[at] ^= std::byte{8};
        CHECK(answer(wrong, {file, process}) == errc::bad_message);
    }
}

TEST_CASE("stream_handover: a peer of another user is refused before anything is said", "[ipc]") {
    const socket_pair sockets;
    const stream_memory memory = make_memory();
    faults other;
    faults::pretend_uid(static_cast<long>(::geteuid()) + 1);
    CHECK(offer(sockets, memory).error() == errc::wrong_access);
    CHECK(accept(sockets).error() == errc::wrong_access);
    std::byte nothing{};
    CHECK(::recv(sockets.there.get(), &nothing, 1, MSG_DONTWAIT) == -1);
}

TEST_CASE("stream_handover: whichever call is refused, the error is told and nothing stays",
          "[ipc]") {
    const stream_memory memory = make_memory();
    const held before;
    // The other half has failed: nobody answers, or nobody offered.
    for (long refused = 0; refused < 6; ++refused) {
        const socket_pair sockets;
        ::shutdown(sockets.there.get(), SHUT_WR);
        faults broken;
        broken.fail_call(refused, EPERM);
        const auto got = offer(sockets, memory);
        REQUIRE_FALSE(got.has_value());
        if (refused == 2) {  // without the barrier it goes on
            CHECK(got.error() == errc::bad_message);
        } else {
            CHECK(got.error() == std::errc::operation_not_permitted);
        }
    }
    CHECK(before == held{});
}

}  // namespace
