// SPDX-License-Identifier: MIT
#pragma once

// A memory barrier in all threads of all processes that want to take part, paid for by the one that
// asks: process_barrier.hpp for two processes that share memory.
//
// Source: membarrier(2), MEMBARRIER_CMD_GLOBAL_EXPEDITED (Linux 4.16).

#include <linux/membarrier.h>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/process_barrier.hpp>

namespace zcpool::sys {

/// The two halves of a barrier between processes.
struct global_barrier {
    /// Lets the threads of this process be reached by heavy(), whoever calls it. Repeatable.
    ///
    /// Errors: EINVAL before Linux 4.16, ENOSYS, EPERM where a filter forbids it.
    [[nodiscard]] static result<void> prepare() noexcept {
        auto done =
            call([] { return provider::membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// The side that is taken often: keeps the compiler from moving memory accesses across.
    static void light() noexcept { process_barrier::light(); }

    /// The side that is taken rarely: when it returns, every thread of every prepared process has
    /// passed a full barrier since it was called.
    ///
    /// Expects: prepare() succeeded, here and in the process of the other side.
    /// Complexity: a system call that interrupts each processor that runs a prepared process.
    static void heavy() noexcept {
        // Cannot fail once prepared, and without its effect nothing could be done about it.
        static_cast<void>(
            call([] { return provider::membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED); }));
    }
};

}  // namespace zcpool::sys
