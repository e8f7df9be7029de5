// SPDX-License-Identifier: MIT
#pragma once

// What a pool counts, as plain numbers.

#include <array>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/index.hpp>

namespace zcpool {

/// The counters of one size class. Counters only grow; `in_use` and `high_water` are slots.
struct class_stats {
    std::size_t slot_bytes = 0;
    std::uint32_t slots = 0;
    std::uint64_t in_use = 0;    ///< slots held by a buffer or slice
    std::uint64_t reserved = 0;  ///< free slots that only urgent callers get
    std::uint64_t cached = 0;    ///< free slots that lie in thread caches and between them
    std::uint64_t high_water =
        0;  ///< the most slots in use at a time, as seen whenever a cache was filled or passed by
    std::uint64_t acquired = 0;   ///< slots handed out, ever
    std::uint64_t released = 0;   ///< slots that came back, ever
    std::uint64_t exhausted = 0;  ///< acquires that found no slot
    std::uint64_t waited = 0;     ///< acquires that slept
    std::uint64_t spilled =
        0;  ///< acquires that took a slot of this class because a smaller one was full
    std::uint64_t lent = 0;         ///< slots that were handed to a call without a receipt
    std::uint64_t renewed = 0;      ///< slots whose pages were replaced
    std::uint64_t quarantined = 0;  ///< times that replacing the pages failed
    std::uint64_t trimmed = 0;      ///< slots whose pages were given back to the system, ever
    std::uint64_t refilled = 0;     ///< of those, slots that were given pages again
    std::uint64_t copied_bytes =
        0;  ///< bytes that a sink without a receipt copied, because it might not lend
};

/// The counters of a pool. Each is exact when nothing happens meanwhile; taken together they are no
/// snapshot.
struct pool_stats {
    std::size_t class_count = 0;
    std::array<class_stats, max_classes> classes{};
    std::size_t lent_detached_bytes =
        0;  ///< replaced pages that the kernel may still hold; an upper bound
    std::size_t lent_budget_bytes = 0;  ///< what that may come to

    /// The counters of a class, smallest first.
    /// Expects: `index < size()`.
    [[nodiscard]] const class_stats& operator[](std::size_t index) const noexcept {
        return classes[index];
    }
    [[nodiscard]] std::size_t size() const noexcept { return class_count; }
    [[nodiscard]] const class_stats* begin() const noexcept { return classes.data(); }
    [[nodiscard]] const class_stats* end() const noexcept { return classes.data() + class_count; }
};

}  // namespace zcpool
