// SPDX-License-Identifier: MIT
#pragma once

// What each event loop counts. A counter has one writer, so counting is a plain load and store that
// another thread may read at any time; nothing here synchronises anything.

#include <array>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>

#include <segment_server/http/status.hpp>

namespace segment_server {

/// A number that one thread changes and all may read.
class counter {
public:
    void add(std::uint64_t n) noexcept {
        // relaxed: one writer, and a reader needs no other memory to go with the number.
        value_.store(value_.load(zcpool::memory_order_relaxed) + n, zcpool::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const noexcept {
        // relaxed: as above.
        return value_.load(zcpool::memory_order_relaxed);
    }

private:
    zcpool::atomic<std::uint64_t> value_{0};
};

/// What one event loop has done so far.
struct alignas(zcpool::cache_line) worker_counters {
    std::array<counter, status_count> responses;  ///< by status
    counter connections_accepted;
    counter connections_closed;
    counter connections_refused;  ///< above the limit, answered with 503
    counter accept_failures;      ///< no descriptor, no memory
    counter header_timeouts;
    counter idle_timeouts;
    counter send_timeouts;
    counter aborted;  ///< connections that broke with a response unsent
    counter cache_hits;
    counter cache_misses;
    counter receive_calls;         ///< and requests, for what clients send
    counter receive_slots_lacked;  ///< times that there was none for it
    counter queued_bytes;
    counter sent_bytes;
    counter sink_copied_bytes;
    counter sink_lent_bytes;
};

}  // namespace segment_server
