// SPDX-License-Identifier: MIT
#pragma once

// Where free slots wait to be found: a set of indices as a bitmap of two levels, lowest index
// first.
//
// Always taking the lowest index keeps the working set at the number of slots that are really out
// at a time, which is what a last-in-first-out stack is wanted for. Unlike a linked stack it has no
// next links that a double insertion could turn into a cycle: inserting twice is inserting once.
// That matters because slots are also claimed directly from their slot words (sweeps, recovery), so
// that a hint can be late or stand twice.
//
// Threads that begin their search at different words, each on a cache line of its own, do not meet
// while their own word has something: each then keeps a small working set of its own.
//
// What it holds are hints, never ownership: the slot word decides. A hint can be lost when a
// process dies inside push(); the sweep of the slot words finds such a slot.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>

namespace zcpool {

/// What pop() answers when nothing was there.
inline constexpr std::uint32_t no_index = std::numeric_limits<std::uint32_t>::max();

/// A lock-free store of slot indices that may forget one when its user dies, and never makes one
/// up.
template <class Store>
concept free_store = requires(Store store, std::uint32_t index) {
    { store.push(index) } noexcept;
    { store.pop() } noexcept -> std::same_as<std::uint32_t>;
    { store.rebuild() } noexcept;
    { store.capacity() } noexcept -> std::same_as<std::uint32_t>;
};

/// A view of a bitmap in memory handed in, which several processes may map.
///
///     summary word s:  bit w set -> leaf word 64 s + w may have a bit
///     leaf word w:     bit b set -> slot 64 w + b was pushed and not popped
///
/// The summary words first, then each leaf word on a cache line of its own.
/// Zeroed memory is the empty store. Not for hand-over between threads: it has no order in time.
template <template <class> class Atomic = atomic>
class basic_bitmap_store {
public:
    using word = Atomic<std::uint64_t>;

    /// Words of memory for `capacity` indices.
    [[nodiscard]] static constexpr std::size_t words_for(std::uint32_t capacity) noexcept {
        return words_before_leaves(capacity) + leaves_for(capacity) * leaf_stride;
    }

    basic_bitmap_store() noexcept = default;

    /// Expects: `memory` has at least words_for(capacity) words, zeroed or used by a store of the
    /// same capacity.
    basic_bitmap_store(array_view<word> memory, std::uint32_t capacity) noexcept
        : summaries_(memory.first(summaries_for(capacity))),
          leaves_(
              memory.subspan(words_before_leaves(capacity), leaves_for(capacity) * leaf_stride)),
          capacity_(capacity) {}

    /// Adds an index. An index that is in the store already stays in it once.
    ///
    /// Expects: `index < capacity()`.
    /// Complexity: one atomic operation, two when its leaf word was empty.
    /// Concurrency: wait-free; any thread or process. A death inside loses the hint at most.
    void push(std::uint32_t index) noexcept {
        ZCPOOL_ASSERT(index < capacity_, "index beyond the store's capacity");
        put(index / 64, std::uint64_t{1} << (index % 64));
    }

    /// Takes the lowest index that was there, or, with another `start` than 0 (thread_start() is
    /// meant), the lowest behind a place of this start, and then round.
    ///
    /// Returns: `no_index` when none was found. That is not "no free slot": a hint may have been
    /// lost, or be on its way.
    /// Complexity: O(capacity / 4096) loads to find, then one atomic operation.
    /// Concurrency: lock-free; any thread or process.
    [[nodiscard]] std::uint32_t pop(std::uint32_t start = 0) noexcept {
        std::uint32_t index = no_index;
        visit_leaves(start,
                     [&](std::uint32_t leaf) { return take_lowest(leaf, {&index, 1}) != 0; });
        return index;
    }

    /// Adds several indices.
    ///
    /// Expects: each `< capacity()`.
    /// Complexity: an atomic operation for each run of them in the same 64, two where that was
    /// empty.
    /// Concurrency: as push().
    void push_many(array_view<const std::uint32_t> indices) noexcept {
        for (std::size_t i = 0; i < indices.size();) {
            const std::uint32_t leaf = indices[i] / 64;
            std::uint64_t bits = 0;
            for (; i < indices.size() && indices[i] / 64 == leaf; ++i) {
                ZCPOOL_ASSERT(indices[i] < capacity_, "index beyond the store's capacity");
                bits |= std::uint64_t{1} << (indices[i] % 64);
            }
            put(leaf, bits);
        }
    }

    /// Takes up to `into.size()` of the lowest indices that were there, from `start` on as pop().
    ///
    /// Returns: how many, from the front; none as pop().
    /// Complexity: as pop(): one atomic operation for what lies in the same 64; it does not look
    /// further.
    /// Concurrency: lock-free; any thread or process.
    [[nodiscard]] std::size_t pop_many(array_view<std::uint32_t> into,
                                       std::uint32_t start = 0) noexcept {
        std::size_t count = 0;
        visit_leaves(start, [&](std::uint32_t leaf) {
            count = take_lowest(leaf, into);
            return count != 0;
        });
        return count;
    }

    /// Announces every leaf that has a bit, for hints whose pusher died before it could.
    ///
    /// Complexity: O(capacity / 64).
    /// Concurrency: lock-free, repeatable, any number at once.
    void rebuild() noexcept {
        for (std::uint32_t leaf = 0; leaf < leaf_count(); ++leaf) {
            // relaxed: what is missed here is announced by its own pusher.
            if (leaf_at(leaf).load(memory_order_relaxed) != 0) {
                announce(leaf);
            }
        }
    }

    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }

private:
    static constexpr std::size_t leaf_stride = cache_line / sizeof(word);  // words

    [[nodiscard]] static constexpr std::size_t leaves_for(std::uint32_t capacity) noexcept {
        return (std::size_t{capacity} + 63) / 64;
    }
    [[nodiscard]] static constexpr std::size_t summaries_for(std::uint32_t capacity) noexcept {
        return (leaves_for(capacity) + 63) / 64;
    }
    [[nodiscard]] static constexpr std::size_t words_before_leaves(
        std::uint32_t capacity) noexcept {
        return align_up(summaries_for(capacity), leaf_stride);
    }
    [[nodiscard]] std::uint32_t leaf_count() const noexcept {
        return static_cast<std::uint32_t>(leaves_.size() / leaf_stride);
    }
    [[nodiscard]] word& leaf_at(std::uint32_t leaf) const noexcept {
        return leaves_[leaf * leaf_stride];
    }

    void announce(std::uint32_t leaf) noexcept {
        // sync(summary): release; makes the leaf's bit visible to the retract() that reads this
        // bit.
        summaries_[leaf / 64].fetch_or(std::uint64_t{1} << (leaf % 64), memory_order_release);
    }

    /// Clears the summary bit of an empty leaf, and sets it again if the leaf was not empty after
    /// all.
    ///
    /// A push between our look at the leaf and here is one of two: (1) its announce comes after our
    /// fetch_and in the order of the summary word: the bit ends set; (2) it comes before, then we
    /// read it, and see its leaf bit below.
    void retract(std::uint32_t leaf) noexcept {
        // sync(summary): acquire; pairs with announce(), case (2).
        summaries_[leaf / 64].fetch_and(~(std::uint64_t{1} << (leaf % 64)), memory_order_acquire);
        // relaxed: ordered behind the acquire above.
        if (leaf_at(leaf).load(memory_order_relaxed) != 0) {
            announce(leaf);
        }
    }

    void put(std::uint32_t leaf, std::uint64_t bits) noexcept {
        // relaxed: a hint; the claim of the slot word orders what is in the slot.
        if (leaf_at(leaf).fetch_or(bits, memory_order_relaxed) == 0) {
            announce(leaf);
        }
    }

    /// Calls `visit` with each leaf that was announced, from one of `start` on and round to the one
    /// before, until it says that it has what it wants; a leaf where it finds nothing is retracted.
    ///
    /// The leaves where searches start are those up to the last that has something, of the first
    /// 64: so they differ also where only a part of the store is filled, and stay low.
    template <class Visit>
    void visit_leaves(std::uint32_t start, Visit visit) noexcept {
        std::uint32_t first = 0;
        if (start != 0 && leaf_count() > 1) {
            // relaxed: only says where to look.
            const std::uint64_t announced = summaries_[0].load(memory_order_relaxed);
            const auto filled = static_cast<std::uint32_t>(std::bit_width(announced | 1));
            first = start % smaller_of(filled, leaf_count());
        }
        if (!visit_between(first, leaf_count(), visit)) {
            visit_between(0, first, visit);
        }
    }

    /// The same with the leaves from `first` to before `last`.
    template <class Visit>
    bool visit_between(std::uint32_t first, std::uint32_t last, Visit& visit) noexcept {
        std::uint64_t from_first = ~std::uint64_t{0} << (first % 64);
        for (std::uint32_t s = first / 64; s * 64 < last; ++s, from_first = ~std::uint64_t{0}) {
            // relaxed: only says where to look.
            std::uint64_t candidates = summaries_[s].load(memory_order_relaxed) & from_first;
            for (; candidates != 0; candidates &= candidates - 1) {
                const std::uint32_t leaf =
                    s * 64 + static_cast<std::uint32_t>(std::countr_zero(candidates));
                if (leaf >= last) {
                    break;  // shared memory is input: a bit beyond the last leaf means nothing
                }
                if (visit(leaf)) {
                    return true;
                }
                retract(leaf);
            }
        }
        return false;
    }

    /// Takes up to `into.size()` of a leaf's lowest indices.
    /// Returns: how many; none when the leaf was empty.
    [[nodiscard]] std::size_t take_lowest(std::uint32_t leaf,
                                          array_view<std::uint32_t> into) noexcept {
        // relaxed: only says which bits to try.
        std::uint64_t bits = leaf_at(leaf).load(memory_order_relaxed);
        while (bits != 0) {
            std::uint64_t wanted = 0;
            std::uint64_t rest = bits;
            for (std::size_t i = 0; i < into.size() && rest != 0; ++i, rest &= rest - 1) {
                wanted |= rest & (~rest + 1);
            }
            // relaxed: a hint; the claim of the slot word orders what is in the slot.
            const auto before = leaf_at(leaf).fetch_and(~wanted, memory_order_relaxed);
            std::size_t count = 0;
            for (std::uint64_t taken = before & wanted; taken != 0; taken &= taken - 1) {
                const auto index = leaf * 64 + static_cast<std::uint32_t>(std::countr_zero(taken));
                if (index < capacity_) {
                    into[count++] = index;
                }
            }
            if (count != 0) {
                return count;
            }
            bits = before & ~wanted;  // somebody else took them, so somebody made progress
        }
        return 0;
    }

    array_view<word> summaries_;
    array_view<word> leaves_;
    std::uint32_t capacity_ = 0;
};

using bitmap_store = basic_bitmap_store<>;

}  // namespace zcpool
