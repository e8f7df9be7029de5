// SPDX-License-Identifier: MIT
#pragma once

// What the relay counts, and the line in which it says so.

#include <cstdint>
#include <string>

#include <fmt/format.h>

#include <relay/transport_stream.hpp>

namespace relay {

/// Counters of one run.
struct statistics {
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;  ///< more than --max-connections, or no descriptor was left
    std::uint64_t connect_failures = 0;
    std::uint64_t finished = 0;  ///< both directions came to their end
    std::uint64_t aborted = 0;   ///< one of the peers failed
    std::uint64_t idle_timeouts = 0;
    std::uint64_t bytes_up = 0;      ///< delivered from clients to --to
    std::uint64_t bytes_down = 0;    ///< and the other way
    std::uint64_t bytes_lost = 0;    ///< came, and could not be delivered to a peer that had failed
    std::uint64_t waits = 0;         ///< times that there was no slot, or no pipe
    std::uint64_t most_held = 0;     ///< bytes in a pipe or a queue of one direction, the most seen
    transport_stream_counts stream;  ///< with --inspect, both directions

    [[nodiscard]] std::string line(std::size_t open, std::uint64_t slots_in_use) const {
        return fmt::format(
            "statistics open={} accepted={} refused={} connect_failures={} finished={} aborted={} "
            "idle_timeouts={} bytes_up={} bytes_down={} bytes_lost={} waits={} most_held={} "
            "slots_in_use={} ts_packets={} ts_other_bytes={} ts_sync_losses={}",
            open, accepted, refused, connect_failures, finished, aborted, idle_timeouts, bytes_up,
            bytes_down, bytes_lost, waits, most_held, slots_in_use, stream.packets,
            stream.other_bytes, stream.sync_losses);
    }
};

}  // namespace relay
