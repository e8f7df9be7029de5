// SPDX-License-Identifier: MIT
#pragma once

// A descriptor that becomes readable when another process signals it, where the two do not trust
// each other: the ends of a pair of UNIX sockets.
//
// An eventfd will not do for them. Both would have the same open file description, so the one who
// sleeps could take O_NONBLOCK from it, write 2^64 - 2 into it, and have the other one's next
// signal wait for ever; there is no other way to write to an eventfd, and none to open it once
// more. Of a pair each has a description of its own, and says with every call that it does not
// wait. Source: socketpair(2), send(2), unix(7).

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/transfer.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// One end: the one that signals, or the one that is woken.
///
/// No call on it waits, whatever the process at the other end does with its own, or with a
/// duplicate of this one. When that end is closed this one is readable for good.
class wake_socket {
public:
    struct pair;

    wake_socket() noexcept = default;

    /// Makes both ends, close-on-exec. `signals` takes nothing that comes from the other end, and
    /// holds no more than a few signals that were not seen.
    ///
    /// Errors: the errno of socketpair; EMFILE when no descriptor is left.
    [[nodiscard]] static result<pair> create() noexcept;

    /// Takes over the end that is woken, as another process may have handed it over.
    [[nodiscard]] static wake_socket adopt(unique_fd fd) noexcept {
        return wake_socket{std::move(fd)};
    }

    /// Whether a descriptor that another process handed over may be adopted: of anything else,
    /// looking at it could wait.
    [[nodiscard]] static bool is_one(int fd) noexcept {
        return option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_TYPE) == SOCK_STREAM;
    }

    [[nodiscard]] int get() const noexcept { return fd_.get(); }

    /// Makes the other end readable. Without SIGPIPE.
    ///
    /// Concurrency: any thread; one system call.
    void signal() noexcept {
        std::byte one{};
        iovec part{&one, sizeof one};
        // Fails when it is full, and so readable, or when nobody has the other end.
        static_cast<void>(send_parts(fd_.get(), {&part, 1}, false));
    }

    /// Makes this end unreadable until the next signal, unless the other one sent more than that
    /// does, or is closed.
    void clear() noexcept {
        std::array<std::byte, 64> signals;
        // Fails when there was none, which is what is wanted.
        static_cast<void>(receive(fd_.get(), signals));
    }

private:
    explicit wake_socket(unique_fd fd) noexcept : fd_(std::move(fd)) {}

    /// Returns: -1 where it has no such option.
    [[nodiscard]] static int option(int fd, int name) noexcept {
        int value = -1;
        socklen_t bytes = sizeof value;
        const auto done =
            call([&] { return provider::getsockopt(fd, SOL_SOCKET, name, &value, &bytes); });
        return done ? value : -1;
    }

    unique_fd fd_;
};

/// Two ends that are connected.
struct wake_socket::pair {
    wake_socket signals;
    unique_fd is_woken;  ///< to be handed over, and adopted there
};

inline result<wake_socket::pair> wake_socket::create() noexcept {
    int ends[2] = {-1, -1};
    auto made = call(
        [&] { return provider::socketpair(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, ends); });
    if (!made) {
        return fail(made.error());
    }
    pair both{wake_socket{unique_fd{ends[0]}}, unique_fd{ends[1]}};
    // Nothing is to come from the other end, descriptors least of all.
    if (auto done = call([&] { return provider::shutdown(ends[0], SHUT_RD); }); !done) {
        return fail(done.error());
    }
    // The least that the system has. Not getting it is no reason to fail.
    const int least = 1;
    static_cast<void>(call([&] {
        return provider::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    }));
    return both;
}

}  // namespace zcpool::sys
