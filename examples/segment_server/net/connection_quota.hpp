// SPDX-License-Identifier: MIT
#pragma once

// How many connections there may be, counted over all event loops.

#include <cstddef>

#include <zcpool/base/atomic.hpp>

namespace segment_server {

/// A limit that all event loops share.
class connection_quota {
public:
    explicit connection_quota(std::size_t limit) noexcept : limit_(limit) {}

    /// Counts one more. Returns: how many there are now.
    std::size_t enter() noexcept {
        // relaxed: a limit, not a hand-over.
        return open_.fetch_add(1, zcpool::memory_order_relaxed) + 1;
    }
    void leave() noexcept {
        // relaxed: as above.
        open_.fetch_sub(1, zcpool::memory_order_relaxed);
    }
    [[nodiscard]] std::size_t open() const noexcept {
        // relaxed: as above.
        return open_.load(zcpool::memory_order_relaxed);
    }
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

private:
    std::size_t limit_;
    zcpool::atomic<std::size_t> open_{0};
};

}  // namespace segment_server
