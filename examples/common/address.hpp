// SPDX-License-Identifier: MIT
#pragma once

// HOST:PORT as people write it, and sockets that listen there.

#include <expected>
#include <string>
#include <string_view>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <sys/socket.h>

namespace examples {

/// What an address is for.
enum class address_use { to_listen, to_connect };

/// An address that can be bound, or connected to.
struct address {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

/// Reads "HOST:PORT" or "[IPV6]:PORT", and to listen ":PORT" (all of IPv4), and asks the resolver
/// for names.
///
/// `option`: whose value the text is.
/// Returns: the address, or in words what is wrong with the text.
[[nodiscard]] std::expected<address, std::string> parse_address(std::string_view option,
                                                                std::string_view text,
                                                                address_use use);

/// Opens a non-blocking socket that listens there together with others of this process
/// (SO_REUSEPORT).
///
/// Errors: the errno of socket, bind or listen.
[[nodiscard]] zcpool::result<zcpool::sys::unique_fd> listen_at(const address& where) noexcept;

/// Where a socket is bound: the port that the system chose, too.
[[nodiscard]] address bound_address(int socket) noexcept;

/// The address as parse_address() reads it.
[[nodiscard]] std::string to_string(const address& where);

}  // namespace examples
