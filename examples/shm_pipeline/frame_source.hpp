// SPDX-License-Identifier: MIT
#pragma once

// Where frames come from: a face with two implementations.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include <shm_pipeline/frame.hpp>
#include <shm_pipeline/test_picture.hpp>

namespace shm_pipeline {

/// What came of the wish for a frame.
enum class fill_result : std::uint8_t { filled, ended, failed };

/// Fills pixels where they will be read.
class frame_source {
public:
    virtual ~frame_source() = default;
    /// Fills all of `pixels`. Blocks until the frame is there.
    [[nodiscard]] virtual fill_result fill(std::span<std::byte> pixels, std::uint64_t number) = 0;
};

/// Draws.
class synthetic_source final : public frame_source {
public:
    explicit synthetic_source(picture_size size) : size_(size) {}
    fill_result fill(std::span<std::byte> pixels, std::uint64_t number) override {
        draw_test_picture(pixels, size_, number);
        return fill_result::filled;
    }

private:
    picture_size size_;
};

/// Has the program ffmpeg decode a file, or what a graph of filters makes (`lavfi:GRAPH`).
/// Returns: in words why not.
[[nodiscard]] std::expected<std::unique_ptr<frame_source>, std::string> make_decoder(
    const std::string& input, picture_size size);

}  // namespace shm_pipeline
