// SPDX-License-Identifier: MIT
#pragma once

// Numbers that must not be mixed up: which class, which slot of the class. Both come from shared
// memory or from a peer at times, so they are checked against the class table before they are used.

#include <cstddef>
#include <cstdint>

namespace zcpool {

/// Position of a size class in the pool's list, smallest first.
enum class class_index : std::uint8_t {};

/// Position of a slot in its class.
enum class slot_index : std::uint32_t {};

/// Classes a pool may have; a descriptor has four bits for it.
inline constexpr std::size_t max_classes = 16;

/// Slots a class may have; a descriptor has twenty bits for it.
inline constexpr std::uint32_t max_slots = std::uint32_t{1} << 20;

/// Bytes the largest class may have: offsets and lengths in a descriptor are 32-bit.
inline constexpr std::size_t max_slot_bytes = std::size_t{1} << 30;

/// The plain number of an index.
[[nodiscard]] constexpr std::uint32_t to_number(class_index index) noexcept {
    return static_cast<std::uint32_t>(index);
}
/// The plain number of an index.
[[nodiscard]] constexpr std::uint32_t to_number(slot_index index) noexcept {
    return static_cast<std::uint32_t>(index);
}

}  // namespace zcpool
