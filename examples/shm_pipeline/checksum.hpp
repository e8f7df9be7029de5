// SPDX-License-Identifier: MIT
#pragma once

// A checksum that keeps up with memory: it finds torn and foreign bytes, not forgers.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace shm_pipeline {

/// Four sums side by side, each of every fourth word, so that no multiplication waits for the one
/// before; what is left over at the end counts as if zeroes followed.
[[nodiscard]] inline std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
    constexpr std::uint64_t odd = 0x9E37'79B9'7F4A'7C15;
    std::array<std::uint64_t, 4> sums{1, 2, 3, 4};
    const auto add = [&](const std::byte* from) {
        std::array<std::uint64_t, 4> words;
        std::memcpy(words.data(), from, sizeof words);
        for (std::size_t i = 0; i < sums.size(); ++i) {
            sums[i] = std::rotl(sums[i] ^ words[i], 29) * odd;
        }
    };
    constexpr std::size_t step = sizeof sums;
    std::size_t at = 0;
    for (; at + step <= bytes.size(); at += step) {
        add(bytes.data() + at);
    }
    std::array<std::byte, step> rest{};
    std::memcpy(rest.data(), bytes.data() + at, bytes.size() - at);
    add(rest.data());
    std::uint64_t all = bytes.size();
    for (const std::uint64_t each : sums) {
        all = std::rotl(all ^ each, 31) * odd;
    }
    return all;
}

}  // namespace shm_pipeline
