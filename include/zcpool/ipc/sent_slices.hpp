// SPDX-License-Identifier: MIT
#pragma once

// What the sender of a channel has in it: slices that it keeps until their messages were read, and
// those that it handed over, of which it knows only where they lie.

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/descriptor.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/slice_transfer.hpp>
#include <zcpool/pool/core.hpp>

namespace zcpool::ipc {

/// The messages of a channel by their positions, which only grow. Sharing: as the sender.
class sent_slices {
public:
    sent_slices() noexcept = default;

    /// Expects: a power of two.
    /// Errors: `out_of_memory`.
    [[nodiscard]] static result<sent_slices> create(std::size_t capacity) noexcept {
        sent_slices made;
        made.entries_.reset(new (std::nothrow) entry[capacity]);
        if (!made.entries_) {
            return fail(errc::out_of_memory);
        }
        made.mask_ = capacity - 1;
        return made;
    }

    /// Notes down what the message at a position is about: a slice to keep, or an empty one for
    /// what was handed over.
    void put(std::uint64_t position, slice kept, const descriptor& where) noexcept {
        kept_ += kept.empty() ? 0U : 1U;
        at(position) = {std::move(kept), where};
    }

    /// Lets go of everything before a position: the receiver has it.
    void release(std::uint64_t taken) noexcept {
        for (; released_ != taken; ++released_) {
            drop(at(released_));
        }
    }

    /// Lets go of the oldest, whose message was taken back.
    void recall(pool_core& core) noexcept {
        entry& oldest = at(released_++);
        if (oldest.where.handed_over) {
            slice_transfer::recall(core, oldest.where);
        }
        drop(oldest);
    }

    /// Whether any slice is kept.
    [[nodiscard]] bool keeps() const noexcept { return kept_ != 0; }

    /// Up to which position everything was let go.
    [[nodiscard]] std::uint64_t released() const noexcept { return released_; }

private:
    struct entry {
        slice kept;
        descriptor where;
    };

    void drop(entry& which) noexcept {
        if (!which.kept.empty()) {
            which.kept = {};
            --kept_;
        }
    }

    [[nodiscard]] entry& at(std::uint64_t position) noexcept {
        return entries_[static_cast<std::size_t>(position) & mask_];
    }

    unique_object<entry[]> entries_;
    std::size_t mask_ = 0;
    std::uint64_t released_ = 0;
    std::size_t kept_ = 0;  ///< entries with a slice
};

}  // namespace zcpool::ipc
