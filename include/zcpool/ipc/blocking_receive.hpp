// SPDX-License-Identifier: MIT
#pragma once

// Waiting for a slice: looking for a while, then asleep. What the receiving ends have in common.

#include <chrono>
#include <concepts>
#include <system_error>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/base/spin_pause.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::ipc {

/// An end that can be waited for.
template <class End>
concept slice_source = requires(End end, sys::clock::time_point deadline) {
    { end.try_receive() } noexcept -> std::same_as<slice>;
    /// Why nothing will come any more; empty: something may.
    { end.ended() } noexcept -> std::same_as<std::error_code>;
    /// A cheap look whether try_receive() is worth it.
    { end.has_news() } noexcept -> std::same_as<bool>;
    /// Sleeps; false when the other end is gone.
    { end.wait(deadline) } noexcept -> std::same_as<bool>;
};

/// Receives a slice, and waits for one: spins for `spin`, then sleeps.
///
/// Errors: `timed_out`; `peer_gone`; what ended() says.
/// Concurrency: blocks.
template <slice_source End>
[[nodiscard]] result<slice> receive_until(End& end, sys::clock::time_point deadline,
                                          std::chrono::microseconds spin) noexcept {
    // About a microsecond, so that the clock is not read with each look.
    const auto has_news_soon = [&end] {
        for (int round = 0; round < 64; ++round) {
            if (end.has_news()) {
                return true;
            }
            spin_pause();
        }
        return false;
    };
    auto spin_until = sys::clock::time_point::min();
    for (unsigned round = 1;; ++round) {
        if (slice got = end.try_receive(); !got.empty()) {
            return got;
        }
        if (const auto why = end.ended()) {
            return fail(why);
        }
        // News that is not to be had yet must not keep us from the clock.
        if (has_news_soon() && round % 64 != 0) {
            continue;
        }
        const auto now = sys::clock::now();
        if (now >= deadline) {
            return fail(errc::timed_out);
        }
        if (spin_until == sys::clock::time_point::min()) {
            spin_until = now + spin;
        }
        if (now >= spin_until && !end.wait(deadline)) {
            slice got = end.try_receive();
            if (!got.empty()) {
                return got;
            }
            if (!end.has_news()) {
                return fail(errc::peer_gone);
            }
        }
    }
}

}  // namespace zcpool::ipc
