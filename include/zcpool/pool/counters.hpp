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
    alignas(cache_line) atomic<std::uint64_t> high_water;
    atomic<std::uint64_t> exhausted;
    atomic<std::uint64_t> waited;
    atomic<std::uint64_t> spilled;
    atomic<std::uint64_t> lent;
    atomic<std::uint64_t> renewed;
    atomic<std::uint64_t> quarantined;
    atomic<std::uint64_t> copied_bytes;
    alignas(cache_line) atomic<std::uint32_t> waiters;  ///< how many sleep, not how many ever did

    /// Counts one of `slots` that was handed out.
    void count_acquired(std::uint32_t slots) noexcept {
        // relaxed: a counter.
        const auto acquired_now = acquired.fetch_add(1, memory_order_relaxed) + 1;
        // relaxed: a counter.
        const auto in_use = acquired_now - released.load(memory_order_relaxed);
        // relaxed: a counter.
        auto highest = high_water.load(memory_order_relaxed);
        // More than there are slots: releases overtook us between the two looks.
        while (in_use > highest && in_use <= slots) {
            // relaxed: a counter.
            if (high_water.compare_exchange_weak(highest, in_use, memory_order_relaxed,
                                                 memory_order_relaxed)) {
                break;
            }
        }
    }

    /// The counters as plain numbers; the size of the class is the caller's to fill in.
    [[nodiscard]] class_stats read() const noexcept {
        const auto value = [](const atomic<std::uint64_t>& counter) {
            // relaxed: a counter.
            return counter.load(memory_order_relaxed);
        };
        class_stats now;
        // sync(came-back): acquire; every slot that was released is seen as acquired below.
        now.released = released.load(memory_order_acquire);
        now.acquired = value(acquired);
        now.in_use = now.acquired - now.released;
        now.high_water = value(high_water);
        now.exhausted = value(exhausted);
        now.waited = value(waited);
        now.spilled = value(spilled);
        now.lent = value(lent);
        now.renewed = value(renewed);
        now.quarantined = value(quarantined);
        now.copied_bytes = value(copied_bytes);
        return now;
    }
};
static_assert(sizeof(class_counters) == 4 * cache_line, "part of the control layout");

}  // namespace zcpool
