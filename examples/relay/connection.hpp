// SPDX-License-Identifier: MIT
#pragma once

// A client, the peer that it is relayed to, and what moves between them.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/sys/unique_fd.hpp>

#include <relay/direction.hpp>

namespace relay {

/// Milliseconds of the monotonic clock.
using moment = std::int64_t;

/// Makes the coming close(2) reset the connection, so that its peer does not take what it has for
/// all there is.
inline void reset_on_close(int socket) noexcept {
    const linger now{1, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/// A relayed connection. Direction: passing or inspecting.
template <class Direction>
class connection {
public:
    /// `upstream` is being connected.
    connection(zcpool::sys::unique_fd client, zcpool::sys::unique_fd upstream, surroundings& around,
               moment now) noexcept
        : client_(std::move(client)),
          upstream_(std::move(upstream)),
          around_(around),
          up_(client_.get(), upstream_.get(), around),
          down_(upstream_.get(), client_.get(), around),
          last_moved_(now) {
        for (const int each : {client_.get(), upstream_.get()}) {
            const int on = 1;
            ::setsockopt(each, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() {
        count();
        around_.counted.bytes_lost += up_.held() + down_.held();
    }

    /// Moves what it can both ways: whatever happened to either socket, any of it may go on.
    fate move(moment now) noexcept {
        const fate up = go_on(up_, has_ended_up_);
        const fate down = up == fate::failed ? up : go_on(down_, has_ended_down_);
        if (count()) {
            last_moved_ = now;
        }
        around_.counted.most_held =
            std::max<std::uint64_t>({around_.counted.most_held, up_.held(), down_.held()});
        if (down == fate::failed || (has_ended_up_ && has_ended_down_)) {
            return down == fate::failed ? down : fate::ended;
        }
        for (const fate worth : {fate::more, fate::starved}) {
            if (up == worth || down == worth) {
                return worth;
            }
        }
        return fate::waiting;
    }

    /// Whether connecting has come to its end, and the error that it ended with, or the one that a
    /// peer's reset has left behind.
    [[nodiscard]] int take_error() noexcept {
        for (const int each : {upstream_.get(), client_.get()}) {
            int error = 0;
            socklen_t length = sizeof error;
            if (::getsockopt(each, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
                return error;
            }
        }
        return 0;
    }

    void reset() noexcept {
        reset_on_close(client_.get());
        reset_on_close(upstream_.get());
    }

    [[nodiscard]] int client() const noexcept { return client_.get(); }
    [[nodiscard]] int upstream() const noexcept { return upstream_.get(); }
    [[nodiscard]] moment last_moved() const noexcept { return last_moved_; }

    bool is_connected = false;
    bool is_listed = false;  ///< in the loop's list of those that go on by themselves
    bool is_closed = false;  ///< to be destroyed at the end of the turn

private:
    static fate go_on(Direction& one, bool& has_ended) noexcept {
        if (has_ended) {
            return fate::ended;
        }
        const fate came = one.move();
        has_ended = came == fate::ended;
        return came;
    }

    /// Adds what has been moved to the counters. Returns: whether there was any.
    bool count() noexcept {
        const std::uint64_t up = up_.moved() - std::exchange(counted_up_, up_.moved());
        const std::uint64_t down = down_.moved() - std::exchange(counted_down_, down_.moved());
        around_.counted.bytes_up += up;
        around_.counted.bytes_down += down;
        return up + down != 0;
    }

    zcpool::sys::unique_fd client_;
    zcpool::sys::unique_fd upstream_;
    surroundings& around_;
    Direction up_;
    Direction down_;
    bool has_ended_up_ = false;
    bool has_ended_down_ = false;
    moment last_moved_;
    std::uint64_t counted_up_ = 0;
    std::uint64_t counted_down_ = 0;
};

}  // namespace relay
