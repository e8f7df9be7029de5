// SPDX-License-Identifier: MIT
#pragma once

// What is said on the socket between a stage and the broker: sequenced packets over a UNIX path.
//
//     stage                                   broker
//     hello, which stage it is        ->
//                                     <-      the pool (zcpool::ipc::send_pool)
//                                     <-      the board
//                                     <-      introductions: one end of a socket to another stage,
//                                             and whether to send to it or to receive from it
//
// Over such a socket the sender of the two hands its channel over (zcpool::ipc::send_channel), and
// the receiver answers with a byte when it has attached. The end of the connection, from either
// side, says that the other one is gone.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace shm_pipeline {

enum class role : std::uint32_t { capture, packager, viewer };
inline constexpr std::array<std::string_view, 3> role_names{"capture", "packager", "viewer"};
[[nodiscard]] constexpr std::size_t index_of(role which) noexcept {
    return static_cast<std::size_t>(which);
}

enum class saying : std::uint32_t { hello, board, send_to, receive_from };

/// One message; `which` is a role in a hello.
struct control_message {
    static constexpr std::uint64_t expected_word = 0x4C52'5443'5050'5A02;  // "\2ZPPCTRL"

    std::uint64_t word = expected_word;
    saying what = saying::hello;
    role which = role::capture;
};

/// Errors: the errno of sendmsg.
[[nodiscard]] inline zcpool::result<void> say(int socket, control_message message,
                                              int descriptor = -1) {
    const auto bytes = std::bit_cast<std::array<std::byte, sizeof message>>(message);
    return zcpool::sys::send_fds(socket, bytes,
                                 std::span<const int>{&descriptor, descriptor < 0 ? 0U : 1U});
}

/// A message and what came with it.
struct heard {
    control_message message;
    zcpool::sys::unique_fd descriptor;
};

/// Returns: nothing when the other side has gone, or said what nobody says.
[[nodiscard]] inline std::optional<heard> hear(int socket) {
    heard got;
    std::array<std::byte, sizeof got.message> bytes{};
    const auto received = zcpool::sys::receive_fds(socket, bytes, {&got.descriptor, 1});
    if (!received || received->truncated || received->bytes != bytes.size()) {
        return std::nullopt;
    }
    got.message = std::bit_cast<control_message>(bytes);
    const bool is_known = got.message.word == control_message::expected_word &&
                          got.message.what <= saying::receive_from &&
                          got.message.which <= role::viewer;
    const bool has_descriptor = got.message.what != saying::hello;
    if (!is_known || (received->fds == 1) != has_descriptor) {
        return std::nullopt;
    }
    return got;
}

}  // namespace shm_pipeline
