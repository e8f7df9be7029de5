// SPDX-License-Identifier: MIT
#pragma once

// How long frames took, counted in memory that all processes share: what a viewer counted before it
// was killed stays.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/atomic.hpp>

namespace shm_pipeline {

/// Counts of durations, eight bounds to each power of two: a quantile is right to an eighth.
/// Zeroed memory has none. Concurrency: wait-free, any process.
class latency_counts {
public:
    void add(std::uint64_t nanoseconds) noexcept {
        // relaxed: only counted.
        counts_[index_of(nanoseconds)].fetch_add(1, zcpool::memory_order_relaxed);
    }

    /// Nanoseconds that `permille` of all did not exceed; 0 when there are none.
    [[nodiscard]] std::uint64_t quantile(std::uint64_t permille) const noexcept {
        std::uint64_t all = 0;
        for (const auto& each : counts_) {
            // relaxed: as above.
            all += each.load(zcpool::memory_order_relaxed);
        }
        const std::uint64_t wanted = (all * permille + 999) / 1000;
        std::uint64_t seen = 0;
        for (std::size_t index = 0; index < counts_.size() && all != 0; ++index) {
            // relaxed: as above.
            seen += counts_[index].load(zcpool::memory_order_relaxed);
            if (seen >= wanted) {
                return bound_of(index);
            }
        }
        return 0;
    }

private:
    static constexpr unsigned step_bits = 3;
    static constexpr std::size_t steps = std::size_t{1} << step_bits;

    [[nodiscard]] static std::size_t index_of(std::uint64_t value) noexcept {
        if (value < steps) {
            return static_cast<std::size_t>(value);
        }
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 1 - step_bits;
        return (power + 1) * steps + static_cast<std::size_t>(value >> power) % steps;
    }
    /// The largest value that is counted there.
    [[nodiscard]] static std::uint64_t bound_of(std::size_t index) noexcept {
        if (index < steps) {
            return index;
        }
        const std::size_t power = index / steps - 1;
        return ((std::uint64_t{index % steps + steps} + 1) << power) - 1;
    }

    std::array<zcpool::atomic<std::uint64_t>, (64 - step_bits + 1) * steps> counts_;
};

}  // namespace shm_pipeline
