// SPDX-License-Identifier: MIT
#pragma once

// What both ends of a channel have: its memory, the pool, how to wake and to be woken.

#include <cstdint>
#include <optional>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/channel_memory.hpp>
#include <zcpool/ipc/peer_watch.hpp>
#include <zcpool/ipc/wake_flag.hpp>
#include <zcpool/ipc/waker.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// The descriptors of a channel. They are the end's: valid while it lives.
struct channel_descriptors {
    int memory = -1;
    int news = -1;  ///< with wake_by::event: what the receiver waits on
    int room = -1;  ///< and the sender
};

/// Which end.
enum class channel_role : std::uint8_t { sender, receiver };

/// One end; keeps the pool's core, and is closed when it goes. Moved from, it is of no channel.
class channel_end {
public:
    /// Of memory that was checked, and what wakes its two ends.
    channel_end(channel_role role, pool_core& core, channel_memory memory, waker news,
                waker room) noexcept
        : role_(role),
          memory_(std::move(memory)),
          news_(std::move(news)),
          room_(std::move(room)),
          core_(&core) {
        core.pin();
    }
    /// Makes the sending end of a channel.
    ///
    /// Expects: the pool is shared; `capacity` is a power of two.
    /// Errors: the errno of what the system refused.
    [[nodiscard]] static result<channel_end> create(pool_core& core, std::uint32_t capacity,
                                                    wake_by wakes_by) noexcept {
        const auto same = identify(core.memory().fd());
        if (!same) {
            return fail(same.error());
        }
        const process_seat seat = pool_sharing::seat(core);
        auto memory = channel_memory::create({.capacity = capacity,
                                              .wakes_by = static_cast<std::uint32_t>(wakes_by),
                                              .sender_place = seat.index,
                                              .sender_status = encode_process(seat.status),
                                              .pool = *same});
        if (!memory) {
            return fail(memory.error());
        }
        auto news = waker::create(wakes_by);
        if (!news) {
            return fail(news.error());
        }
        auto room = waker::create(wakes_by);
        if (!room) {
            return fail(room.error());
        }
        return channel_end{channel_role::sender, core, std::move(*memory), std::move(*news),
                           std::move(*room)};
    }

    channel_end(channel_end&& other) noexcept
        : role_(other.role_),
          memory_(std::move(other.memory_)),
          news_(std::move(other.news_)),
          room_(std::move(other.room_)),
          watch_(std::move(other.watch_)),
          offered_to_(std::move(other.offered_to_)),
          core_(std::exchange(other.core_, nullptr)) {}
    channel_end& operator=(channel_end&& other) noexcept {
        if (this != &other) {
            leave();
            role_ = other.role_;
            memory_ = std::move(other.memory_);
            news_ = std::move(other.news_);
            room_ = std::move(other.room_);
            watch_ = std::move(other.watch_);
            offered_to_ = std::move(other.offered_to_);
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    ~channel_end() { leave(); }

    /// Whether it is of a channel, and this process the one that made or attached it: the memory is
    /// not mapped in a forked child.
    [[nodiscard]] bool is_usable() const noexcept {
        return core_ != nullptr && core_->in_creator();
    }

    [[nodiscard]] pool_core& core() const noexcept { return *core_; }
    [[nodiscard]] channel_header& header() const noexcept { return memory_.header(); }
    [[nodiscard]] spsc_memory ring() const noexcept { return memory_.ring(); }
    /// Wakes the receiver.
    [[nodiscard]] waker& news_waker() noexcept { return news_; }
    /// Wakes the sender.
    [[nodiscard]] waker& room_waker() noexcept { return room_; }
    [[nodiscard]] channel_descriptors files() const noexcept {
        return {memory_.fd(), news_.event(), room_.event()};
    }

    /// Behind what was sent or closed.
    void wake_receiver() noexcept {
        if (is_usable()) {
            news_.wake(header().news);
        }
    }
    /// Behind what was taken or closed.
    void wake_sender() noexcept {
        if (is_usable()) {
            room_.wake(header().room);
        }
    }

    /// Ends the channel from this side. Repeatable.
    void close() noexcept {
        if (!is_usable()) {
            return;
        }
        if (role_ == channel_role::sender) {
            // sync(channel): seq_cst; the receiver sees it, or we see that it sleeps; and who sees
            // it sees all that was sent.
            header().sender_closed.store(1, memory_order_seq_cst);
            wake_receiver();
        } else {
            // sync(channel): seq_cst; the sender sees it, or we see that it sleeps.
            header().receiver_closed.store(1, memory_order_seq_cst);
            wake_sender();
        }
    }
    [[nodiscard]] bool sender_has_closed() const noexcept {
        // sync(channel): seq_cst; see close().
        return header().sender_closed.load(memory_order_seq_cst) != 0;
    }
    [[nodiscard]] bool receiver_has_closed() const noexcept {
        // sync(channel): seq_cst; see close().
        return header().receiver_closed.load(memory_order_seq_cst) != 0;
    }

    /// Says who receives.
    void set_receiver(process_seat seat) noexcept {
        // relaxed: published by the release below.
        header().receiver_place.store(seat.index, memory_order_relaxed);
        // sync(receiver): release; the place belongs to it.
        header().receiver_status.store(encode_process(seat.status), memory_order_release);
    }
    /// Who receives; nothing before somebody does, or when it wrote nonsense.
    [[nodiscard]] std::optional<process_seat> receiver() const noexcept {
        // sync(receiver): acquire; as above.
        const auto status = header().receiver_status.load(memory_order_acquire);
        // relaxed: behind the acquire.
        const auto place = header().receiver_place.load(memory_order_relaxed);
        if (status == 0 || place >= max_processes) {
            return std::nullopt;
        }
        return process_seat{place, decode_process(status)};
    }

    /// Keeps a duplicate of the socket by which the other end was offered.
    void offer_to(sys::unique_fd socket) noexcept { offered_to_ = std::move(socket); }

    /// Whether the receiver's process has died or left the pool; before it has attached, whether
    /// the socket was closed by which it was to.
    [[nodiscard]] bool is_receiver_gone() noexcept {
        if (const auto seat = receiver(); seat && !watch_.is_set()) {
            watch_ = peer_watch{pool_sharing::registry(*core_), *seat};
            offered_to_.reset();
        }
        return watch_.is_set() ? watch_.is_gone()
                               : offered_to_ && sys::has_hung_up(offered_to_.get());
    }
    /// A descriptor that is readable when it has died; -1: not known yet, or none.
    [[nodiscard]] int receiver_process() const noexcept { return watch_.descriptor(); }

private:
    void leave() noexcept {
        close();
        if (core_ != nullptr) {
            if (!core_->in_creator()) {
                memory_.forget();
            }
            std::exchange(core_, nullptr)->unpin();
        }
    }

    channel_role role_;
    channel_memory memory_;
    waker news_;
    waker room_;
    peer_watch watch_;           // of the receiver, once there is one
    sys::unique_fd offered_to_;  // until then
    pool_core* core_;
};

}  // namespace zcpool::ipc
