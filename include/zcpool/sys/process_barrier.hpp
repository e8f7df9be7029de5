// SPDX-License-Identifier: MIT
#pragma once

// A memory barrier in all threads of the process at once, paid for by the one that asks.
//
// It makes a pair of barriers lopsided: one side, taken every few nanoseconds, needs none but the
// compiler's; the other, taken rarely, interrupts every running thread.
// Source: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.

#include <linux/membarrier.h>

#include <atomic>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// The two halves of a barrier between the threads of a process.
struct process_barrier {
    /// Lets this process use heavy(). Repeatable.
    ///
    /// Errors: ENOSYS before Linux 4.14, EPERM where a filter forbids it.
    [[nodiscard]] static result<void> prepare() noexcept {
        auto done =
            call([] { return provider::membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// The side that is taken often: keeps the compiler from moving memory accesses across.
    static void light() noexcept {
        // sync(barrier): seq_cst for the compiler; heavy() supplies the processor's part.
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    /// The side that is taken rarely: when it returns, every thread of the process has passed a
    /// full barrier since it was called.
    ///
    /// Expects: prepare() succeeded.
    /// Complexity: a system call that interrupts each processor on which the process runs.
    static void heavy() noexcept {
        // Cannot fail once prepared, and without its effect nothing could be done about it.
        static_cast<void>(
            call([] { return provider::membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED); }));
    }
};

}  // namespace zcpool::sys
