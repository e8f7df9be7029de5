// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <support/catch.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/sys/buffer_ring.hpp>
#include <zcpool/sys/uring.hpp>

namespace {

using namespace zcpool_test;
namespace sys = zcpool::sys;

/// Receives once into what is provided. Returns: the completion's result and flags.
std::pair<std::int32_t, std::uint32_t> receive(sys::uring& ring, int socket, std::uint16_t group) {
    io_uring_sqe* const request = ring.next_request();
    ::io_uring_prep_recv(request, socket, nullptr, 0, 0);
    request->flags |= IOSQE_BUFFER_SELECT;
    request->buf_group = group;
    REQUIRE(ring.submit());
    ring.wait(10'000);
    std::optional<std::pair<std::int32_t, std::uint32_t>> got;
    ring.reap(
        [&](std::uint64_t, std::int32_t result, std::uint32_t flags) { got = {result, flags}; });
    REQUIRE(got);
    return *got;
}

TEST_CASE("buffer_ring: what comes lies in the memory that was offered, under its name", "[sys]") {
    auto ring = sys::uring::create(4);
    if (!ring) {
        SKIP("io_uring is not to be had");
    }
    auto made = sys::buffer_ring::create(**ring, 4, 3);
    if (!made && made.error() == std::errc::invalid_argument) {
        SKIP("before Linux 5.19");
    }
    REQUIRE(made);
    CHECK(made->entries() == 4);
    CHECK(made->group() == 3);
    connection link = unix_pair();
    std::array<std::array<std::byte, 16>, 4> memory{};
    for (int turn = 0; turn < 5; ++turn) {  // more than once around
        for (std::uint16_t name = 0; name < 4; ++name) {
            made->offer(name, memory[name]);
        }
        for (std::uint16_t name = 0; name < 4; ++name) {
            const char word[] = {static_cast<char>('a' + turn), static_cast<char>('0' + name)};
            REQUIRE(::write(link.peer.get(), word, 2) == 2);
            const auto [result, flags] = receive(**ring, link.ours.get(), 3);
            CHECK(result == 2);
            CHECK((flags & IORING_CQE_F_BUFFER) != 0);
            CHECK(flags >> IORING_CQE_BUFFER_SHIFT == name);
            CHECK(memory[name][0] == static_cast<std::byte>(word[0]));
            CHECK(memory[name][1] == static_cast<std::byte>(word[1]));
        }
    }
    REQUIRE(::write(link.peer.get(), "x", 1) == 1);
    CHECK(receive(**ring, link.ours.get(), 3).first == -ENOBUFS);
    const sys::buffer_ring moved{std::move(*made)};  // and is unregistered once
    CHECK(moved.entries() == 4);
}

TEST_CASE("buffer_ring: its group is free again when it has gone, and a wrong size is refused",
          "[sys]") {
    auto ring = sys::uring::create(4);
    if (!ring) {
        SKIP("io_uring is not to be had");
    }
    const held before;
    for (int i = 0; i < 3; ++i) {
        const auto made = sys::buffer_ring::create(**ring, 512, 0);
        if (!made && made.error() == std::errc::invalid_argument) {
            SKIP("before Linux 5.19");
        }
        REQUIRE(made);
        CHECK(sys::buffer_ring::create(**ring, 512, 0).error() ==
              std::error_code{EEXIST, std::system_category()});
    }
    for (const unsigned entries : {0U, 3U, 65'536U}) {
        CHECK(sys::buffer_ring::create(**ring, entries, 0).error() ==
              zcpool::errc::invalid_options);
    }
    CHECK(before == held{});
}

}  // namespace
