// SPDX-License-Identifier: MIT
#pragma once

// The kernel's futex as the models see it. Deadlines never come: who sleeps for ever is reported as
// a deadlock.

#include "harness.hpp"

#include <zcpool/sys/futex.hpp>

namespace zcpool_model {

/// The kernel's side of a futex word: its queue, which its own lock guards, so that the look at the
/// word and going to sleep are one step, and waking is another.
struct futex_queue {
    struct sleeper {
        unsigned thread;
        std::uint32_t mask;
    };
    std::array<sleeper, most_threads> asleep{};  // in order of arrival
    std::size_t count = 0;
};
inline futex_queue kernel;

inline zcpool::sys::wait_status futex_wait(atomic<std::uint32_t>& word, std::uint32_t expected,
                                           std::uint32_t mask, zcpool::sys::clock::time_point) {
    rl::context& context = rl::ctx();
    context.sched();
    if (word.newest() == expected) {
        kernel.asleep[kernel.count++] = {this_thread(), mask};
        context.park_current_thread(false, false, false, $);
    }
    return zcpool::sys::wait_status::woken;
}

inline void futex_wake(atomic<std::uint32_t>&, std::uint32_t count, std::uint32_t mask) {
    rl::context& context = rl::ctx();
    context.sched();
    auto* const end = kernel.asleep.data() + kernel.count;
    auto* const left = std::remove_if(kernel.asleep.data(), end, [&](const auto& sleeper) {
        if ((sleeper.mask & mask) == 0 || count == 0) {
            return false;
        }
        --count;
        context.unpark_thread(static_cast<rl::thread_id_t>(sleeper.thread), false, $);
        return true;
    });
    kernel.count = static_cast<std::size_t>(left - kernel.asleep.data());
}

}  // namespace zcpool_model
