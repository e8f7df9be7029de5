// SPDX-License-Identifier: MIT
#pragma once

// The broker's address.

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace shm_pipeline {

/// Bytes that a path to a UNIX socket may have.
inline constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

/// Makes a socket of sequenced packets and has `connect` or `bind` do something with its address.
///
/// Expects: a path that is not too long.
/// Errors: the errno of either.
template <class Call>
[[nodiscard]] zcpool::result<zcpool::sys::unique_fd> open_at(const std::string& path, int flags,
                                                             Call attempt) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), std::min(path.size(), longest_path));
    zcpool::sys::unique_fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0)};
    if (!socket || attempt(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                           socklen_t{sizeof address}) != 0) {
        return zcpool::fail(std::error_code{errno, std::system_category()});
    }
    return socket;
}

}  // namespace shm_pipeline
