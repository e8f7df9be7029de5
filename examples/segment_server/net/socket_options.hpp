// SPDX-License-Identifier: MIT
#pragma once

// What every accepted connection is set to.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <string>

namespace segment_server {

/// How accepted sockets behave. Each setting is a wish: a socket without it still serves.
struct socket_options {
    std::string congestion;  ///< empty: the system's default
    std::chrono::milliseconds send_timeout{30'000};

    void apply(int socket) const noexcept {
        const int on = 1;
        ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        // Frees what the kernel holds for a peer that has vanished, also after close(2).
        const auto limit = static_cast<unsigned>(send_timeout.count());
        ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
        if (!congestion.empty()) {
            ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                         static_cast<socklen_t>(congestion.size()));
        }
    }
};

/// Makes the coming close(2) reset the connection and drop what is unsent, so that a peer that does
/// not read holds no memory of ours any longer.
inline void reset_on_close(int socket) noexcept {
    const linger now{1, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace segment_server
