// SPDX-License-Identifier: MIT
#pragma once

// How a connection gets its input, and the way in that needs no more than a socket.

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/sys/unique_fd.hpp>

namespace segment_server {

/// What came of asking for input.
struct received {
    enum class kind : std::uint8_t {
        octets,   ///< `count` of them
        nothing,  ///< now; an event will tell
        end,      ///< the peer has nothing more to say, or is gone
    };
    kind what = kind::nothing;
    std::size_t count = 0;
    bool ask_again = false;    ///< at once, and not after the next event
    bool lacked_slot = false;  ///< of those that connections share: it went on without
    std::uint64_t calls = 0;   ///< system calls or requests that this took
};

/// A socket that is read when it is said to be readable.
class ready_socket {
public:
    explicit ready_socket(zcpool::sys::unique_fd socket) noexcept : socket_(std::move(socket)) {}

    [[nodiscard]] int get() const noexcept { return socket_.get(); }

    [[nodiscard]] received receive(char* to, std::size_t room) noexcept {
        const ssize_t n = ::recv(socket_.get(), to, room, 0);
        if (n > 0) {
            const auto count = static_cast<std::size_t>(n);
            // A short count means that the socket is empty: what comes later makes a new event.
            return {.what = received::kind::octets,
                    .count = count,
                    .ask_again = count == room,
                    .calls = 1};
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return {.ask_again = errno == EINTR, .calls = 1};
        }
        return {.what = received::kind::end, .calls = 1};
    }

    /// Whether something has arrived that receive() has not been given yet.
    [[nodiscard]] static constexpr bool has_more() noexcept { return false; }

private:
    zcpool::sys::unique_fd socket_;
};

}  // namespace segment_server
