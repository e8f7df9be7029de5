// SPDX-License-Identifier: MIT
#pragma once

// Sleeping on a 32-bit word that other processes may map elsewhere, and waking only those who wait
// for this.
// Source: futex(2), FUTEX_WAIT_BITSET and FUTEX_WAKE_BITSET without FUTEX_PRIVATE_FLAG.

#include <chrono>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// The clock of every deadline in this library: CLOCK_MONOTONIC.
using clock = std::chrono::steady_clock;

/// The time point that lies a duration ahead, or the clock's last one where that is beyond its
/// range; now, if the duration is negative.
template <class Rep, class Period>
[[nodiscard]] clock::time_point deadline_after(
    std::chrono::duration<Rep, Period> timeout) noexcept {
    using seconds = std::chrono::duration<double>;
    const auto now = clock::now();
    if (seconds{timeout} >= seconds{clock::time_point::max() - now}) {
        return clock::time_point::max();
    }
    if (timeout <= timeout.zero()) {
        return now;
    }
    return now + std::chrono::duration_cast<clock::duration>(timeout);
}

/// Why a wait ended.
enum class wait_status : std::uint8_t {
    woken,      ///< somebody woke us, or the word had changed already
    timed_out,  ///< the deadline passed
};

/// Sleeps while `word` is `expected`, until a wake-up with a common bit in `mask` or the deadline.
///
/// Expects: `mask != 0`.
/// Returns: may say `woken` for no reason: look again and wait again.
/// Concurrency: blocks; any number of threads and processes.
[[nodiscard]] inline wait_status futex_wait(atomic<std::uint32_t>& word, std::uint32_t expected,
                                            std::uint32_t mask,
                                            clock::time_point deadline) noexcept {
    using namespace std::chrono;
    ZCPOOL_ASSERT(mask != 0, "a wait that no wake-up could end");
    const auto since = larger_of(deadline.time_since_epoch(), clock::duration::zero());
    const auto whole = duration_cast<seconds>(since);
    const timespec until{static_cast<time_t>(whole.count()),
                         static_cast<long>(duration_cast<nanoseconds>(since - whole).count())};
    const auto done = call([&] {
        return provider::futex(reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_BITSET, expected,
                               &until, mask);
    });
    return !done && is_errno(done.error(), ETIMEDOUT) ? wait_status::timed_out : wait_status::woken;
}

/// Wakes up to `count` of those who wait on `word` with a common bit in `mask`.
///
/// Concurrency: wait-free; one system call.
inline void futex_wake(atomic<std::uint32_t>& word, std::uint32_t count,
                       std::uint32_t mask) noexcept {
    // Waking cannot fail for a mapped word, and a caller that releases a slot could do nothing
    // about it.
    static_cast<void>(call([&] {
        return provider::futex(reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_BITSET, count,
                               nullptr, mask);
    }));
}

}  // namespace zcpool::sys
