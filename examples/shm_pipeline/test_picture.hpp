// SPDX-License-Identifier: MIT
#pragma once

// A test picture that moves: slanted bands, and on top a strip with the frame's number in bits.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <shm_pipeline/frame.hpp>

namespace shm_pipeline {

/// Draws over all of `pixels`. Expects: as many bytes as the size says.
inline void draw_test_picture(std::span<std::byte> pixels, picture_size size,
                              std::uint64_t number) noexcept {
    constexpr std::uint32_t bits = 64;
    const std::uint32_t strip = std::min(size.height, 16U);
    const auto shift = static_cast<std::uint32_t>(number * 4);
    std::byte* at = pixels.data();
    for (std::uint32_t y = 0; y < size.height; ++y) {
        for (std::uint32_t x = 0; x < size.width; ++x, at += pixel_bytes) {
            const std::uint32_t band = x + y + shift;
            std::uint32_t pixel = (band & 0xFF) | (y & 0xFF) << 8 | ((x ^ shift) & 0xFF) << 16;
            if (y < strip) {
                const auto bit = static_cast<unsigned>(std::uint64_t{x} * bits / size.width);
                pixel = (number >> (bits - 1 - bit) & 1) != 0 ? 0xFF'FFFF : 0;
            }
            std::memcpy(at, &pixel, sizeof pixel);
        }
    }
}

}  // namespace shm_pipeline
