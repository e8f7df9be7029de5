// SPDX-License-Identifier: MIT
#pragma once

// Where a thread begins to look in a store that all share, so that threads do not meet there.

#include <cstdint>

#include <zcpool/base/atomic.hpp>

namespace zcpool {

namespace detail {

inline constinit atomic<std::uint32_t> threads_started;
// + 1; 0: it has none yet. No destructor and no constructor, so that reading it is one load.
inline constinit thread_local std::uint32_t own_start = 0;

}  // namespace detail

/// This thread's number, counted from 0 in the order in which threads first asked.
///
/// Complexity: a load; an atomic operation at a thread's first call.
/// Concurrency: wait-free; any thread.
[[nodiscard]] inline std::uint32_t thread_start() noexcept {
    if (detail::own_start == 0) [[unlikely]] {
        // relaxed: only its being another number counts. After 2^32 threads one asks each time.
        detail::own_start = detail::threads_started.fetch_add(1, memory_order_relaxed) + 1;
    }
    return detail::own_start - 1;
}

}  // namespace zcpool
