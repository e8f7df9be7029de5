// SPDX-License-Identifier: MIT
#pragma once

// What a loop that waits for another processor does between two looks.

namespace zcpool {

/// Tells the processor that this is such a loop: it saves power, and leaves more of a shared core
/// to its other thread.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield");
#endif
}

}  // namespace zcpool
