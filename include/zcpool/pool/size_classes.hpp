// SPDX-License-Identifier: MIT
#pragma once

// The sizes of slots that a pool has, as a compile-time list, and the way from a number of bytes to
// the smallest that fits.

#include <algorithm>
#include <array>
#include <cstddef>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>

namespace zcpool {

/// A list of slot sizes in bytes: 1 to 16 of them, strictly increasing, multiples of the page size,
/// at most 1 GiB.
template <std::size_t... Bytes>
struct size_classes {
    /// How many classes there are.
    static constexpr std::size_t count = sizeof...(Bytes);

    static_assert(count >= 1,
                  "size_classes: the list is empty; name at least one slot size in bytes");
    static_assert(count <= max_classes,
                  "size_classes: more than 16 classes; a descriptor has 4 bits for them");
    static_assert((is_aligned(Bytes, page_size) && ...),
                  "size_classes: every slot size must be a multiple of the page size, 4096 bytes");
    static_assert(((Bytes > 0 && Bytes <= max_slot_bytes) && ...),
                  "size_classes: every slot size must be between 4 KiB and 1 GiB");

    /// The slot sizes in bytes, smallest first.
    static constexpr std::array<std::size_t, count> bytes{Bytes...};

    /// Whether each size is larger than the one before.
    static constexpr bool is_increasing =
        std::adjacent_find(bytes.begin(), bytes.end(),
                           [](std::size_t a, std::size_t b) { return a >= b; }) == bytes.end();
    static_assert(is_increasing, "size_classes: the slot sizes must be strictly increasing");

    /// The smallest class whose slots hold `wanted` bytes; `count` when none does.
    ///
    /// Complexity: one comparison a class, without branches.
    [[nodiscard]] static constexpr std::size_t index_for(std::size_t wanted) noexcept {
        return (std::size_t{0} + ... + std::size_t{Bytes < wanted ? 1U : 0U});
    }
};

}  // namespace zcpool
