// SPDX-License-Identifier: MIT
#pragma once

// A slice as plain numbers, for another process that has the pool too.

#include <cstddef>
#include <cstdint>

#include <zcpool/pool/options.hpp>
#include <zcpool/ring/spsc_ring.hpp>

namespace zcpool {

/// Where a slice lies. What comes from another process may be anything: slice_transfer::receive()
/// checks it.
///
///     first:  [ generation : 27 ][ class : 4 ][ slot : 20 ]
///     second: [ handed over : 1 ][ offset : 31 ][ length : 32 ]
struct descriptor {
    std::uint32_t slot = 0;
    std::uint32_t size_class = 0;
    std::uint32_t generation = 0;
    std::uint32_t offset = 0;  ///< bytes from the beginning of the slot
    std::uint32_t length = 0;  ///< bytes
    bool handed_over = false;  ///< the sender's share of the slot goes with it

    friend bool operator==(const descriptor&, const descriptor&) = default;

    [[nodiscard]] constexpr ring_message to_message() const noexcept {
        return {std::uint64_t{generation} << 24 | std::uint64_t{size_class} << 20 | slot,
                std::uint64_t{handed_over ? 1U : 0U} << 63 | std::uint64_t{offset} << 32 | length};
    }
    /// Of a message, whatever it says: nothing is checked here.
    [[nodiscard]] static constexpr descriptor of(ring_message message) noexcept {
        return {static_cast<std::uint32_t>(message.first) & 0xF'FFFF,
                static_cast<std::uint32_t>(message.first >> 20) & 0xF,
                static_cast<std::uint32_t>(message.first >> 24) & 0x7FF'FFFF,
                static_cast<std::uint32_t>(message.second >> 32) & 0x7FFF'FFFF,
                static_cast<std::uint32_t>(message.second),
                message.second >> 63 != 0};
    }
};
static_assert(max_classes <= 16 && max_slots <= 1 << 20 && max_slot_bytes <= INT32_MAX,
              "a descriptor's fields hold any of them");

}  // namespace zcpool
