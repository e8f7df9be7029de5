// SPDX-License-Identifier: MIT
#pragma once

// The pool of a pipeline: small slots for heads, and slots of the size of its frames.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <zcpool/base/align.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/size_classes.hpp>

#include <shm_pipeline/frame.hpp>

namespace shm_pipeline {

/// Owns a pool whose classes were chosen as the program began.
class frame_pool {
public:
    /// Expects: `frame_bytes`, the pixels, from smallest_frame to largest_frame.
    /// Returns: in words why not.
    [[nodiscard]] static std::expected<frame_pool, std::string> create(std::size_t frame_bytes,
                                                                       std::uint32_t slots) {
        using namespace zcpool::literals;
        const auto step = std::countr_zero(std::bit_ceil(frame_bytes) / smallest_frame);
        switch (step) {
            case 0: return make<64_KiB>(slots);
            case 1: return make<128_KiB>(slots);
            case 2: return make<256_KiB>(slots);
            case 3: return make<512_KiB>(slots);
            case 4: return make<1_MiB>(slots);
            case 5: return make<2_MiB>(slots);
            case 6: return make<4_MiB>(slots);
            default: return make<8_MiB>(slots);
        }
    }

    [[nodiscard]] zcpool::pool_view view() const noexcept { return view_; }

private:
    frame_pool(std::shared_ptr<void> owner, zcpool::pool_view view) noexcept
        : owner_(std::move(owner)), view_(view) {}

    template <std::size_t Bytes>
    [[nodiscard]] static std::expected<frame_pool, std::string> make(std::uint32_t slots) {
        // A page more, for the frame's head.
        using pool_type =
            zcpool::pool<zcpool::size_classes<zcpool::page_size, Bytes + zcpool::page_size>>;
        zcpool::creation_report granted;
        auto made = pool_type::create({.slots = {slots, slots}}, &granted);
        if (!made) {
            return std::unexpected{
                fmt::format("a pool of {} frames of {} bytes: {}. {}; lower --size, --capacity or "
                            "--slots",
                            slots, Bytes, made.error().message(), granted.text)};
        }
        if (granted.text[0] != '\0') {
            fmt::print(stderr, "shm_pipeline: {}\n", granted.text);
        }
        auto kept = std::make_shared<pool_type>(std::move(*made));
        const zcpool::pool_view view = *kept;
        return frame_pool{std::move(kept), view};
    }

    std::shared_ptr<void> owner_;
    zcpool::pool_view view_;
};

}  // namespace shm_pipeline
