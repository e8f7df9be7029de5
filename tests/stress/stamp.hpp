// SPDX-License-Identifier: MIT
#pragma once

// Contents that say whose they are: whoever finds another's stamp shared a slot with its owner.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace zcpool_test {

/// Bytes that a stamp covers: the first cache lines of a slot and, apart, its last word.
inline constexpr std::size_t stamp_words = 24;

/// A stamp that no other thread and no other moment has.
[[nodiscard]] constexpr std::uint64_t make_stamp(unsigned thread, std::uint64_t count) noexcept {
    return std::uint64_t{thread + 1} << 48 | (count & 0xFFFF'FFFF'FFFF);
}

namespace detail {
// Volatile: each word is really written and really read again.
inline volatile std::uint64_t* words_of(const std::byte* bytes) noexcept {
    return reinterpret_cast<volatile std::uint64_t*>(const_cast<std::byte*>(bytes));
}
}  // namespace detail

/// Writes a stamp over a slot of at least 4 KiB.
inline void put_stamp(std::span<std::byte> slot, std::uint64_t stamp) noexcept {
    auto* const words = detail::words_of(slot.data());
    for (std::size_t i = 0; i < stamp_words; ++i) {
        words[i] = stamp + (std::uint64_t{i} << 32);
    }
    words[slot.size() / 8 - 1] = ~stamp;
}

/// Returns: whether a slot has this stamp.
[[nodiscard]] inline bool has_stamp(std::span<const std::byte> slot, std::uint64_t stamp) noexcept {
    const auto* const words = detail::words_of(slot.data());
    bool same = words[slot.size() / 8 - 1] == ~stamp;
    for (std::size_t i = 0; i < stamp_words; ++i) {
        same = same && words[i] == stamp + (std::uint64_t{i} << 32);
    }
    return same;
}

/// The stamp that a slot has, whosever it is.
[[nodiscard]] inline std::uint64_t stamp_of(std::span<const std::byte> slot) noexcept {
    return detail::words_of(slot.data())[0];
}

}  // namespace zcpool_test
