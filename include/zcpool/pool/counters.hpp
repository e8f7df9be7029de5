// SPDX-License-Identifier: MIT
#pragma once

// What one size class counts, in control memory, so that other processes can read it.

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/stats.hpp>

namespace zcpool {

/// Adds to a counter.
inline void add(atomic<std::uint64_t>& counter, std::uint64_t by = 1) noexcept {
    // relaxed: a counter.
    counter.fetch_add(by, memory_order_relaxed);
}

/// The counters of a class; see class_stats. They wrap after 2^64.
struct class_counters {
    alignas(cache_line) atomic<std::uint64_t> acquired;
    alignas(cache_line) atomic<std::uint64_t> released;
    atomic<std::uint64_t> returned;  ///< slots that came back otherwise: from caches, by trimming
    alignas(cache_line) atomic<std::uint64_t> high_water;
    atomic<std::uint64_t> exhausted;
    atomic<std::uint64_t> waited;
    atomic<std::uint64_t> spilled;
    atomic<std::uint64_t> lent;
    atomic<std::uint64_t> renewed;
    atomic<std::uint64_t> quarantined;
    atomic<std::uint64_t> copied_bytes;
    alignas(cache_line) atomic<std::uint32_t> waiters;  ///< how many sleep, not how many ever did
    atomic<std::uint64_t> trimmed;
    atomic<std::uint64_t> refilled;

    /// Raises the high water to what is in use, where it is more.
    void note_in_use(std::uint64_t in_use) noexcept {
        // relaxed: a counter.
        auto highest = high_water.load(memory_order_relaxed);
        // relaxed: a counter.
        while (in_use > highest &&
               !high_water.compare_exchange_weak(highest, in_use, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        }
    }

    /// The counters as plain numbers, without what thread caches counted; the size of the class
    /// and `in_use` are the caller's to fill in.
    [[nodiscard]] class_stats read() const noexcept {
        const auto value = [](const atomic<std::uint64_t>& counter) {
            // relaxed: a counter.
            return counter.load(memory_order_relaxed);
        };
        class_stats now;
        // sync(came-back): acquire; every slot that was released is seen as acquired below.
        now.released = released.load(memory_order_acquire);
        now.acquired = value(acquired);
        now.high_water = value(high_water);
        now.exhausted = value(exhausted);
        now.waited = value(waited);
        now.spilled = value(spilled);
        now.lent = value(lent);
        now.renewed = value(renewed);
        now.quarantined = value(quarantined);
        now.copied_bytes = value(copied_bytes);
        now.trimmed = value(trimmed);
        now.refilled = value(refilled);
        return now;
    }
};
static_assert(sizeof(class_counters) == 4 * cache_line, "part of the control layout");

}  // namespace zcpool
