// SPDX-License-Identifier: MIT
#pragma once

// A bounded many-to-many queue of slot indices in order of arrival, for slots that must rest before
// they are used again.
//
// Head and tail are counters that only grow; a position is won by a compare-exchange on its counter
// and its cell is then read or written by one exchange. Nobody ever waits for the thread that won a
// position: a reader that comes before the writer's exchange takes nothing and goes on, and a
// writer that pushes old content out of its cell a lap later appends that again. So a thread that
// is stopped between its two steps delays one hint, and one that dies there loses it. Rings that
// hand the cell over by a sequence number (Vyukov's and its descendants) wait there, for ever when
// a process died.
//
// Like the free store it holds hints, not ownership: the sweep of the slot words finds a slot whose
// hint was lost. That is also why every operation is relaxed: the claim of the slot word orders
// what is in the slot.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/ring/free_store.hpp>

namespace zcpool {

/// A bounded queue of slot indices that may forget one when its user dies in the middle, and never
/// makes one up.
template <class Ring>
concept hint_ring = requires(Ring ring, std::uint32_t index) {
    { ring.push(index) } noexcept -> std::same_as<bool>;
    { ring.pop() } noexcept -> std::same_as<std::uint32_t>;
    { ring.capacity() } noexcept -> std::same_as<std::uint32_t>;
};

/// A view of a ring in memory handed in, which several processes may map.
///
///     words 0..7: head in word 0    words 8..15: tail in word 8    then the cells, 32 bits each:
///     index + 1, or 0
///
/// Zeroed memory is the empty ring. Not for data that may not be lost.
template <template <class> class Atomic = atomic>
class basic_index_ring {
public:
    using counter = Atomic<std::uint64_t>;
    using cell = Atomic<std::uint32_t>;

    /// The two counters, on cache lines of their own.
    struct counters {
        alignas(cache_line) counter head;
        alignas(cache_line) counter tail;
    };

    /// Cells of memory for at least `capacity` indices: a power of two, so that a position becomes
    /// a cell by a mask.
    [[nodiscard]] static constexpr std::uint32_t cells_for(std::uint32_t capacity) noexcept {
        return std::bit_ceil(capacity == 0 ? 1U : capacity);
    }

    basic_index_ring() noexcept = default;

    /// Expects: `cells` has cells_for(n) elements; everything zeroed or used by a ring of the same
    /// size.
    basic_index_ring(counters& positions, std::span<cell> cells) noexcept
        : positions_(&positions), cells_(cells) {}

    /// Appends an index.
    ///
    /// Expects: `index != no_index`.
    /// Returns: false when the ring was full, or looked so to a thread with an old view.
    /// Concurrency: lock-free; any thread or process. A death inside loses this hint at most.
    bool push(std::uint32_t index) noexcept {
        ZCPOOL_ASSERT(index != no_index, "no_index is not an index");
        std::uint64_t tail = 0;
        if (!win_tail(tail)) {
            return false;
        }
        for (std::uint32_t content = index + 1;;) {
            // relaxed: a hint; the claim of the slot word orders what is in the slot.
            content = cells_[cell_of(tail)].exchange(content, memory_order_relaxed);
            // What stood here belongs to a reader or a writer that was stopped a lap ago. Appending
            // it can push out another, each of a thread that was stopped; when there is no room the
            // sweep finds it.
            if (content == 0 || !win_tail(tail)) {
                return true;
            }
        }
    }

    /// Takes the index that waited longest.
    ///
    /// Returns: `no_index` when none was found; not a proof that none is on its way.
    /// Concurrency: lock-free; any thread or process. A death inside loses this hint at most.
    [[nodiscard]] std::uint32_t pop() noexcept {
        // relaxed: the compare-exchange below settles it.
        std::uint64_t head = positions_->head.load(memory_order_relaxed);
        for (;;) {
            // relaxed: a tail that is too old only hides what was appended this moment.
            const std::uint64_t tail = positions_->tail.load(memory_order_relaxed);
            // The sign of the difference, so that the counters may start over.
            const auto waiting = static_cast<std::int64_t>(tail - head);
            if (waiting <= 0) {
                return no_index;
            }
            // More than there are cells: our head is old, or another process scribbled. Only a lap
            // is worth a look.
            const std::uint64_t next = waiting > static_cast<std::int64_t>(cells_.size())
                                           ? tail - cells_.size()
                                           : head + 1;
            // relaxed: win the position; the exchange of the cell takes the content, whole or not
            // at all.
            if (!positions_->head.compare_exchange_weak(head, next, memory_order_relaxed,
                                                        memory_order_relaxed)) {
                continue;
            }
            if (next != head + 1) {
                head = next;
                continue;
            }
            // relaxed: a hint; the claim of the slot word orders what is in the slot.
            const auto content = cells_[cell_of(head)].exchange(0, memory_order_relaxed);
            if (content != 0) {
                return content - 1;
            }
            ++head;  // its writer has not come yet; what it will leave is found a lap later, or by
                     // the sweep
        }
    }

    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return static_cast<std::uint32_t>(cells_.size());
    }

private:
    /// Wins the next position to write.
    /// Returns: false when there is none.
    [[nodiscard]] bool win_tail(std::uint64_t& tail) noexcept {
        // relaxed: the compare-exchange below settles it.
        tail = positions_->tail.load(memory_order_relaxed);
        for (;;) {
            // relaxed: a head that is too old only makes the ring look fuller.
            if (tail - positions_->head.load(memory_order_relaxed) >= cells_.size()) {
                // relaxed: (1) full, unless our tail is older than that head: then try again.
                if (const auto now = positions_->tail.load(memory_order_relaxed); now != tail) {
                    tail = now;
                    continue;
                }
                return false;
            }
            // relaxed: (2) win the position; the cell's exchange publishes the content.
            if (positions_->tail.compare_exchange_weak(tail, tail + 1, memory_order_relaxed,
                                                       memory_order_relaxed)) {
                return true;
            }
        }
    }

    [[nodiscard]] std::size_t cell_of(std::uint64_t position) const noexcept {
        return position & (cells_.size() - 1);
    }

    counters* positions_ = nullptr;
    std::span<cell> cells_;
};

using index_ring = basic_index_ring<>;

}  // namespace zcpool
