// SPDX-License-Identifier: MIT
#pragma once

// Keeping pages in RAM, and saying plainly when the system refuses.
// Source: mlock(2): beyond RLIMIT_MEMLOCK it answers ENOMEM, with a limit of 0 EPERM; CAP_IPC_LOCK
// lifts the limit.

#include <cstddef>
#include <cstdint>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/mapping.hpp>

namespace zcpool {

/// What to do about locking pages in RAM.
enum class lock_policy : std::uint8_t {
    none,         ///< do not lock
    best_effort,  ///< lock; go on when refused, and report it
    required,     ///< refuse to work when the system refuses to lock
};

/// What became of the wish to lock pages.
struct lock_report {
    lock_policy policy = lock_policy::none;
    bool locked = false;
    std::error_code refusal;       ///< why not; empty when locked or not asked for
    std::size_t bytes = 0;         ///< what was to be locked
    std::uint64_t soft_limit = 0;  ///< RLIMIT_MEMLOCK in bytes; UINT64_MAX: unlimited
    std::uint64_t hard_limit = 0;  ///< likewise, what the process may raise it to
};

namespace sys {

/// A report with the limits of this process, and nothing locked.
[[nodiscard]] inline lock_report read_lock_limits(lock_policy policy, std::size_t bytes) noexcept {
    lock_report report;
    report.policy = policy;
    report.bytes = bytes;
    rlimit limit{};
    if (call([&] { return provider::getrlimit_memlock(&limit); })) {
        report.soft_limit = limit.rlim_cur;
        report.hard_limit = limit.rlim_max;
    }
    return report;
}

/// Locks a mapping's pages as the policy says, and fills the report, also on failure.
///
/// Errors: the errno of mlock, only with `required`.
[[nodiscard]] inline result<void> lock_pages(const mapping& pages, lock_policy policy,
                                             lock_report& report) noexcept {
    report = read_lock_limits(policy, pages.size());
    if (policy == lock_policy::none) {
        return {};
    }
    if (auto done = call([&] { return provider::mlock(pages.data(), pages.size()); }); !done) {
        report.refusal = done.error();
        if (policy == lock_policy::required) {
            return fail(done.error());
        }
        return {};
    }
    report.locked = true;
    return {};
}

/// Finds out whether so many more bytes could be locked now, and leaves nothing locked: what is
/// tried are addresses without memory.
///
/// Expects: whole pages, at least one.
/// Returns: what lock_pages() would report with best_effort. A refusal may also be ENOMEM for want
/// of addresses, or ENOSYS before Linux 4.4.
[[nodiscard]] inline lock_report try_lock(std::size_t bytes) noexcept {
    lock_report report = read_lock_limits(lock_policy::best_effort, bytes);
    const auto addresses = mapping::reserved(bytes);
    if (!addresses) {
        report.refusal = addresses.error();
        return report;
    }
    auto done = call([&] { return provider::lock_on_fault(addresses->data(), bytes); });
    if (!done) {
        report.refusal = done.error();
        return report;
    }
    report.locked = true;
    return report;
}

}  // namespace sys
}  // namespace zcpool
