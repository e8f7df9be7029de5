// SPDX-License-Identifier: MIT
#pragma once

// The calls that move bytes out, by gathered copies and sendfile, and in. Short counts are results;
// EAGAIN is an error value that sinks and sources read as "blocked".
// Source: sendmsg(2), writev(2), sendfile(2), recvmsg(2), read(2).

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// Whether a descriptor is a socket, so that MSG_NOSIGNAL and MSG_MORE are to be had.
///
/// Errors: the errno of fstat; EBADF for a descriptor that is not open.
[[nodiscard]] inline result<bool> is_socket(int fd) noexcept {
    struct stat status{};
    if (auto done = call([&] { return provider::fstat(fd, &status); }); !done) {
        return fail(done.error());
    }
    return S_ISSOCK(status.st_mode);
}

/// Copies parts into a socket without blocking and without SIGPIPE. With `extra_flags` of
/// MSG_ZEROCOPY it refers to them instead (sys/zerocopy.hpp).
///
/// Returns: bytes taken.
/// Errors: the errno of sendmsg.
[[nodiscard]] inline result<std::size_t> send_parts(int socket, array_view<iovec> parts,
                                                    bool more_follows,
                                                    int extra_flags = 0) noexcept {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0) | extra_flags;
    auto sent = call([&] { return provider::sendmsg(socket, &message, flags); });
    if (!sent) {
        return fail(sent.error());
    }
    return static_cast<std::size_t>(*sent);
}

/// Copies parts into a file or pipe; blocks unless the descriptor is non-blocking.
///
/// Returns: bytes taken.
/// Errors: the errno of writev; a pipe without a reader also raises SIGPIPE.
[[nodiscard]] inline result<std::size_t> write_parts(int fd, array_view<iovec> parts) noexcept {
    auto written =
        call([&] { return provider::writev(fd, parts.data(), static_cast<int>(parts.size())); });
    if (!written) {
        return fail(written.error());
    }
    return static_cast<std::size_t>(*written);
}

/// Hands the pages of a file range to a socket or pipe. They stay referenced after the call
/// returns, for as long as the peer pleases.
///
/// Returns: bytes taken.
/// Errors: the errno of sendfile; a socket that the peer closed also raises SIGPIPE.
[[nodiscard]] inline result<std::size_t> send_file(int to, int from, std::size_t offset,
                                                   std::size_t bytes) noexcept {
    off_t position = static_cast<off_t>(offset);
    auto sent = call([&] { return provider::sendfile(to, from, &position, bytes); });
    if (!sent) {
        return fail(sent.error());
    }
    return static_cast<std::size_t>(*sent);
}

/// Copies what has come out of a socket, without blocking.
///
/// Expects: a stream socket; `into` is not empty.
/// Returns: bytes that came; 0 when the peer sends no more.
/// Errors: the errno of recvmsg.
[[nodiscard]] inline result<std::size_t> receive(int socket, std::span<std::byte> into) noexcept {
    iovec part{into.data(), into.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    auto got = call([&] { return provider::recvmsg(socket, &message, MSG_DONTWAIT); });
    if (!got) {
        return fail(got.error());
    }
    return static_cast<std::size_t>(*got);
}

/// Copies what is there out of a pipe or file; blocks unless the descriptor is non-blocking.
///
/// Expects: `into` is not empty.
/// Returns: bytes read; 0 at the end.
/// Errors: the errno of read.
[[nodiscard]] inline result<std::size_t> read_some(int fd, std::span<std::byte> into) noexcept {
    auto got = call([&] { return provider::read(fd, into.data(), into.size()); });
    if (!got) {
        return fail(got.error());
    }
    return static_cast<std::size_t>(*got);
}

/// Tells a socket's peer that nothing more comes; what that sends is still received.
///
/// Errors: the errno of shutdown; ENOTCONN when there is no connection any more.
inline result<void> shutdown_writing(int socket) noexcept {
    auto done = call([&] { return provider::shutdown(socket, SHUT_WR); });
    if (!done) {
        return fail(done.error());
    }
    return {};
}

}  // namespace zcpool::sys
