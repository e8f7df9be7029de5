// SPDX-License-Identifier: MIT
#pragma once

// What a slot's word says.
//
//     63       37 36    32 31                     0
//     [ gen : 27 ][ state:5 ][ holders : 32        ]
//
// `holders` has one bit for each attached process (0..30) and bit 31 for the kernel: the slot was
// handed to the kernel by a call without a receipt, so its pages must be replaced before anybody
// writes to it again. `gen` grows each time the slot comes back, so that a stale handle is known.
// Counts of handles inside a process are that process's own.

#include <cstdint>

namespace zcpool {

/// What a slot is doing.
enum class slot_state : std::uint8_t {
    free = 0,        ///< nobody's; zeroed memory is a pool of free slots
    owned = 1,       ///< one process writes to it
    published = 2,   ///< immutable; every holder reads it
    cleaning = 3,    ///< its last holder replaces its pages
    quarantine = 4,  ///< replacing them failed; not used before it succeeds
    trimmed = 5,     ///< free, but without pages
};

/// A set of holders: bits 0..30 are processes, bit 31 is the kernel.
using holder_set = std::uint32_t;

/// The kernel's bit.
inline constexpr holder_set kernel_holder = holder_set{1} << 31;

/// The parts of a slot word.
struct slot_status {
    std::uint32_t generation = 0;
    slot_state state = slot_state::free;
    holder_set holders = 0;

    friend bool operator==(const slot_status&, const slot_status&) = default;
};

/// Generations that there are before they start over.
inline constexpr std::uint32_t generation_limit = std::uint32_t{1} << 27;

[[nodiscard]] constexpr std::uint64_t encode(slot_status status) noexcept {
    return std::uint64_t{status.generation % generation_limit} << 37 |
           std::uint64_t{static_cast<std::uint8_t>(status.state)} << 32 | status.holders;
}

[[nodiscard]] constexpr slot_status decode(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 37), static_cast<slot_state>(word >> 32 & 0x1F),
            static_cast<holder_set>(word)};
}

/// The generation behind this one.
[[nodiscard]] constexpr std::uint32_t next_generation(std::uint32_t generation) noexcept {
    return (generation + 1) % generation_limit;
}

}  // namespace zcpool
