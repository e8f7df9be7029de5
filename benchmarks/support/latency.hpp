// SPDX-License-Identifier: MIT
#pragma once

// How long single operations take: a clock that costs little, and what is said of many times.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/cpu.hpp"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace bench {

/// Ticks of the processor's clock where it has one that a program may read, else nanoseconds.
[[nodiscard]] inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return static_cast<std::uint64_t>(wall_ns());
#endif
}

/// Nanoseconds a tick. The first call takes ten milliseconds.
[[nodiscard]] inline double nanoseconds_a_tick() noexcept {
    static const double found = [] {
        const double begin = wall_ns();
        const std::uint64_t first = ticks();
        double end = begin;
        while (end - begin < 10e6) {
            end = wall_ns();
        }
        return (end - begin) / static_cast<double>(ticks() - first);
    }();
    return found;
}

/// Times in ticks, in any order, as nanoseconds; of several threads together.
class latencies {
public:
    explicit latencies(std::vector<std::vector<std::uint32_t>> of_threads) {
        for (const auto& of_one : of_threads) {
            sorted_.insert(sorted_.end(), of_one.begin(), of_one.end());
        }
        std::sort(sorted_.begin(), sorted_.end());
    }
    /// Returns: the time that `share` of all took at most. Expects: there are some.
    [[nodiscard]] double at(double share) const noexcept {
        const auto place = static_cast<std::size_t>(share * static_cast<double>(sorted_.size()));
        return sorted_[std::min(place, sorted_.size() - 1)] * nanoseconds_a_tick();
    }

private:
    std::vector<std::uint32_t> sorted_;
};

}  // namespace bench
