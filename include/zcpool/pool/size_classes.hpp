// SPDX-License-Identifier: MIT
#pragma once

// The sizes of slots that a pool has, as a compile-time list, and the way from a number of bytes to
// the smallest that fits.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>

namespace zcpool {

/// From a number of bytes to the smallest class that holds them, by a table of powers of two.
class class_lookup {
public:
    constexpr class_lookup() noexcept : class_lookup(array_view<const std::size_t>{}) {}

    /// `sizes`: bytes of the slots of each class, increasing, at most max_classes.
    explicit constexpr class_lookup(array_view<const std::size_t> sizes) noexcept {
        bytes_.fill(SIZE_MAX);
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            bytes_[i] = sizes[i];
        }
        for (std::size_t width = 0; width < first_.size(); ++width) {
            // The fewest bytes that are looked up here.
            const std::size_t least = width == 0 ? 0 : (page_size << (width - 1)) + 1;
            while (first_[width] < sizes.size() && sizes[first_[width]] < least) {
                ++first_[width];
            }
        }
    }

    /// The smallest class whose slots hold `wanted` bytes; the number of classes when none does.
    ///
    /// Complexity: two loads; a step for each class between two powers of two.
    [[nodiscard]] constexpr std::size_t operator()(std::size_t wanted) const noexcept {
        const std::size_t pages_beyond_first = (wanted - (wanted != 0 ? 1 : 0)) / page_size;
        std::size_t index = first_[static_cast<std::size_t>(std::bit_width(pages_beyond_first))];
        while (bytes_[index] < wanted) {  // ends at the class behind the last, which holds anything
            ++index;
        }
        return index;
    }

private:
    static constexpr std::size_t widths =
        static_cast<std::size_t>(std::bit_width(SIZE_MAX / page_size)) + 1;

    std::array<std::size_t, max_classes + 1> bytes_{};
    std::array<std::uint8_t, widths> first_{};
};

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
    static constexpr bool is_increasing = [] {
        for (std::size_t i = 1; i < count; ++i) {
            if (bytes[i - 1] >= bytes[i]) {
                return false;
            }
        }
        return true;
    }();
    static_assert(is_increasing, "size_classes: the slot sizes must be strictly increasing");

    /// The smallest class whose slots hold `wanted` bytes; `count` when none does.
    ///
    /// Complexity: a comparison a class for up to four; more are looked up.
    [[nodiscard]] static constexpr std::size_t index_for(std::size_t wanted) noexcept {
        if constexpr (count <= 4) {
            return (std::size_t{0} + ... + std::size_t{Bytes < wanted ? 1U : 0U});
        } else {
            return lookup(wanted);
        }
    }

private:
    static constexpr class_lookup lookup{bytes};
};

}  // namespace zcpool
