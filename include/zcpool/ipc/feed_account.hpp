// SPDX-License-Identifier: MIT
#pragma once

// The owner's account of the frames that a reader has, or that are on their way to it: private
// memory, so that whatever the reader writes can only give its own frames back too early.

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/slice_transfer.hpp>
#include <zcpool/ipc/feed_memory.hpp>

namespace zcpool::ipc {

/// Tickets: each stands for one frame, from when it is sent until it is given back. Sharing: one
/// thread at a time.
class feed_account {
public:
    feed_account() noexcept = default;

    /// Errors: `out_of_memory`.
    [[nodiscard]] static result<feed_account> create(std::uint32_t frames) noexcept {
        feed_account made;
        made.entries_.reset(new (std::nothrow) entry[frames]);
        if (!made.entries_) {
            return fail(errc::out_of_memory);
        }
        made.size_ = frames;
        for (std::uint32_t i = 0; i < frames; ++i) {
            made.entries_[i].next = static_cast<std::uint16_t>(i + 1);
        }
        return made;
    }

    /// Whether the reader may be sent another one.
    [[nodiscard]] bool has_room() const noexcept { return free_ != size_; }
    /// Frames that it has, or will get.
    [[nodiscard]] std::size_t size() const noexcept { return out_; }

    /// Notes a frame down.
    ///
    /// Expects: has_room(); the message is pushed afterwards.
    /// Returns: its ticket and the use of that.
    [[nodiscard]] feed_frame add(slice kept, array_view<feed_memory::receipt> receipts) noexcept {
        const auto ticket = static_cast<std::uint16_t>(free_);
        entry& mine = entries_[ticket];
        free_ = mine.next;
        mine.kept = std::move(kept);
        ++mine.use;
        ++out_;
        // Uses start over, so an old receipt must not stay.
        // relaxed: the reader knows nothing of the ticket before the message.
        receipts[ticket].store(0, memory_order_relaxed);
        return {0, 0, ticket, mine.use};
    }

    /// Gives a frame up, which the reader has not seen; if it has not given that back all the same.
    void cancel(const feed_frame& frame) noexcept {
        const entry& mine = entries_[frame.ticket];
        if (!mine.kept.empty() && mine.use == frame.use) {
            release(frame.ticket);
        }
    }

    /// Lets go of what the reader has given back.
    void collect(array_view<const feed_memory::receipt> receipts) noexcept {
        for (std::uint32_t ticket = 0; out_ != 0 && ticket < size_; ++ticket) {
            const entry& each = entries_[ticket];
            // sync(receipt): acquire; the reader has done reading.
            if (!each.kept.empty() &&
                receipts[ticket].load(memory_order_acquire) == feed_frame::receipt(each.use)) {
                release(static_cast<std::uint16_t>(ticket));
            }
        }
    }

    /// Lets go of everything: the reader is gone. Pages that it may have handed to the kernel are
    /// replaced before they are written; what the budget does not allow to be replaced stays until
    /// the next call.
    void abandon() noexcept {
        for (std::uint32_t ticket = 0; ticket < size_; ++ticket) {
            const slice& kept = entries_[ticket].kept;
            if (!kept.empty() && slice_transfer::detach_later(kept)) {
                release(static_cast<std::uint16_t>(ticket));
            }
        }
    }

private:
    struct entry {
        slice kept;
        std::uint16_t use = 0;
        std::uint16_t next = 0;
    };

    void release(std::uint16_t ticket) noexcept {
        entry& mine = entries_[ticket];
        mine.kept = {};
        mine.next = static_cast<std::uint16_t>(free_);
        free_ = ticket;
        --out_;
    }

    unique_object<entry[]> entries_;
    std::uint32_t size_ = 0;
    std::uint32_t free_ = 0;  ///< the first free ticket; `size_`: none
    std::size_t out_ = 0;
};

}  // namespace zcpool::ipc
