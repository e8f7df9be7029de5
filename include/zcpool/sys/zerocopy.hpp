// SPDX-License-Identifier: MIT
#pragma once

// A socket that sends memory by reference and says when it has done: switching it on, reading what
// it says, and ending the connection.
// Source: Documentation/networking/msg_zerocopy.rst of Linux; Linux 4.14 for TCP.

#include <time.h>  // which linux/errqueue.h needs and does not include

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// The kernel has let go of the memory of some sends, which it numbers from 0 on, in 32 bits.
struct zerocopy_notice {
    std::uint32_t first = 0;
    std::uint32_t last = 0;  ///< inclusive
    bool copied = false;     ///< it made a copy of them after all
};

/// Makes MSG_ZEROCOPY mean something on a socket. Without it the flag is ignored, and no
/// notification would come.
///
/// Errors: EALREADY when it was on: somebody else may have sent, and the next send's number would
/// not be 0. EOPNOTSUPP for what is not TCP: it either cannot (AF_UNIX), or its notifications are
/// of another kind (AF_VSOCK). The errno of setsockopt.
[[nodiscard]] inline result<void> enable_zerocopy(int socket) noexcept {
    int protocol = 0;
    int on = 0;
    const auto look = [&](int option, int& value) {
        socklen_t bytes = sizeof value;
        return call(
            [&] { return provider::getsockopt(socket, SOL_SOCKET, option, &value, &bytes); });
    };
    auto done = look(SO_PROTOCOL, protocol);
    if (done) {
        done = look(SO_ZEROCOPY, on);
    }
    if (!done) {
        return fail(done.error());
    }
    if (protocol != IPPROTO_TCP) {
        return fail(std::error_code{EOPNOTSUPP, std::system_category()});
    }
    if (on != 0) {
        return fail(std::error_code{EALREADY, std::system_category()});
    }
    on = 1;
    done =
        call([&] { return provider::setsockopt(socket, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on); });
    if (!done) {
        return fail(done.error());
    }
    return {};
}

/// Whether a refused send by reference says that this socket takes none, though it took the option:
/// one with TLS in the kernel, for one, which answers ENOTSUPP in older kernels.
[[nodiscard]] inline bool takes_no_reference(const std::error_code& why) noexcept {
    constexpr int enotsupp = 524;  // the kernel's own, which should not reach users
    return is_errno(why, EOPNOTSUPP) || is_errno(why, EINVAL) || is_errno(why, enotsupp);
}

/// Takes one message from a socket's error queue.
///
/// Returns: what it says, or nothing when it is about something else.
/// Errors: EAGAIN when there is none; the errno of recvmsg.
[[nodiscard]] inline result<std::optional<zerocopy_notice>> read_notice(int socket) noexcept {
    alignas(cmsghdr) std::byte control[128];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto got =
        call([&] { return provider::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT); });
    if (!got) {
        return fail(got.error());
    }
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(&message, each)) {
        const bool is_error = (each->cmsg_level == SOL_IP && each->cmsg_type == IP_RECVERR) ||
                              (each->cmsg_level == SOL_IPV6 && each->cmsg_type == IPV6_RECVERR);
        sock_extended_err told{};
        if (!is_error || each->cmsg_len < CMSG_LEN(sizeof told)) {
            continue;
        }
        std::memcpy(&told, CMSG_DATA(each), sizeof told);
        if (told.ee_errno == 0 && told.ee_origin == SO_EE_ORIGIN_ZEROCOPY) {
            return zerocopy_notice{told.ee_info, told.ee_data,
                                   (told.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0};
        }
    }
    return std::nullopt;
}

/// Whether closing the socket is to reset the connection (SO_LINGER with a time of 0).
[[nodiscard]] inline bool resets_on_close(int socket) noexcept {
    linger asked{};
    socklen_t bytes = sizeof asked;
    return call([&] {
               return provider::getsockopt(socket, SOL_SOCKET, SO_LINGER, &asked, &bytes);
           }).has_value() &&
           asked.l_onoff != 0 && asked.l_linger == 0;
}

/// Resets a TCP connection and keeps the socket open, so that its error queue can still be read.
///
/// Errors: the errno of connect.
inline result<void> reset_connection(int socket) noexcept {
    sockaddr nowhere{};
    nowhere.sa_family = AF_UNSPEC;
    auto done = call([&] { return provider::connect(socket, &nowhere, sizeof nowhere); });
    if (!done) {
        return fail(done.error());
    }
    return {};
}

}  // namespace zcpool::sys
