// SPDX-License-Identifier: MIT
#pragma once

// Sizes: the literals _KiB, _MiB and _GiB, and rounding that cannot overflow silently.

#include <cstddef>
#include <cstdint>

namespace zcpool {

namespace detail {

/// Stops the compilation of a literal that does not fit: it is not constexpr.
inline void literal_does_not_fit() noexcept {}

consteval std::size_t shifted(unsigned long long n, unsigned bits) {
    if (n > SIZE_MAX >> bits) {
        literal_does_not_fit();
    }
    return static_cast<std::size_t>(n << bits);
}

}  // namespace detail

inline namespace literals {

/// Kibibytes as bytes.
consteval std::size_t operator""_KiB(unsigned long long n) { return detail::shifted(n, 10); }
/// Mebibytes as bytes.
consteval std::size_t operator""_MiB(unsigned long long n) { return detail::shifted(n, 20); }
/// Gibibytes as bytes.
consteval std::size_t operator""_GiB(unsigned long long n) { return detail::shifted(n, 30); }

}  // namespace literals

/// Rounds up to a multiple of a power of two.
///
/// Expects: `alignment` is a power of two, and `value <= SIZE_MAX - alignment + 1`.
[[nodiscard]] constexpr std::size_t align_up(std::size_t value, std::size_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

/// Whether `value` is a multiple of a power of two.
[[nodiscard]] constexpr bool is_aligned(std::size_t value, std::size_t alignment) noexcept {
    return (value & (alignment - 1)) == 0;
}

/// Multiplies into `product`.
///
/// Returns: false, and leaves `product` unspecified, when the result does not fit.
[[nodiscard]] constexpr bool checked_multiply(std::size_t a, std::size_t b,
                                              std::size_t& product) noexcept {
    return !__builtin_mul_overflow(a, b, &product);
}

/// Adds into `sum`.
///
/// Returns: false, and leaves `sum` unspecified, when the result does not fit.
[[nodiscard]] constexpr bool checked_add(std::size_t a, std::size_t b, std::size_t& sum) noexcept {
    return !__builtin_add_overflow(a, b, &sum);
}

}  // namespace zcpool
