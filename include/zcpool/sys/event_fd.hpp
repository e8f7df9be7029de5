// SPDX-License-Identifier: MIT
#pragma once

// A descriptor that becomes readable when somebody signals it, for poll, epoll and io_uring.
// Source: eventfd(2).

#include <cstdint>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// An eventfd, close-on-exec and non-blocking.
class event_fd {
public:
    /// Errors: the errno of eventfd; EMFILE when no descriptor is left.
    [[nodiscard]] static result<event_fd> create() noexcept {
        auto made = call([] { return provider::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
        if (!made) {
            return fail(made.error());
        }
        return event_fd{unique_fd{*made}};
    }

    /// Takes over a descriptor of one, as another process may have handed it over.
    [[nodiscard]] static event_fd adopt(unique_fd fd) noexcept { return event_fd{std::move(fd)}; }

    event_fd() noexcept = default;

    [[nodiscard]] int get() const noexcept { return fd_.get(); }

    /// Makes it readable.
    ///
    /// Concurrency: any thread; one system call.
    void signal() noexcept {
        const std::uint64_t one = 1;
        // Can only fail when it was signalled 2^64 - 2 times: it is readable then.
        static_cast<void>(call([&] { return provider::write(fd_.get(), &one, sizeof one); }));
    }

    /// Makes it unreadable until the next signal.
    void clear() noexcept {
        std::uint64_t signals = 0;
        // Fails when it was not signalled, which is what is wanted.
        static_cast<void>(
            call([&] { return provider::read(fd_.get(), &signals, sizeof signals); }));
    }

private:
    explicit event_fd(unique_fd fd) noexcept : fd_(std::move(fd)) {}

    unique_fd fd_;
};

}  // namespace zcpool::sys
