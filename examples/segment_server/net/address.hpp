// SPDX-License-Identifier: MIT
#pragma once

// HOST:PORT as people write it, and sockets that listen there.

#include <string>
#include <string_view>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <sys/socket.h>

namespace segment_server {

/// An address that can be bound.
struct address {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

/// Reads "HOST:PORT", "[IPV6]:PORT" or ":PORT" (all of IPv4), and asks the resolver for names.
///
/// Returns: the address, or in words what is wrong with the text.
[[nodiscard]] std::expected<address, std::string> parse_address(std::string_view text);

/// Opens a non-blocking socket that listens there together with others of this process
/// (SO_REUSEPORT).
///
/// Errors: the errno of socket, bind or listen.
[[nodiscard]] zcpool::result<zcpool::sys::unique_fd> listen_at(const address& where) noexcept;

/// Where a socket is bound: the port that the system chose, too.
[[nodiscard]] address bound_address(int socket) noexcept;

/// The address as parse_address() reads it.
[[nodiscard]] std::string to_string(const address& where);

}  // namespace segment_server
