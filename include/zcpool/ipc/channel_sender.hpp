// SPDX-License-Identifier: MIT
#pragma once

// The sending end of a channel: slices of a shared pool go to one other process that has it too.
// What is sent is a descriptor of 16 bytes; the bytes stay where they are.

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/slice_transfer.hpp>
#include <zcpool/ipc/channel_end.hpp>
#include <zcpool/ipc/channel_memory.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/sent_slices.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::ipc {

/// The end that sends.
///
/// A slice that its process has other copies of, or sent elsewhere too, is kept until the receiver
/// has read the message, which is noticed at each send, and at reclaim(): a process that sends such
/// slices calls that before it waits for a free slot.
///
/// Sharing: one thread at a time. Keeps the pool's memory. In a forked child it does nothing.
/// If its process dies, what the receiver has read is the receiver's; what it has not is freed by
/// the next recovery, and skipped.
class channel_sender {
public:
    /// Makes a channel for a pool, which it shares if that has not been done. Hand files() to one
    /// other process (channel.hpp).
    ///
    /// Errors: `invalid_options` for a capacity of 0 or too large; as pool_view::share(); the errno
    /// of what the system refused.
    [[nodiscard]] static result<channel_sender> create(
        pool_view pool, const channel_options& options = {}) noexcept {
        if (options.capacity == 0 || options.capacity > max_channel_capacity) {
            return fail(errc::invalid_options);
        }
        pool_core& core = pool_sharing::core_of(pool);
        if (!core.report().shared) {
            if (auto shared = pool.share(); !shared) {
                return fail(shared.error());
            }
        }
        const std::uint32_t capacity = std::bit_ceil(options.capacity);
        auto end = channel_end::create(core, capacity, options.wakes_by);
        if (!end) {
            return fail(end.error());
        }
        auto sent = sent_slices::create(capacity);
        if (!sent) {
            return fail(sent.error());
        }
        return channel_sender{std::move(*end), options.when_full, std::move(*sent)};
    }

    channel_sender(channel_sender&&) noexcept = default;
    channel_sender& operator=(channel_sender&& other) noexcept {
        channel_sender next{std::move(other)};  // what was this goes with it
        std::swap(end_, next.end_);
        std::swap(ring_, next.ring_);
        std::swap(sent_, next.sent_);
        std::swap(state_, next.state_);
        return *this;
    }
    ~channel_sender() { leave(); }

    /// Sends a slice, as the channel's policy says. One that is moved in, and is the only one of
    /// its slot, is handed over: the slot is free when the receiver lets go, whatever the sender
    /// does meanwhile.
    ///
    /// Ensures: a slice moved in is empty when it was sent, and else as it was.
    /// Errors: `foreign_slice`; `closed` when either end was closed; `peer_gone` when the receiver
    /// died while we waited for room; `corrupt` when it wrote what cannot be: the channel is then
    /// of no use any more.
    /// Complexity: a few words; a system call only when the receiver sleeps.
    /// Concurrency: lock-free; blocks only with back_pressure::wait, while the channel is full.
    [[nodiscard]] result<send_outcome> send(slice&& what) noexcept {
        return send_until(what, given::moved, sys::clock::time_point::max());
    }
    /// Likewise, of a slice that the sender keeps: its slot stays until the message was read.
    [[nodiscard]] result<send_outcome> send(const slice& what) noexcept {
        slice copy = what;
        return send_until(copy, given::copied, sys::clock::time_point::max());
    }

    /// Likewise; with back_pressure::wait not after `timeout`: then `timed_out`, and nothing was
    /// sent.
    template <class Rep, class Period>
    [[nodiscard]] result<send_outcome> send_for(
        slice&& what, std::chrono::duration<Rep, Period> timeout) noexcept {
        return send_until(what, given::moved, sys::deadline_after(timeout));
    }
    /// Likewise, of a slice that the sender keeps.
    template <class Rep, class Period>
    [[nodiscard]] result<send_outcome> send_for(
        const slice& what, std::chrono::duration<Rep, Period> timeout) noexcept {
        slice copy = what;
        return send_until(copy, given::copied, sys::deadline_after(timeout));
    }

    /// Sends a slice if there is room, whatever the policy.
    /// Ensures: as send().
    /// Errors: as send(), and `full`.
    /// Concurrency: wait-free.
    [[nodiscard]] result<void> try_send(slice&& what) noexcept {
        const auto refused = push_and_wake(what, given::moved);
        return refused ? result<void>{fail(refused)} : result<void>{};
    }
    /// Likewise, of a slice that the sender keeps.
    [[nodiscard]] result<void> try_send(const slice& what) noexcept {
        slice copy = what;
        const auto refused = push_and_wake(copy, given::copied);
        return refused ? result<void>{fail(refused)} : result<void>{};
    }

    /// Sends as many as there is room for, and wakes the receiver once.
    /// Ensures: those that were sent are empty, the others as they were.
    /// Returns: how many, from the front.
    /// Errors: as try_send(), when not even the first could be sent.
    [[nodiscard]] result<std::size_t> try_send_many(std::span<slice> what) noexcept {
        std::size_t count = 0;
        std::error_code refused;
        while (count < what.size() && !(refused = push(what[count], given::moved))) {
            ++count;
        }
        end_.wake_receiver();
        return count == 0 && refused ? result<std::size_t>{fail(refused)} : count;
    }

    /// Lets go of the slices whose messages the receiver has read.
    ///
    /// Errors: `corrupt`.
    result<void> reclaim() noexcept {
        if (!end_.is_usable()) {
            return fail(errc::closed);
        }
        if (state_.is_corrupt || !ring_.refresh()) {
            state_.is_corrupt = true;
            return fail(errc::corrupt);
        }
        sent_.release(ring_.was_taken());
        return {};
    }

    /// Messages that were not read, as far as it knows.
    [[nodiscard]] std::size_t in_flight() const noexcept {
        return static_cast<std::size_t>(ring_.pushed() - sent_.released());
    }

    /// With wake_by::event: announces that we wait for room.
    /// Returns: false when there is room already; true: wait until event() is readable, then call
    /// end_wait().
    [[nodiscard]] bool begin_wait() noexcept { return begin_wait(ring_.capacity() - 1); }
    /// Ends what begin_wait() began.
    void end_wait() noexcept {
        if (end_.is_usable()) {
            end_.room_waker().end_wait(end_.header().room);
        }
    }
    [[nodiscard]] int event() const noexcept { return end_.files().room; }

    /// Whether the receiver's process has died or left the pool. Before it has attached: whether
    /// the socket was closed by which it was to get its end; false where that is not known.
    /// Complexity: system calls.
    [[nodiscard]] bool is_receiver_gone() noexcept {
        return end_.is_usable() && end_.is_receiver_gone();
    }

    /// Ends the channel: the receiver gets what was sent before, then `closed`. Repeatable.
    /// What it has not received when this object goes is lost to it: see finish_for().
    void finish() noexcept {
        state_.is_finished = true;
        end_.close();
    }

    /// Likewise, and waits until the receiver has read everything, or closed its end.
    ///
    /// Errors: `timed_out`; `peer_gone` when it died; `corrupt`.
    /// Concurrency: blocks.
    template <class Rep, class Period>
    [[nodiscard]] result<void> finish_for(std::chrono::duration<Rep, Period> timeout) noexcept {
        finish();
        const auto deadline = sys::deadline_after(timeout);
        for (;;) {
            if (auto done = reclaim(); !done || in_flight() == 0 || end_.receiver_has_closed()) {
                return done;
            }
            if (auto waited = wait_for(deadline, 0); !waited) {
                return waited;
            }
        }
    }

    [[nodiscard]] sender_stats stats() const noexcept { return state_.stats; }

    /// For handing over: the memory, and with wake_by::event the two events.
    [[nodiscard]] channel_descriptors files() const noexcept { return end_.files(); }

private:
    friend result<void> send_channel(int socket, channel_sender& sender) noexcept;

    enum class given : std::uint8_t { copied, moved };

    channel_sender(channel_end end, back_pressure when_full, sent_slices sent) noexcept
        : end_(std::move(end)), ring_(end_.ring()), sent_(std::move(sent)) {
        state_.when_full = when_full;
    }

    /// Returns: why not; nothing when it was sent.
    [[nodiscard]] std::error_code push(slice& what, given how) noexcept {
        if (!end_.is_usable() || end_.receiver_has_closed() || state_.is_finished) {
            return errc::closed;
        }
        auto where = slice_transfer::describe(end_.core(), what);
        if (!where) {
            return where.error();
        }
        if (!ring_.has_room() || state_.is_corrupt) {
            if (auto done = reclaim(); !done) {
                return done.error();
            }
            if (!ring_.has_room()) {
                return errc::full;
            }
        }
        where->handed_over = how == given::moved && slice_transfer::hand_over(end_.core(), what);
        sent_.put(ring_.pushed(), std::move(what), *where);
        [[maybe_unused]] const bool pushed = ring_.try_push(where->to_message());
        ZCPOOL_ASSERT(pushed, "no room where there was some");
        ++state_.stats.sent;
        return {};
    }

    [[nodiscard]] std::error_code push_and_wake(slice& what, given how) noexcept {
        const auto refused = push(what, how);
        if (!refused) {
            end_.wake_receiver();
            // Behind the wake-up, and only for what needs it: the position is on a cache line that
            // the receiver writes at this moment.
            if (sent_.keeps()) {
                static_cast<void>(reclaim());
            }
        }
        return refused;
    }

    [[nodiscard]] result<send_outcome> send_until(slice& what, given how,
                                                  sys::clock::time_point deadline) noexcept {
        send_outcome outcome = send_outcome::sent;
        for (;;) {
            if (const auto refused = push_and_wake(what, how); !refused) {
                return outcome;
            } else if (refused != errc::full) {
                return fail(refused);
            }
            if (state_.when_full == back_pressure::drop_newest) {
                ++state_.stats.dropped;
                return send_outcome::dropped;
            }
            if (state_.when_full == back_pressure::drop_oldest) {
                outcome = drop_oldest() ? send_outcome::sent_for_oldest : outcome;
            } else if (auto waited = wait_for(deadline, ring_.capacity() - 1); !waited) {
                return fail(waited.error());
            }
        }
    }

    /// Takes the oldest message back; false when the receiver was faster, or is broken.
    bool drop_oldest() noexcept {
        switch (ring_.take_back()) {
            case take_back_outcome::taken_back:
                sent_.recall(end_.core());
                ++state_.stats.dropped;
                return true;
            case take_back_outcome::too_late: sent_.release(ring_.was_taken()); break;
            case take_back_outcome::corrupt: state_.is_corrupt = true; break;
        }
        return false;
    }

    /// Announces that we wait until at most `most` messages are in the channel.
    [[nodiscard]] bool begin_wait(std::size_t most) noexcept {
        if (!end_.is_usable()) {
            return false;
        }
        end_.header().room.announce();
        if (!reclaim() || in_flight() <= most || end_.receiver_has_closed()) {
            end_.header().room.withdraw();
            return false;
        }
        return true;
    }

    /// Sleeps until something may have been taken.
    [[nodiscard]] result<void> wait_for(sys::clock::time_point deadline,
                                        std::size_t most) noexcept {
        if (sys::clock::now() >= deadline) {
            return fail(errc::timed_out);
        }
        // The first time, so that it can be waited for.
        if (end_.receiver_process() < 0 && is_receiver_gone()) {
            return fail(errc::peer_gone);
        }
        if (!begin_wait(most)) {
            return {};
        }
        ++state_.stats.waits;
        const bool woken =
            end_.room_waker().sleep(end_.header().room, {end_.receiver_process(), 0, 0}, deadline);
        end_wait();
        return woken || !is_receiver_gone() ? result<void>{} : fail(errc::peer_gone);
    }

    /// Closes, and takes back what was not read. Repeatable.
    void leave() noexcept {
        finish();
        while (end_.is_usable() && in_flight() != 0 && !state_.is_corrupt) {
            drop_oldest();
        }
    }

    struct state {
        back_pressure when_full = back_pressure::wait;
        bool is_corrupt = false;
        bool is_finished = false;  ///< the shared flag is where the receiver writes
        sender_stats stats;
    };

    channel_end end_;
    spsc_producer ring_;
    sent_slices sent_;
    state state_;
};

}  // namespace zcpool::ipc
