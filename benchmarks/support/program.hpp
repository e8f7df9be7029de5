// SPDX-License-Identifier: MIT
#pragma once

// What each benchmark program has to do with support/main.cpp: it registers its benchmarks, and it
// learns whether this run is ctest's, which only proves that they still work, or a measurement.

namespace bench {

/// Defined by each program; called once, before the benchmarks run.
void register_benchmarks();

/// Says on standard error that a peer is not among the subjects, and why: "left out: peer: why".
/// run.py looks for such lines.
void left_out(const char* peer, const char* why) noexcept;

/// True under `--quick`: the smallest amount of work that passes through every line.
[[nodiscard]] bool is_quick() noexcept;

/// `amount` in a measurement, `least` under `--quick`.
template <class Number>
[[nodiscard]] Number amount(Number amount, Number least) noexcept {
    return is_quick() ? least : amount;
}

}  // namespace bench
