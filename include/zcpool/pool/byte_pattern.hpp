// SPDX-License-Identifier: MIT
#pragma once

// Bytes that hold a known value until somebody writes where nobody should: zeroes in a free slot,
// the canary behind one.

#include <cstddef>
#include <cstring>
#include <span>

namespace zcpool {

/// What lies behind a slot of a checked pool. A stray byte of this very value is not noticed.
inline constexpr std::byte canary_byte{0xCB};

/// The place of the first byte that is not `value`; bytes.size() when all are.
///
/// Complexity: all equal: what memcmp takes.
[[nodiscard]] inline std::size_t first_other(std::span<const std::byte> bytes,
                                             std::byte value) noexcept {
    if (bytes.empty() || (bytes.front() == value &&
                          std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0)) {
        return bytes.size();
    }
    std::size_t at = 0;
    // Whoever writes there may still do so: it may be all `value` by now.
    while (at < bytes.size() && bytes[at] == value) {
        ++at;
    }
    return at;
}

/// Sets all bytes to `value`.
inline void fill_with(std::span<std::byte> bytes, std::byte value) noexcept {
    std::memset(bytes.data(), static_cast<int>(value), bytes.size());
}

}  // namespace zcpool
