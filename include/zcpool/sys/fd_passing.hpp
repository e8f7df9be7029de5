// SPDX-License-Identifier: MIT
#pragma once

// Handing descriptors to another process over a UNIX socket.
// Source: unix(7), SCM_RIGHTS and SO_PEERCRED; cmsg(3).

#include <sys/poll.h>

#include <cstddef>
#include <cstring>
#include <span>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// Descriptors that fit into one message here.
inline constexpr std::size_t most_passed_fds = 8;

/// Sends a message with descriptors in one piece.
///
/// Expects: some bytes, and at most most_passed_fds descriptors.
/// Errors: the errno of sendmsg; EMSGSIZE when a stream socket took a part of it.
/// Concurrency: blocks as the socket does; without SIGPIPE.
[[nodiscard]] inline result<void> send_fds(int socket, std::span<const std::byte> bytes,
                                           array_view<const int> fds) noexcept {
    ZCPOOL_ASSERT(!bytes.empty() && fds.size() <= most_passed_fds, "nothing to send them with");
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::byte control[CMSG_SPACE(most_passed_fds * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    auto sent = call([&] { return provider::sendmsg(socket, &message, MSG_NOSIGNAL); });
    if (!sent) {
        return fail(sent.error());
    }
    if (static_cast<std::size_t>(*sent) != bytes.size()) {
        return fail(std::error_code{EMSGSIZE, std::system_category()});
    }
    return {};
}

/// What receive_fds() got.
struct received_fds {
    std::size_t bytes = 0;
    std::size_t fds = 0;     ///< how many came; those beyond the caller's space were closed
    bool truncated = false;  ///< the system cut the message or its descriptors off
};

/// Receives a message with the descriptors that came with it, close-on-exec.
///
/// Errors: the errno of recvmsg. 0 bytes: the peer has hung up.
/// Concurrency: blocks as the socket does.
[[nodiscard]] inline result<received_fds> receive_fds(int socket, std::span<std::byte> bytes,
                                                      array_view<unique_fd> into) noexcept {
    iovec part{bytes.data(), bytes.size()};
    alignas(cmsghdr) std::byte control[CMSG_SPACE(most_passed_fds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto got = call([&] { return provider::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
    if (!got) {
        return fail(got.error());
    }
    received_fds received{static_cast<std::size_t>(*got), 0,
                          (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0};
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
            unique_fd owned{fd};
            if (received.fds < into.size()) {
                into[received.fds] = std::move(owned);
            }
            ++received.fds;
        }
    }
    return received;
}

/// The user that a connected UNIX socket's peer ran as when it connected.
///
/// Errors: the errno of getsockopt.
[[nodiscard]] inline result<uid_t> peer_uid(int socket) noexcept {
    ucred peer{};
    socklen_t bytes = sizeof peer;
    auto done =
        call([&] { return provider::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes); });
    if (!done) {
        return fail(done.error());
    }
    return peer.uid;
}

/// Whether the other end of a stream socket was closed, or its process has ended.
///
/// Complexity: one system call.
[[nodiscard]] inline bool has_hung_up(int socket) noexcept {
    pollfd entry{socket, POLLRDHUP, 0};
    const auto ready = call([&] { return provider::poll(&entry, 1, 0); });
    return ready && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

}  // namespace zcpool::sys
