// SPDX-License-Identifier: MIT
#pragma once

// Noticing that a process of a shared pool has died, and taking back what it had.
//
// The kernel says it: a pidfd is readable when the last thread of its process has gone, or the pid
// is another process's by now, which its start time shows. Never a time-out: a process that is
// stopped is not dead. What cannot be told is taken for alive.
//
// Source: pidfd_open(2).

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/peer_watch.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What became of a look for the dead.
struct reap_report {
    std::uint32_t found_dead = 0;  ///< processes that this reaper was the first to say so of
    recovery_report recovered;     ///< what was taken back, also of those found by others
};

/// Watches the processes of a pool. Any number of them, in any of the processes, at once; one may
/// be killed at any point, and another goes on.
///
/// Sharing: one thread at a time. Valid while the pool lives.
class reaper {
public:
    /// Expects: the pool is shared or attached, or will be before reap() is to find anybody.
    explicit reaper(pool_view pool) noexcept : core_(&pool_sharing::core_of(pool)) {}

    /// Looks for dead processes and takes back what they had; also what earlier recoveries left.
    ///
    /// Errors: the errno of pidfd_open or poll; ENOSYS before Linux 5.3. What was found until then
    /// has been recovered.
    /// Complexity: a system call, and three for each process that is new; when somebody died,
    /// O(slots).
    [[nodiscard]] result<reap_report> reap() noexcept { return look(0); }

    /// As reap(), after a process has died or `timeout` has passed. Who attaches meanwhile is
    /// watched from at most 20 ms later on.
    ///
    /// Concurrency: blocks.
    template <class Rep, class Period>
    [[nodiscard]] result<reap_report> reap_for(
        std::chrono::duration<Rep, Period> timeout) noexcept {
        const auto deadline = sys::deadline_after(timeout);
        for (;;) {
            const auto left = deadline - sys::clock::now();
            const auto slice = clamped<sys::clock::duration>(left, {}, longest_look);
            auto found = look(static_cast<int>(
                std::chrono::duration_cast<std::chrono::milliseconds>(slice).count()));
            if (!found || found->found_dead != 0 || found->recovered.gone != 0 ||
                left <= sys::clock::duration::zero()) {
                return found;
            }
        }
    }

private:
    static constexpr sys::clock::duration longest_look = std::chrono::milliseconds{20};

    /// A process that is watched: who it was when its descriptor was opened.
    struct watched {
        process_status who;
        sys::unique_fd process;
    };

    [[nodiscard]] result<reap_report> look(int milliseconds) noexcept {
        reap_report report;
        std::error_code refused = watch_all(report);
        if (!refused) {
            // Also where some were found already: others may have died that are watched.
            refused = poll_all(report.found_dead == 0 ? milliseconds : 0, report);
        }
        report.recovered = pool_sharing::recover(*core_);
        if (refused) {
            return fail(refused);
        }
        return report;
    }

    /// Opens descriptors of those who are new, and marks those who have gone already.
    [[nodiscard]] std::error_code watch_all(reap_report& report) noexcept {
        const process_registry& places = pool_sharing::registry(*core_);
        std::error_code refused;
        for (std::uint32_t index = 0; index < places.size(); ++index) {
            watched& here = watched_[index];
            const process_status now = places.was(index);
            if (now.state != process_state::live && now.state != process_state::joining) {
                here = {};
            } else if (now != here.who || !here.process) {
                here = {now, {}};
                auto found = open_member(now);
                if (!found) {
                    refused = found.error();
                } else if (!found->has_value()) {
                    mark(index, report);
                } else {
                    here.process = std::move(**found);
                }
            }
        }
        return refused;
    }

    /// Asks all descriptors.
    [[nodiscard]] std::error_code poll_all(int milliseconds, reap_report& report) noexcept {
        std::array<pollfd, max_processes> entries{};
        std::array<std::uint32_t, max_processes> places{};
        std::size_t count = 0;
        for (std::uint32_t index = 0; index < watched_.size(); ++index) {
            if (watched_[index].process) {
                entries[count].fd = watched_[index].process.get();
                places[count++] = index;
            }
        }
        const auto ready = sys::poll_readable({entries.data(), count}, milliseconds);
        if (!ready) {
            return ready.error();
        }
        for (std::size_t i = 0; i < count && *ready != 0; ++i) {
            if ((entries[i].revents & POLLIN) != 0) {
                mark(places[i], report);
            }
        }
        return {};
    }

    void mark(std::uint32_t index, reap_report& report) noexcept {
        watched& here = watched_[index];
        if (pool_sharing::registry(*core_).mark_dying(index, here.who)) {
            ++report.found_dead;
        }
        here = {};
    }

    pool_core* core_;
    std::array<watched, max_processes> watched_{};
};

}  // namespace zcpool::ipc
