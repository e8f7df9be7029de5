// SPDX-License-Identifier: MIT
#pragma once

// Waiting for a slot in an event loop: a descriptor that is readable when it is worth another try.

#include <chrono>
#include <cstddef>
#include <source_location>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/slot_watch.hpp>
#include <zcpool/sys/event_fd.hpp>

namespace zcpool {

/// A wish for a buffer of so many bytes, with a descriptor for poll, epoll or io_uring.
///
///     slot_event event{pool, 48'000, sys::event_fd::create().value()};
///     auto frame = event.try_again();
///     while (!frame && frame.error() == errc::exhausted) {
///         wait_readable(event.fd(), event.retry_after());  // 0: no time-out
///         frame = event.try_again();
///     }
///
/// Limits, Sharing: as slot_watch. retry_after() does not make the descriptor readable: it has to
/// be the loop's time-out while it is not 0.
/// Not for: a forked child, in which it answers `closed` and leaves the descriptor, which is the
/// parent's as well, as it is.
class slot_event {
public:
    /// Does not wait yet.
    slot_event(pool_view pool, std::size_t bytes, sys::event_fd descriptor,
               priority who = priority::normal) noexcept
        : event_(std::move(descriptor)), watch_(pool, bytes, &signal, &event_, who) {}

    /// Readable when a slot may have come back since the last try, and when the pool was closed.
    [[nodiscard]] int fd() const noexcept { return event_.get(); }

    /// Makes the descriptor unreadable, and takes a slot, or waits for one from now on.
    ///
    /// Errors, Complexity, Concurrency: as slot_watch::try_again(), and a system call when it was
    /// waiting.
    [[nodiscard]] result<buffer> try_again(
        std::source_location where = std::source_location::current()) noexcept {
        clear();
        return watch_.try_again(where);
    }

    /// Waits no longer, and makes the descriptor unreadable; see slot_watch::cancel().
    void cancel() noexcept {
        clear();
        watch_.cancel();
    }

    /// See slot_watch.
    [[nodiscard]] bool is_waiting() const noexcept { return watch_.is_waiting(); }
    [[nodiscard]] std::chrono::milliseconds retry_after() const noexcept {
        return watch_.retry_after();
    }

private:
    static void signal(void* event) noexcept { static_cast<sys::event_fd*>(event)->signal(); }

    /// Who does not wait has not been signalled since it was cleared last.
    void clear() noexcept {
        if (watch_.is_waiting() && watch_.core_.in_creator()) {
            watch_.hold_callbacks();
            event_.clear();
        }
    }

    sys::event_fd event_;
    slot_watch watch_;  // behind what it signals
};

}  // namespace zcpool
