// SPDX-License-Identifier: MIT
#pragma once

// Whether one other process of a pool still lives: the kernel's answer, as in reaper.hpp, and never
// a time-out.

#include <sys/poll.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// Opens the descriptor of a process that has a place, if it is the one that joined.
///
/// Returns: nothing when that has gone; no descriptor when it cannot be told: ask again.
/// Errors: the errno of pidfd_open.
[[nodiscard]] inline result<std::optional<sys::unique_fd>> open_member(
    process_status who) noexcept {
    const auto pid = static_cast<pid_t>(who.pid);
    auto process = sys::open_process(pid);
    if (!process) {
        if (sys::is_errno(process.error(), ESRCH)) {
            return std::nullopt;
        }
        return fail(process.error());
    }
    // It had joined before the descriptor was opened. So if the pid is still its own now, the
    // descriptor is its own too; and if it is another's now, it has gone.
    const auto start = sys::start_time_of(pid);
    if (start && (*start & process_field) != who.start_bits) {
        return std::nullopt;
    }
    // Without an answer (it goes this moment, or /proc is hidden) the descriptor may be that of a
    // later process with its pid.
    return start ? std::move(*process) : sys::unique_fd{};
}

/// Watches the process that has a place in a pool. Sharing: one thread at a time.
class peer_watch {
public:
    peer_watch() noexcept = default;
    /// The process that has that seat, or had it.
    peer_watch(const process_registry& places, process_seat seat) noexcept
        : places_(&places), seat_(seat) {}

    /// Whether there is anybody to watch.
    [[nodiscard]] bool is_set() const noexcept { return places_ != nullptr; }

    /// Whether the process has ended, or left the pool. What cannot be told is no.
    ///
    /// Complexity: a system call; three more the first time.
    [[nodiscard]] bool is_gone() noexcept {
        if (places_ == nullptr) {
            return false;
        }
        if (places_->was(seat_.index) != seat_.status) {
            return true;
        }
        if (!process_) {
            auto found = open_member(seat_.status);
            if (found && !found->has_value()) {
                return true;
            }
            process_ = found ? std::move(**found) : sys::unique_fd{};
        }
        pollfd entry{};
        entry.fd = process_.get();
        const auto ready = process_ ? sys::poll_readable({&entry, 1}, 0) : result<int>{0};
        return ready && *ready != 0;
    }

    /// A descriptor that is readable when the process has ended; -1 before is_gone() was asked, or
    /// where the system has none.
    [[nodiscard]] int descriptor() const noexcept { return process_.get(); }

private:
    const process_registry* places_ = nullptr;
    process_seat seat_;
    sys::unique_fd process_;
};

}  // namespace zcpool::ipc
