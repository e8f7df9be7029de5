// SPDX-License-Identifier: MIT
#pragma once

// A last-in-first-out stack of indices, each in it once at most: what hands whole magazines from
// thread to thread with one compare-exchange.
//
// The top carries a tag that grows with every change, so that an index that was taken and came back
// meanwhile is not mistaken for one that never left. The links between indices are a list: an index
// that was pushed twice would make a cycle. So this is for indices that have one owner at any time,
// inside one process; slots, which may be claimed behind a store's back, wait in free_store.hpp.
// Source: R. K. Treiber, "Systems programming: coping with parallelism", IBM RJ 5118, 1986.

#include <cstddef>
#include <cstdint>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/ring/free_store.hpp>

namespace zcpool {

/// A view of a stack in memory handed in.
///
///     top: [ changes : 32 ][ index + 1 : 32 ]      link i: what lies below index i, + 1, or 0
///
/// Zeroed memory is the empty stack.
template <template <class> class Atomic = atomic>
class basic_index_stack {
public:
    using top_word = Atomic<std::uint64_t>;
    using link = Atomic<std::uint32_t>;

    basic_index_stack() noexcept = default;

    /// Expects: `links` has an element for each index there is.
    basic_index_stack(top_word& top, array_view<link> links) noexcept : top_(&top), links_(links) {}

    /// Puts an index on top.
    ///
    /// Expects: `index < capacity()`, and it is not in the stack.
    /// Concurrency: lock-free; any thread of the process.
    void push(std::uint32_t index) noexcept {
        ZCPOOL_ASSERT(index < links_.size(), "index beyond the stack's capacity");
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = top_->load(memory_order_relaxed);
        do {
            // relaxed: published by the release below.
            links_[index].store(static_cast<std::uint32_t>(found), memory_order_relaxed);
            // sync(stack): release; what the pusher did to the index's object, and its link, is
            // seen by whoever pops it. relaxed on failure: nothing is read but the word.
        } while (!top_->compare_exchange_weak(found, changed(found, index + 1),
                                              memory_order_release, memory_order_relaxed));
    }

    /// Takes the index that was pushed last; `no_index` when there was none.
    ///
    /// Concurrency: lock-free; any thread of the process.
    [[nodiscard]] std::uint32_t pop() noexcept {
        // sync(stack): acquire; sees the link of the index on top.
        std::uint64_t found = top_->load(memory_order_acquire);
        for (;;) {
            const auto content = static_cast<std::uint32_t>(found);
            if (content == 0) {
                return no_index;
            }
            // relaxed: when the index was taken meanwhile this link is another's, and the tag of
            // the top has changed.
            const auto below = links_[content - 1].load(memory_order_relaxed);
            // sync(stack): acquire; sees what the pusher did to the index's object, and on failure
            // the link of the new top.
            if (top_->compare_exchange_weak(found, changed(found, below), memory_order_acquire,
                                            memory_order_acquire)) {
                return content - 1;
            }
        }
    }

    /// Whether there was nothing in it a moment ago.
    [[nodiscard]] bool was_empty() const noexcept {
        // relaxed: only says whether a pop is worth a try.
        return static_cast<std::uint32_t>(top_->load(memory_order_relaxed)) == 0;
    }

    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return static_cast<std::uint32_t>(links_.size());
    }

private:
    [[nodiscard]] static constexpr std::uint64_t changed(std::uint64_t top,
                                                         std::uint32_t content) noexcept {
        return ((top >> 32) + 1) << 32 | content;
    }

    top_word* top_ = nullptr;
    array_view<link> links_;
};

using index_stack = basic_index_stack<>;

}  // namespace zcpool
