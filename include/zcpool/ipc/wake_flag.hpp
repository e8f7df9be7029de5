// SPDX-License-Identifier: MIT
#pragma once

// Sleeping until the one at the other end has done something, where a wake-up costs a system call
// only if somebody sleeps.
//
// Whoever is to be woken (1) announces it, (2) looks once more, and then sleeps; whoever changes
// what is looked at (3) changes it, (4) looks at the flag. All four are sequentially consistent:
// in their single order (4) before (1) puts (3) before (2), so the change is seen; else the flag
// is. A waker that dies between (3) and the wake-up leaves a sleeper: so nobody sleeps for long
// without looking whether the other one lives.

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::ipc {

/// The flag of one sleeper, in shared memory; zeroed, nobody sleeps. The sleeper is one thread at a
/// time, and so is the waker.
///
/// With atomics other than the library's, futex_wait and futex_wake are found beside those.
template <template <class> class Atomic = atomic>
class basic_wake_flag {
public:
    /// Step (1).
    void announce() noexcept {
        // sync(channel): seq_cst; the waker sees it, or we see the change in step (2).
        announced_.store(1, memory_order_seq_cst);
    }

    /// Ends what announce() began, however the wait ended.
    void withdraw() noexcept {
        // relaxed: a waker that misses it makes a system call for nothing.
        announced_.store(0, memory_order_relaxed);
    }

    /// Sleeps behind announce() until woken or the deadline.
    /// Concurrency: blocks.
    [[nodiscard]] sys::wait_status sleep(sys::clock::time_point deadline) noexcept {
        using sys::futex_wait;
        return futex_wait(announced_, 1U, every_sleeper, deadline);
    }

    /// Step (4): whether somebody must be woken, which is then the caller's to do.
    /// Complexity: one load when nobody sleeps.
    [[nodiscard]] bool claim() noexcept {
        // sync(channel): seq_cst; as in announce().
        if (announced_.load(memory_order_seq_cst) == 0) {
            return false;
        }
        // relaxed: only says that we are the one.
        return announced_.exchange(0, memory_order_relaxed) != 0;
    }

    /// Wakes a sleeper whom claim() found.
    void wake() noexcept {
        using sys::futex_wake;
        futex_wake(announced_, 1U, every_sleeper);
    }

private:
    static constexpr std::uint32_t every_sleeper = ~std::uint32_t{0};

    Atomic<std::uint32_t> announced_;
};

using wake_flag = basic_wake_flag<>;
static_assert(sizeof(wake_flag) == 4, "part of the shared layout");

}  // namespace zcpool::ipc
