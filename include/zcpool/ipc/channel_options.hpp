// SPDX-License-Identifier: MIT
#pragma once

// How a channel is made, and what its ends count.

#include <cstdint>

namespace zcpool::ipc {

/// How one end of a channel wakes the other, or a feed its reader.
enum class wake_by : std::uint8_t {
    futex,  ///< for threads that sleep in the channel's own calls
    event,  ///< a descriptor each way, for those who wait in an event loop
};

/// Messages that a channel can hold.
inline constexpr std::uint32_t max_channel_capacity = 1 << 15;

/// What send() does when the channel is full: when its reader is slower than its writer.
enum class back_pressure : std::uint8_t {
    wait,         ///< until there is room
    drop_newest,  ///< what was to be sent is not
    drop_oldest,  ///< what was sent longest ago, and was not received, makes room
};

/// What became of a slice.
enum class send_outcome : std::uint8_t {
    sent,
    sent_for_oldest,  ///< in the place of the oldest one, which is lost
    dropped,          ///< the channel is full and stays as it was
};

/// How a channel is made.
struct channel_options {
    std::uint32_t capacity = 64;  ///< messages, at most 32,768; rounded up to a power of two
    back_pressure when_full = back_pressure::wait;
    wake_by wakes_by = wake_by::futex;
};

/// Counts of a sender since it was made.
struct sender_stats {
    std::uint64_t sent = 0;
    std::uint64_t dropped = 0;  ///< newest or oldest, as the policy says
    std::uint64_t waits = 0;    ///< how often it slept for room
};

/// Counts of a receiver since it was made.
struct receiver_stats {
    std::uint64_t received = 0;
    std::uint64_t lost = 0;   ///< messages about slots that were taken from their dead sender
    std::uint64_t waits = 0;  ///< how often it slept for news
};

}  // namespace zcpool::ipc
