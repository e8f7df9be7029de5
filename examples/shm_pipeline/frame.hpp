// SPDX-License-Identifier: MIT
#pragma once

// What the stages pass to each other. A frame is one slot; a packet is two, its head and the frame,
// sent one after the other. Each says what it is, so that who gets one of them without the other,
// because the channel dropped it, can tell.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>

namespace shm_pipeline {

/// Bytes of a pixel: red, green, blue, and one that is not used.
inline constexpr std::size_t pixel_bytes = 4;

/// The limits of a frame's pixels.
inline constexpr std::size_t smallest_frame = std::size_t{64} << 10;
inline constexpr std::size_t largest_frame = std::size_t{8} << 20;

struct picture_size {
    std::uint32_t width = 0;
    std::uint32_t height = 0;

    [[nodiscard]] std::size_t bytes() const noexcept {
        return std::size_t{width} * height * pixel_bytes;
    }
    friend bool operator==(const picture_size&, const picture_size&) = default;
};

/// The beginning of a frame's slot; the pixels follow.
struct frame_head {
    static constexpr std::uint64_t expected_word = 0x454D'4152'4650'5A01;  // "\1ZPFRAME"

    std::uint64_t word = expected_word;
    std::uint64_t number = 0;       ///< from 1, and never twice, whichever process captured it
    std::uint64_t captured_at = 0;  ///< when it was whole, and could be sent
    std::uint64_t checksum = 0;     ///< of the pixels
    picture_size size;
    std::array<std::uint64_t, 3> unused{};  // a cache line in all
};
static_assert(sizeof(frame_head) == 64);

/// The slot of a packet's head.
struct packet_head {
    static constexpr std::uint64_t expected_word = 0x544B'4341'5050'5A01;  // "\1ZPPACKT"

    std::uint64_t word = expected_word;
    std::uint64_t number = 0;       ///< of the frame
    std::uint64_t frame_bytes = 0;  ///< of its slice
    std::uint64_t packaged_at = 0;
};

/// Nanoseconds of a clock that all processes of the machine read alike.
[[nodiscard]] inline std::uint64_t now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
}

/// The head that bytes begin with, if it is one. Copied out: it comes from another process.
template <class Head>
[[nodiscard]] std::optional<Head> head_of(std::span<const std::byte> bytes) noexcept {
    Head head;
    if (bytes.size() < sizeof head) {
        return std::nullopt;
    }
    std::memcpy(&head, bytes.data(), sizeof head);
    return head.word == Head::expected_word ? std::optional{head} : std::nullopt;
}

}  // namespace shm_pipeline
