// SPDX-License-Identifier: MIT
#pragma once

// Handing a pool to a partner over a UNIX socket.
//
// One message: eight bytes that say what it is, and the two descriptors, data first.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What the message of send_pool() says.
inline constexpr std::uint64_t handover_word =
    pool_table::expected_magic ^ std::uint64_t{pool_table::expected_version} << 32;

/// Shares a pool and hands it to the peer of a connected UNIX socket.
///
/// Errors: as pool_view::share(); the errno of sendmsg.
/// Concurrency: blocks as the socket does.
[[nodiscard]] inline result<void> send_pool(int socket, pool_view pool) noexcept {
    const auto files = pool.share();
    if (!files) {
        return fail(files.error());
    }
    const auto text = std::bit_cast<std::array<std::byte, sizeof handover_word>>(handover_word);
    const std::array<int, 2> fds{files->data, files->control};
    return sys::send_fds(socket, text, fds);
}

/// Receives a pool from the peer of a connected UNIX socket, and attaches to it. Descriptors of a
/// message that is refused are closed.
///
/// Errors: `wrong_access` when the peer runs as another user; `bad_message` for a message without
/// exactly two descriptors, that was cut off, or says something else; as attached_pool::attach();
/// the errno of a call.
/// Concurrency: blocks as the socket does.
[[nodiscard]] inline result<attached_pool> receive_pool(
    int socket, lock_policy locking = lock_policy::none) noexcept {
    const auto peer = sys::peer_uid(socket);
    if (!peer) {
        return fail(peer.error());
    }
    if (*peer != sys::provider::geteuid()) {
        return fail(errc::wrong_access);
    }
    std::array<std::byte, sizeof handover_word> text{};
    std::array<sys::unique_fd, 2> fds;
    const auto got = sys::receive_fds(socket, text, fds);
    if (!got) {
        return fail(got.error());
    }
    if (got->truncated || got->fds != fds.size() || got->bytes != text.size() ||
        std::bit_cast<std::uint64_t>(text) != handover_word) {
        return fail(errc::bad_message);
    }
    return attached_pool::attach(std::move(fds[0]), std::move(fds[1]), locking);
}

}  // namespace zcpool::ipc
