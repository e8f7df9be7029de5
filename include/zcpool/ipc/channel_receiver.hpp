// SPDX-License-Identifier: MIT
#pragma once

// The receiving end of a channel: slices that another process sent, to be read where they lie, sent
// on, or handed to a sink.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/descriptor.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/slice_transfer.hpp>
#include <zcpool/ipc/blocking_receive.hpp>
#include <zcpool/ipc/channel_end.hpp>
#include <zcpool/ipc/channel_memory.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/peer_watch.hpp>
#include <zcpool/ipc/waker.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// The descriptors that a sender handed over; events only where it made any.
struct received_channel {
    sys::unique_fd memory;
    sys::unique_fd news;
    sys::unique_fd room;
};

/// The end that receives.
///
/// Sharing: one thread at a time; what it received may go to any. Keeps the pool's memory. In a
/// forked child it does nothing.
/// If its process dies, what it has received is freed by the next recovery, and what it has not
/// stays with the sender.
class channel_receiver {
public:
    /// Attaches to a channel of a pool that this process has a part in.
    ///
    /// Errors: as channel_memory::adopt(); `bad_message` when there are events and there should be
    /// none, or none and there should be; `closed` when the pool is not shared; `unsupported` for
    /// a channel of this very part of the pool: threads pass slices as they are.
    [[nodiscard]] static result<channel_receiver> attach(pool_view pool,
                                                         received_channel files) noexcept {
        pool_core& core = pool_sharing::core_of(pool);
        if (core.is_closed() || !core.report().shared) {
            return fail(errc::closed);
        }
        const auto same = identify(core.memory().fd());
        if (!same) {
            return fail(same.error());
        }
        channel_table table;
        auto memory = channel_memory::adopt(std::move(files.memory), *same, table);
        if (!memory) {
            return fail(memory.error());
        }
        // What is handed over to oneself would have the bit of what one has already.
        if (table.sender_place == pool_sharing::seat(core).index &&
            table.sender_status == encode_process(pool_sharing::seat(core).status)) {
            return fail(errc::unsupported);
        }
        const bool has_events = static_cast<wake_by>(table.wakes_by) == wake_by::event;
        if ((files.news.get() >= 0) != has_events || (files.room.get() >= 0) != has_events) {
            return fail(errc::bad_message);
        }
        channel_end end{channel_role::receiver, core, std::move(*memory),
                        waker::adopt(std::move(files.news)), waker::adopt(std::move(files.room))};
        end.set_receiver(pool_sharing::seat(core));
        return channel_receiver{std::move(end),
                                {table.sender_place, decode_process(table.sender_status)}};
    }

    /// Ends the channel: the sender gets `closed`. Repeatable.
    void close() noexcept { end_.close(); }

    /// The oldest slice that was sent; empty when there is none, and after an error.
    ///
    /// Complexity: a few words; a system call only when the sender sleeps.
    /// Concurrency: lock-free; a death inside leaves the message in the channel, or the slice to
    /// the recovery.
    [[nodiscard]] slice try_receive() noexcept {
        slice got;
        if (end_.is_usable()) {
            got = take();
            end_.wake_sender();
        }
        return got;
    }

    /// As many as there are, and wakes the sender once.
    /// Returns: how many, from the front.
    [[nodiscard]] std::size_t try_receive_many(std::span<slice> into) noexcept {
        std::size_t count = 0;
        if (end_.is_usable()) {
            while (count < into.size() && !(into[count] = take()).empty()) {
                ++count;
            }
            end_.wake_sender();
        }
        return count;
    }

    /// Waits for a slice: spins for a while (set_spin()), then sleeps.
    ///
    /// Errors: `closed` when the sender has ended the channel and all was received; `peer_gone`
    /// when it died and all was received; `corrupt` when it wrote what cannot be.
    /// Concurrency: blocks.
    [[nodiscard]] result<slice> receive() noexcept {
        return ipc::receive_until(*this, sys::clock::time_point::max(), spin_);
    }

    /// Likewise; `timed_out` after `timeout`.
    template <class Rep, class Period>
    [[nodiscard]] result<slice> receive_for(std::chrono::duration<Rep, Period> timeout) noexcept {
        return ipc::receive_until(*this, sys::deadline_after(timeout), spin_);
    }

    /// Why try_receive() gives nothing and never will; empty: something may come yet.
    ///
    /// `closed`, `corrupt`. What a dead sender sent can be received until somebody recovers.
    [[nodiscard]] std::error_code ended() noexcept {
        if (!end_.is_usable()) {
            return errc::closed;
        }
        if (is_corrupt_) {
            return errc::corrupt;
        }
        if (end_.sender_has_closed() && !ring_.peek()) {
            return errc::closed;
        }
        return {};
    }

    /// With wake_by::event: announces that we wait for news.
    ///
    /// Returns: false when there is something to look at; true: wait until event() is readable,
    /// then call end_wait().
    [[nodiscard]] bool begin_wait() noexcept {
        if (!end_.is_usable()) {
            return false;
        }
        end_.header().news.announce();
        if (is_corrupt_ || end_.sender_has_closed() || ring_.peek()) {
            end_.header().news.withdraw();
            return false;
        }
        return true;
    }
    /// Ends what begin_wait() began.
    void end_wait() noexcept {
        if (end_.is_usable()) {
            end_.news_waker().end_wait(end_.header().news);
        }
    }
    [[nodiscard]] int event() const noexcept { return end_.files().news; }

    /// Whether the sender's process has died, or left the pool.
    /// Complexity: system calls.
    [[nodiscard]] bool is_sender_gone() noexcept { return end_.is_usable() && sender_.is_gone(); }

    /// A look whether try_receive() is worth it, which costs next to nothing.
    [[nodiscard]] bool has_news() noexcept {
        if (is_later_) {
            sys::provider::yield();  // to the thread that is in the middle of its step
            return true;
        }
        return end_.is_usable() && ring_.peek().has_value();
    }

    /// Sleeps until there may be news.
    /// Returns: false when the sender is gone.
    [[nodiscard]] bool wait(sys::clock::time_point deadline) noexcept {
        // The first time, so that it can be waited for.
        if (sender_.descriptor() < 0 && sender_.is_gone()) {
            return false;
        }
        if (!begin_wait()) {
            return true;
        }
        ++stats_.waits;
        const bool woken =
            end_.news_waker().sleep(end_.header().news, {sender_.descriptor(), 0, 0}, deadline);
        end_wait();
        return woken || !sender_.is_gone();
    }

    /// How long receive() looks before it sleeps. A wake-up costs about as much as the default; on
    /// a machine of one processor 0 is right.
    void set_spin(std::chrono::microseconds longest) noexcept { spin_ = longest; }

    [[nodiscard]] receiver_stats stats() const noexcept { return stats_; }

private:
    channel_receiver(channel_end end, process_seat from) noexcept
        : end_(std::move(end)),
          ring_(end_.ring()),
          from_(from.bit()),
          sender_(pool_sharing::registry(end_.core()), from) {}

    /// Takes the oldest slice that can still be had.
    [[nodiscard]] slice take() noexcept {
        is_later_ = false;
        while (!is_corrupt_) {
            const auto message = ring_.peek();
            if (!message) {
                break;
            }
            received_slice got =
                slice_transfer::receive(end_.core(), descriptor::of(*message), from_);
            if (got.how == arrival::later || got.how == arrival::corrupt) {
                is_later_ = got.how == arrival::later;
                is_corrupt_ = got.how == arrival::corrupt;
                break;
            }
            // Only now may the sender let go.
            if (!ring_.pop()) {
                continue;  // it had taken the message back
            }
            if (got.how == arrival::here) {
                ++stats_.received;
                return std::move(got.what);
            }
            ++stats_.lost;
        }
        return {};
    }

    channel_end end_;
    spsc_consumer ring_;
    holder_set from_;
    peer_watch sender_;
    std::chrono::microseconds spin_{20};
    bool is_corrupt_ = false;
    bool is_later_ = false;
    receiver_stats stats_;
};

}  // namespace zcpool::ipc
