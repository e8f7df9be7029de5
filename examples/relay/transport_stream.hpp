// SPDX-License-Identifier: MIT
#pragma once

// What can be seen of an MPEG transport stream in passing: its packets, and where they lose their
// step.
// Source: ISO/IEC 13818-1: packets of 188 bytes, each begins with 0x47.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace relay {

struct transport_stream_counts {
    std::uint64_t packets = 0;      ///< that were whole, one behind the other
    std::uint64_t other_bytes = 0;  ///< outside of packets
    std::uint64_t sync_losses = 0;  ///< times that a packet was not followed by another
};

/// Walks the bytes of one direction, in pieces of any size.
class transport_stream {
public:
    explicit transport_stream(transport_stream_counts& counts) noexcept : counts_(&counts) {}

    void look_at(std::span<const std::byte> bytes) noexcept {
        while (!bytes.empty()) {
            if (left_ != 0) {
                const std::size_t part = std::min(left_, bytes.size());
                left_ -= part;
                counts_->packets += left_ == 0 ? 1 : 0;
                bytes = bytes.subspan(part);
            } else if (bytes[0] == sync_byte) {
                left_ = packet_bytes - 1;
                in_step_ = true;
                bytes = bytes.subspan(1);
            } else {
                counts_->sync_losses += in_step_ ? 1 : 0;
                in_step_ = false;
                const auto next = std::find(bytes.begin(), bytes.end(), sync_byte);
                const auto skipped = static_cast<std::size_t>(next - bytes.begin());
                counts_->other_bytes += skipped;
                bytes = bytes.subspan(skipped);
            }
        }
    }

private:
    static constexpr std::size_t packet_bytes = 188;
    static constexpr std::byte sync_byte{0x47};

    transport_stream_counts* counts_;
    std::size_t left_ = 0;  ///< bytes of the packet that has begun
    bool in_step_ = false;
};

}  // namespace relay
