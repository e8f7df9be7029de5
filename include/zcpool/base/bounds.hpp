// SPDX-License-Identifier: MIT
#pragma once

// The smaller and the larger of two values, and a value between two others: all that most headers
// would need <algorithm> for, which costs whoever includes them a quarter of what <expected>,
// <span> and <atomic> do together.

namespace zcpool {

/// Returns: the smaller of two values; the first where neither is.
template <class T>
[[nodiscard]] constexpr T smaller_of(T first, T second) noexcept {
    return second < first ? second : first;
}

/// Returns: the larger of two values; the first where neither is.
template <class T>
[[nodiscard]] constexpr T larger_of(T first, T second) noexcept {
    return first < second ? second : first;
}

/// Returns: the value, or the bound that it is beyond.
/// Expects: `least` is not larger than `most`.
template <class T>
[[nodiscard]] constexpr T clamped(T value, T least, T most) noexcept {
    return smaller_of(larger_of(value, least), most);
}

}  // namespace zcpool
