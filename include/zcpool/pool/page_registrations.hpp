// SPDX-License-Identifier: MIT
#pragma once

// Whether a pool's pages are replaced, or registered with an io_uring: never both. A registration
// goes on sending from the pages that it found, and what it sends after a replacement is stale.
// Source: io_uring_register(2), IORING_REGISTER_BUFFERS; measured on Linux 6.18.

#include <cstdint>

#include <zcpool/base/atomic.hpp>

namespace zcpool {

/// Counts the registrations of a pool's pages, or remembers that pages may have been replaced.
///
///     no registration -- begin() / end() --> some
///     no registration -- allow_replacing() -> replaceable, for good
///
/// Concurrency: lock-free; any thread.
class page_registrations {
public:
    /// Counts a registration, to be ended by end().
    /// Returns: false where pages may be replaced.
    [[nodiscard]] bool begin() noexcept {
        // relaxed: the exchange decides.
        std::uint32_t now = state_.load(memory_order_relaxed);
        while (now != replaceable) {
            // relaxed on failure: nothing was learnt but the new value.
            // sync(registered): acq_rel; one of the two sides finds that the other was first.
            if (state_.compare_exchange_weak(now, now + 1, memory_order_acq_rel,
                                             memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    /// Expects: begin() returned true.
    void end() noexcept {
        // sync(registered): release; who replaces pages comes after the registration's end.
        state_.fetch_sub(1, memory_order_release);
    }

    /// Allows to replace pages, from now on.
    /// Returns: false while there are registrations: then leave the pages alone.
    [[nodiscard]] bool allow_replacing() noexcept {
        std::uint32_t none = 0;
        // sync(registered): acq_rel; as in begin(). acquire on failure: as in end().
        return state_.compare_exchange_strong(none, replaceable, memory_order_acq_rel,
                                              memory_order_acquire) ||
               none == replaceable;
    }

private:
    static constexpr std::uint32_t replaceable = UINT32_MAX;

    atomic<std::uint32_t> state_;
};

}  // namespace zcpool
