// SPDX-License-Identifier: MIT
#include <common/address.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include <common/number.hpp>

namespace examples {

std::expected<address, std::string> parse_address(std::string_view option, std::string_view text,
                                                  address_use use) {
    const auto colon = text.rfind(':');
    const auto port =
        colon == std::string_view::npos ? std::nullopt : saturating_number(text.substr(colon + 1));
    const bool connects = use == address_use::to_connect;
    const unsigned least = connects ? 1 : 0;
    if (!port || *port < least || *port > 65535 || (connects && colon == 0)) {
        return std::unexpected{
            fmt::format("{} {}: no HOST:PORT with a port from {} to 65535; write 127.0.0.1:8080",
                        option, text, least)};
    }
    std::string host{text.substr(0, colon)};
    if (host.empty()) {
        host = "0.0.0.0";
    } else if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | (connects ? 0 : AI_PASSIVE);
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), std::to_string(*port).c_str(), &hints, &found);
    if (error != 0) {
        return std::unexpected{fmt::format(
            "{} {}: {}; give {}", option, text, ::gai_strerror(error),
            connects ? "an address, or a name that resolves" : "an address of this machine")};
    }
    address result;
    result.length = found->ai_addrlen;
    std::memcpy(&result.storage, found->ai_addr, found->ai_addrlen);
    ::freeaddrinfo(found);
    return result;
}

zcpool::result<zcpool::sys::unique_fd> listen_at(const address& where) noexcept {
    constexpr int backlog = 1024;
    const int on = 1;
    zcpool::sys::unique_fd socket{
        ::socket(where.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where.storage), where.length) !=
            0 ||
        ::listen(socket.get(), backlog) != 0) {
        return std::unexpected{std::error_code{errno, std::system_category()}};
    }
    return socket;
}

address bound_address(int socket) noexcept {
    address result;
    result.length = sizeof result.storage;
    ::getsockname(socket, reinterpret_cast<sockaddr*>(&result.storage), &result.length);
    return result;
}

std::string to_string(const address& where) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&where.storage), where.length, host.data(),
                  host.size(), port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV);
    const bool is_v6 = where.storage.ss_family == AF_INET6;
    return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", host.data(), is_v6 ? "]" : "", port.data());
}

}  // namespace examples
