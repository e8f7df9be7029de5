// SPDX-License-Identifier: MIT
#pragma once

// One frame to many processes: each reader has a channel of its own, with a policy of its own for
// when it is slow, and all of them read the same bytes.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/channel_sender.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::ipc {

/// Counts of a publisher since it was made.
struct publisher_stats {
    std::uint64_t published = 0;  ///< frames
    std::uint64_t sent = 0;       ///< frames to readers
    std::uint64_t dropped = 0;    ///< frames that a slow reader did not get
    std::uint64_t left = 0;       ///< readers that closed or died
};

/// Sends each frame to all readers, and the newest one to who comes later.
///
/// It keeps the newest frame until the next one, or forget(); any other is free when the last
/// reader has dropped it. At most 31 readers.
/// Sharing: one thread at a time.
class publisher {
public:
    /// Adds a reader, by the sending end of its channel, and sends it the newest frame.
    ///
    /// A channel with back_pressure::wait makes publish() wait for this reader, and so all others.
    /// Errors: `too_many_processes`; as channel_sender::send(), but that a newest frame of another
    /// pool is not sent.
    [[nodiscard]] result<void> add(channel_sender reader) noexcept {
        auto* place = readers_.begin();
        while (place != readers_.end() && place->has_value()) {
            ++place;
        }
        if (place == readers_.end()) {
            return fail(errc::too_many_processes);
        }
        if (!newest_.empty()) {
            const auto sent = reader.send(newest_);
            // Of another pool than the reader's: the next one may be of its own.
            if (!sent && sent.error() != errc::foreign_slice) {
                return fail(sent.error());
            }
            stats_.sent += sent ? 1U : 0U;
        }
        place->emplace(std::move(reader));
        return {};
    }

    /// Sends a frame to all readers, each as its channel's policy says. Readers that have closed or
    /// died leave.
    ///
    /// Returns: how many will get it; an empty slice, or one of another pool, nobody.
    /// Concurrency: lock-free; blocks where a reader's channel says so.
    std::size_t publish(slice frame) noexcept {
        if (frame.empty()) {
            return 0;
        }
        ++stats_.published;
        newest_ = std::move(frame);
        std::size_t reached = 0;
        for (auto& each : readers_) {
            if (!each) {
                continue;
            }
            const auto sent = each->send(newest_);
            const bool was_slow = sent && *sent != send_outcome::sent;
            stats_.dropped += was_slow ? 1U : 0U;
            if (!sent && sent.error() == errc::foreign_slice) {
                continue;
            }
            if (!sent || (was_slow && each->is_receiver_gone())) {
                each.reset();
                ++stats_.left;
            } else if (*sent != send_outcome::dropped) {
                ++reached;
            }
        }
        stats_.sent += reached;
        return reached;
    }

    /// Lets go of frames that all readers have dropped meanwhile, and of readers that have died.
    /// Complexity: some system calls for each reader.
    void reclaim() noexcept {
        for (auto& each : readers_) {
            if (each && (!each->reclaim() || each->is_receiver_gone())) {
                each.reset();
                ++stats_.left;
            }
        }
    }

    /// Ends all channels: each reader gets what was sent before, then `closed`. Waits until they
    /// have read it, closed, or died, but no longer than `timeout`. No reader is left then, and no
    /// frame kept.
    ///
    /// Returns: how many have read everything.
    /// Concurrency: blocks.
    template <class Rep, class Period>
    std::size_t finish_for(std::chrono::duration<Rep, Period> timeout) noexcept {
        const auto deadline = sys::deadline_after(timeout);
        forget();
        // All at once, so that they read while we wait for the first.
        for (auto& each : readers_) {
            if (each) {
                each->finish();
            }
        }
        std::size_t finished = 0;
        for (auto& each : readers_) {
            if (each) {
                static_cast<void>(each->finish_for(deadline - sys::clock::now()));
                finished += each->in_flight() == 0 ? 1U : 0U;
                each.reset();
            }
        }
        return finished;
    }

    /// Keeps no frame for those who come later.
    void forget() noexcept { newest_ = {}; }

    [[nodiscard]] const slice& newest() const noexcept { return newest_; }
    [[nodiscard]] std::size_t readers() const noexcept {
        std::size_t count = 0;
        for (const auto& each : readers_) {
            count += each.has_value() ? 1 : 0;
        }
        return count;
    }
    [[nodiscard]] const publisher_stats& stats() const noexcept { return stats_; }

private:
    std::array<std::optional<channel_sender>, max_processes> readers_;
    slice newest_;
    publisher_stats stats_;
};

}  // namespace zcpool::ipc
