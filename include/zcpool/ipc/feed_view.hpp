// SPDX-License-Identifier: MIT
#pragma once

// What the reader of a feed has mapped, and the slices that it makes of it without an allocation.

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/slice_transfer.hpp>
#include <zcpool/ipc/feed_memory.hpp>
#include <zcpool/sys/fork_guard.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What a reader has mapped, and the owners of its slices: stays until the last of those is gone.
///
/// Sharing: slices of it may be released by any thread. In a forked child they do nothing.
class feed_view {
public:
    /// Errors: `out_of_memory`; the errno of mmap.
    [[nodiscard]] static result<feed_view*> create(sys::mapping data, feed_memory memory,
                                                   sys::unique_fd socket) noexcept {
        auto guard = sys::fork_guard::create();
        if (!guard) {
            return fail(guard.error());
        }
        const std::uint32_t frames = memory.table().frames;
        auto* const made = new (std::nothrow)
            feed_view{std::move(data), std::move(memory), std::move(socket), std::move(*guard)};
        if (made == nullptr) {
            return fail(errc::out_of_memory);
        }
        made->owners_.reset(new (std::nothrow) owner[frames]);
        if (!made->owners_) {
            delete made;
            return fail(errc::out_of_memory);
        }
        return made;
    }

    /// A slice of a frame; empty when the owner's numbers cannot be.
    [[nodiscard]] slice borrow(const feed_frame& frame) noexcept {
        if (frame.ticket >= memory_.table().frames || frame.length == 0 ||
            frame.offset > data_.size() || frame.length > data_.size() - frame.offset) {
            return {};
        }
        owner& mine = owners_[frame.ticket];
        // sync(loan): acquire; whoever had the ticket before has done with this object.
        if (mine.is_lent.exchange(1, memory_order_acquire) != 0) {
            return {};  // an owner that uses a ticket twice
        }
        mine.of = this;
        mine.use = frame.use;
        // relaxed: the caller has one.
        uses_.fetch_add(1, memory_order_relaxed);
        return slice_transfer::borrow(mine, {data_.data() + frame.offset, frame.length});
    }

    /// Gives a use up: a slice's, or the reader's.
    void drop() noexcept {
        if (!in_creator()) {
            return;
        }
        // sync(feed): acq_rel; all that others read comes before the memory goes.
        if (uses_.fetch_sub(1, memory_order_acq_rel) == 1) {
            delete this;
        }
    }

    [[nodiscard]] const feed_memory& memory() const noexcept { return memory_; }
    [[nodiscard]] int socket() const noexcept { return socket_.get(); }
    [[nodiscard]] bool in_creator() const noexcept { return guard_.in_creator(); }

private:
    struct owner : foreign_owner {
        owner() noexcept : foreign_owner(&give_back) {}
        feed_view* of = nullptr;
        std::uint16_t use = 0;
        atomic<std::uint32_t> is_lent;
    };

    feed_view(sys::mapping data, feed_memory memory, sys::unique_fd socket,
              sys::fork_guard guard) noexcept
        : data_(std::move(data)),
          memory_(std::move(memory)),
          socket_(std::move(socket)),
          guard_(std::move(guard)) {}

    static void give_back(foreign_owner* which) noexcept {
        owner& mine = *static_cast<owner*>(which);
        feed_view& view = *mine.of;
        if (!view.in_creator()) {
            return;
        }
        const auto ticket = static_cast<std::size_t>(&mine - view.owners_.get());
        const std::uint32_t receipt = feed_frame::receipt(mine.use);
        // sync(loan): release; the next frame with this ticket finds the object free.
        mine.is_lent.store(0, memory_order_release);
        // sync(receipt): release; we have done reading.
        view.memory_.receipts()[ticket].store(receipt, memory_order_release);
        view.drop();
    }

    sys::mapping data_;
    feed_memory memory_;
    sys::unique_fd socket_;
    sys::fork_guard guard_;
    unique_object<owner[]> owners_;
    atomic<std::size_t> uses_{1};
};

}  // namespace zcpool::ipc
