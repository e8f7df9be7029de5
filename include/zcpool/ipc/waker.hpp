// SPDX-License-Identifier: MIT
#pragma once

// How a sleeper of a channel is woken: by futex, or by a descriptor where it waits in an event
// loop.

#include <sys/poll.h>

#include <array>
#include <chrono>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/wake_flag.hpp>
#include <zcpool/sys/event_fd.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// One side's sleep. The flag is in shared memory; the event, if there is one, is that of both, or
/// where they do not trust each other (sys::wake_socket) an end of it.
/// Sharing: as wake_flag.
template <class Event = sys::event_fd>
class basic_waker {
public:
    basic_waker() noexcept = default;
    /// By an event; by futex, where it is none.
    explicit basic_waker(Event event) noexcept : event_(std::move(event)) {}

    /// Errors: the errno of eventfd.
    [[nodiscard]] static result<basic_waker> create(wake_by how) noexcept {
        if (how == wake_by::futex) {
            return basic_waker{};
        }
        auto event = Event::create();
        if (!event) {
            return fail(event.error());
        }
        return basic_waker{std::move(*event)};
    }

    /// Takes over an event that the other side made; none: by futex.
    [[nodiscard]] static basic_waker adopt(sys::unique_fd event) noexcept {
        return basic_waker{Event::adopt(std::move(event))};
    }

    /// The event; -1: none.
    [[nodiscard]] int event() const noexcept { return event_.get(); }

    /// Wakes the sleeper, if there is one: behind the change that it waits for.
    void wake(wake_flag& flag) noexcept {
        if (flag.claim()) {
            if (event() >= 0) {
                event_.signal();
            } else {
                flag.wake();
            }
        }
    }

    /// Sleeps behind an announce(), but never long: whoever is to wake us may have died.
    ///
    /// `peer`: a descriptor, and what happens to it when it has (0: it becomes readable); -1: none,
    /// or not yet. A futex cannot be waited for together with it.
    /// Returns: false when nobody woke us.
    /// Concurrency: blocks.
    [[nodiscard]] bool sleep(wake_flag& flag, pollfd peer,
                             sys::clock::time_point deadline) const noexcept {
        const auto now = sys::clock::now();
        const auto until = clamped(deadline, now, now + std::chrono::milliseconds{20});
        if (event() < 0) {
            return flag.sleep(until) == sys::wait_status::woken;
        }
        std::array<pollfd, 2> entries{};
        entries[0].fd = event();
        entries[1] = peer;  // below 0 it is ignored
        const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(until - now);
        const auto ready = sys::poll_readable(entries, static_cast<int>(milliseconds.count()));
        return ready && entries[0].revents != 0;
    }

    /// After a wait, however it ended.
    void end_wait(wake_flag& flag) noexcept {
        flag.withdraw();
        if (event() >= 0) {
            event_.clear();
        }
    }

private:
    Event event_;
};

using waker = basic_waker<>;

}  // namespace zcpool::ipc
