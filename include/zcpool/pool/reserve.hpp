// SPDX-License-Identifier: MIT
#pragma once

// The last slots of a class, kept for callers who say that it is urgent.
//
// They are the process's own (their words say OWNED) and lie in no free store, so no other search
// can come upon them. One that was handed out is missing; while slots are missing every release
// goes by here first, so the pool keeps its thread caches closed meanwhile.

#include <cstddef>
#include <cstdint>
#include <new>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/ring/index_stack.hpp>

namespace zcpool {

/// The reserve of one class.
///
/// Concurrency: lock-free; any thread of the process.
class slot_reserve {
public:
    /// Makes room for a reserve of a class with `slots` slots. Once, before use; without it the
    /// reserve is empty and nothing is missing.
    ///
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(std::uint32_t slots) noexcept {
        links_.reset(new (std::nothrow) index_stack::link[slots]);
        if (!links_) {
            return fail(errc::out_of_memory);
        }
        stack_ = {top_, {links_.get(), slots}};
        return {};
    }

    /// Puts a slot in when the reserve is made.
    void add(std::uint32_t slot) noexcept {
        stack_.push(slot);
        ++size_;
    }

    /// Whether every slot of it is there.
    [[nodiscard]] bool was_full() const noexcept {
        // sync(reserve): seq_cst; a release that does not see the slot missing comes before the
        // suspension of the caches, in the order of the two.
        return missing_.load(memory_order_seq_cst) == 0;
    }

    /// Slots that are in it.
    [[nodiscard]] std::uint32_t was_left() const noexcept {
        // relaxed: a counter.
        return size_ - missing_.load(memory_order_relaxed);
    }

    /// What taking or putting back came to.
    struct change {
        std::uint32_t slot = no_index;  ///< no_index: nothing
        bool first = false;             ///< it was the first to be missing, or the last
    };

    /// Takes a slot, which is missing from now on.
    [[nodiscard]] change take() noexcept {
        const std::uint32_t slot = size_ == 0 ? no_index : stack_.pop();
        if (slot == no_index) {
            return {};
        }
        // sync(reserve): seq_cst; see was_full().
        return {slot, missing_.fetch_add(1, memory_order_seq_cst) == 0};
    }

    /// Puts a slot in the place of one that is missing.
    /// Returns: nothing when none is.
    [[nodiscard]] change put_back(std::uint32_t slot) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint32_t found = missing_.load(memory_order_relaxed);
        do {
            if (found == 0) {
                return {};
            }
            // sync(reserve): seq_cst; see was_full(). relaxed on failure: only the word is read.
        } while (!missing_.compare_exchange_weak(found, found - 1, memory_order_seq_cst,
                                                 memory_order_relaxed));
        stack_.push(slot);
        return {slot, found == 1};
    }

private:
    std::uint32_t size_ = 0;
    index_stack::top_word top_;
    atomic<std::uint32_t> missing_;
    unique_object<index_stack::link[]> links_;
    index_stack stack_;
};

}  // namespace zcpool
