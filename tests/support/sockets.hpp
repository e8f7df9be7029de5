// SPDX-License-Identifier: MIT
#pragma once

// Connected descriptors for tests: AF_UNIX pairs, TCP over loopback, pipes; and reading everything
// that comes.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool_test {

using zcpool::sys::unique_fd;

/// Two connected ends: `ours` does not block, `peer` does.
struct connection {
    unique_fd ours;
    unique_fd peer;
};

inline void make_nonblocking(int fd) {
    REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

inline connection unix_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    make_nonblocking(ends[0]);
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

/// Whether a descriptor has something to read now, or its end.
inline bool is_readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// What goes into the one end of a pipe comes out of the other.
inline connection blocking_unix_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    return {zcpool::sys::unique_fd{ends[0]}, zcpool::sys::unique_fd{ends[1]}};
}

inline connection pipe_pair() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    make_nonblocking(ends[1]);
    return {unique_fd{ends[1]}, unique_fd{ends[0]}};
}

/// A listening TCP socket on an address, and the port that the system chose.
struct listener {
    unique_fd socket;
    sockaddr_in address{};

    explicit listener(const char* host) : socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        address.sin_family = AF_INET;
        REQUIRE(::inet_pton(AF_INET, host, &address.sin_addr) == 1);
        socklen_t length = sizeof address;
        REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
        REQUIRE(::listen(socket.get(), 16) == 0);
        REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    }

    [[nodiscard]] unique_fd accept() const {
        unique_fd accepted{::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        REQUIRE(accepted);
        return accepted;
    }
};

inline unique_fd connect_to(const sockaddr_in& address) {
    unique_fd made{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    return made;
}

inline connection tcp_pair() {
    const listener server{"127.0.0.1"};
    unique_fd peer = connect_to(server.address);
    connection made{server.accept(), std::move(peer)};
    make_nonblocking(made.ours.get());
    const int on = 1;
    ::setsockopt(made.ours.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return made;
}

/// Reads exactly as many bytes as there is room for. Returns: how many came before the end.
inline std::size_t read_all(int fd, std::span<std::byte> into) {
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t part = ::read(fd, into.data() + got, into.size() - got);
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part <= 0) {
            break;
        }
        got += static_cast<std::size_t>(part);
    }
    return got;
}

inline std::vector<std::byte> read_exactly(int fd, std::size_t count) {
    std::vector<std::byte> bytes(count);
    bytes.resize(read_all(fd, bytes));
    return bytes;
}

/// Sends all bytes to a socket or a pipe, from any thread: where that fails, who reads them finds
/// out.
inline void send_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == ENOTSOCK) {
            sent = ::write(fd, bytes.data(), bytes.size());
        }
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            break;
        }
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}

/// TCP segments with data that left a socket so far. Loopback carries 65,483 bytes in one.
inline unsigned data_segments_sent(int socket) {
    // <netinet/tcp.h> has an older tcp_info, and <linux/tcp.h> cannot be included beside it:
    // tcpi_data_segs_out, 32 bits, stands 156 bytes from its beginning.
    std::array<std::byte, 160> info{};
    socklen_t length = info.size();
    REQUIRE(::getsockopt(socket, IPPROTO_TCP, TCP_INFO, info.data(), &length) == 0);
    REQUIRE(length == info.size());
    std::uint32_t sent = 0;
    std::memcpy(&sent, info.data() + 156, sizeof sent);
    return sent;
}

/// Waits until a descriptor can take more, ten seconds at most.
inline bool wait_writable(int fd) {
    pollfd wanted{fd, POLLOUT, 0};
    return ::poll(&wanted, 1, 10'000) == 1;
}

}  // namespace zcpool_test
