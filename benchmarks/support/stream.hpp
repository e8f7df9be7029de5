// SPDX-License-Identifier: MIT
#pragma once

// A connection whose other end is drained by a thread of its own, into one fixed buffer.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <utility>
#include <vector>

#include <zcpool/sys/unique_fd.hpp>

#include "support/cpu.hpp"

namespace bench {

/// Ends the program when what a benchmark stands on does not.
inline void require(bool holds, const char* what) noexcept {
    if (!holds) {
        std::perror(what);
        std::exit(1);
    }
}

/// What a stream runs over.
enum class transport : std::uint8_t { tcp, unix_socket };

/// The two ends of a connection; what goes into `near` comes out of `far`. `near` is non-blocking.
struct two_ends {
    zcpool::sys::unique_fd near;
    zcpool::sys::unique_fd far;
};

namespace detail {

// The default of many systems is bbr, which paces on loopback as if it were a long line.
inline void use_cubic(int fd) noexcept {
    require(::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0, "TCP_CONGESTION cubic");
}

[[nodiscard]] inline two_ends connect_tcp() noexcept {
    const zcpool::sys::unique_fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    require(static_cast<bool>(listener), "socket");
    use_cubic(listener.get());
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const where = reinterpret_cast<sockaddr*>(&address);
    require(::bind(listener.get(), where, sizeof address) == 0, "bind");
    require(::listen(listener.get(), 1) == 0, "listen");
    socklen_t size = sizeof address;
    require(::getsockname(listener.get(), where, &size) == 0, "getsockname");
    two_ends ends;
    ends.near = zcpool::sys::unique_fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    use_cubic(ends.near.get());
    require(::connect(ends.near.get(), where, sizeof address) == 0, "connect");
    ends.far = zcpool::sys::unique_fd{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    require(static_cast<bool>(ends.far), "accept");
    return ends;
}

[[nodiscard]] inline two_ends connect_unix() noexcept {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    // TCP grows its buffers by itself; here it takes a word.
    const int bytes = 4 << 20;
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return {zcpool::sys::unique_fd{ends[0]}, zcpool::sys::unique_fd{ends[1]}};
}

}  // namespace detail

[[nodiscard]] inline two_ends connect(transport over) noexcept {
    two_ends ends = over == transport::tcp ? detail::connect_tcp() : detail::connect_unix();
    require(::fcntl(ends.near.get(), F_SETFL, O_NONBLOCK) == 0, "fcntl");
    return ends;
}

/// Sleeps until a socket takes more.
inline void wait_writable(int fd) noexcept {
    pollfd wanted{fd, POLLOUT, 0};
    ::poll(&wanted, 1, -1);
}

/// A non-blocking socket to send into. What is sent is read and dropped on the other processor.
class stream {
public:
    explicit stream(transport over) {
        two_ends ends = connect(over);
        near_ = std::move(ends.near);
        far_ = std::move(ends.far);
        reader_ = std::thread{[this] { drain(); }};
    }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
    ~stream() {
        ::shutdown(near_.get(), SHUT_WR);
        reader_.join();
    }

    [[nodiscard]] int fd() const noexcept { return near_.get(); }

    /// Processor time of the thread that reads.
    [[nodiscard]] double reader_cpu_ns() noexcept {
        clockid_t clock{};
        require(::pthread_getcpuclockid(reader_.native_handle(), &clock) == 0, "cpu clock");
        return nanoseconds(clock);
    }

    /// Waits until the reader has read `bytes` more than at the last call, so that one measurement
    /// leaves nothing to the next.
    void wait_drained(std::size_t bytes) noexcept {
        expected_ += bytes;
        // acquire: only the count matters, but what follows should begin after it.
        spin_until([&] { return drained_.load(std::memory_order_acquire) >= expected_; });
    }

private:
    void drain() noexcept {
        pin_to(1);
        std::vector<std::byte> buffer(64 * 1024);
        for (;;) {
            const auto got = ::recv(far_.get(), buffer.data(), buffer.size(), 0);
            if (got <= 0) {
                return;
            }
            // release: pairs with wait_drained().
            drained_.fetch_add(static_cast<std::uint64_t>(got), std::memory_order_release);
        }
    }

    zcpool::sys::unique_fd near_;
    zcpool::sys::unique_fd far_;
    std::uint64_t expected_ = 0;
    alignas(64) std::atomic<std::uint64_t> drained_{0};
    std::thread reader_;
};

}  // namespace bench
