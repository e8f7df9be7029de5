// SPDX-License-Identifier: MIT
#pragma once

// A channel carries slices of a shared pool from one process to another; two of them, both ways.
// Its two ends, and handing the other end over a UNIX socket.
//
// One message: eight bytes that say what it is, and one descriptor or three: the memory, and where
// the ends wake each other by events, those of news and of room.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/channel_memory.hpp>
#include <zcpool/ipc/channel_receiver.hpp>
#include <zcpool/ipc/channel_sender.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What the message of send_channel() says.
inline constexpr std::uint64_t channel_word =
    channel_table::expected_magic ^ std::uint64_t{channel_table::expected_version} << 32;

/// Hands the receiving end to the peer of a connected UNIX socket, which must have the pool, or get
/// it first (handover.hpp).
///
/// A duplicate of the socket stays with the sender: if its other end is closed before the receiver
/// has attached, the receiver is gone.
/// Errors: the errno of sendmsg; EMFILE.
/// Concurrency: blocks as the socket does.
[[nodiscard]] inline result<void> send_channel(int socket, channel_sender& sender) noexcept {
    const auto own = sys::call([&] { return sys::provider::duplicate(socket); });
    if (!own) {
        return fail(own.error());
    }
    sender.end_.offer_to(sys::unique_fd{*own});
    const channel_descriptors files = sender.files();
    const auto text = std::bit_cast<std::array<std::byte, sizeof channel_word>>(channel_word);
    const std::array<int, 3> fds{files.memory, files.news, files.room};
    return sys::send_fds(socket, text, array_view{fds}.first(files.news < 0 ? 1 : 3));
}

/// Receives the receiving end from the peer of a connected UNIX socket. Descriptors of a message
/// that is refused are closed.
///
/// Errors: `wrong_access` when the peer runs as another user; `bad_message` for a message with
/// other descriptors, that was cut off, or says something else; as channel_receiver::attach(); the
/// errno of a call.
/// Concurrency: blocks as the socket does.
[[nodiscard]] inline result<channel_receiver> receive_channel(int socket, pool_view pool) noexcept {
    const auto peer = sys::peer_uid(socket);
    if (!peer) {
        return fail(peer.error());
    }
    if (*peer != sys::provider::geteuid()) {
        return fail(errc::wrong_access);
    }
    std::array<std::byte, sizeof channel_word> text{};
    std::array<sys::unique_fd, 3> fds;
    const auto got = sys::receive_fds(socket, text, fds);
    if (!got) {
        return fail(got.error());
    }
    if (got->truncated || (got->fds != 1 && got->fds != 3) || got->bytes != text.size() ||
        std::bit_cast<std::uint64_t>(text) != channel_word) {
        return fail(errc::bad_message);
    }
    return channel_receiver::attach(pool,
                                    {std::move(fds[0]), std::move(fds[1]), std::move(fds[2])});
}

}  // namespace zcpool::ipc
