// SPDX-License-Identifier: MIT
#pragma once

// Numbers as people and protocols write them. Locales have no say here, so <cctype> is not used.

#include <cstdint>
#include <optional>
#include <string_view>

namespace examples {

[[nodiscard]] constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Reads decimal digits and nothing else. A number that does not fit becomes the largest there is:
/// what is compared with a limit does not care by how much it is too large.
///
/// Returns: nothing when the text is empty or has any other character.
[[nodiscard]] constexpr std::optional<std::uint64_t> saturating_number(
    std::string_view text) noexcept {
    if (text.empty()) {
        return std::nullopt;
    }
    std::uint64_t value = 0;
    bool saturated = false;
    for (const char c : text) {
        if (!is_digit(c)) {
            return std::nullopt;
        }
        saturated = saturated || __builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
                    __builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value);
    }
    return saturated ? UINT64_MAX : value;
}

}  // namespace examples
