// SPDX-License-Identifier: MIT
#pragma once

// A bounded many-to-many queue of slot indices in order of arrival, for slots that must rest before
// they are used again.
//
// Head and tail are counters that only grow; a position is won by adding one, and belongs to a
// cell for one lap round the ring. A cell says for which lap it is ready. The writer puts its index
// there if the cell is still ready for its lap; the reader takes whatever stands there and, in the
// same exchange, makes the cell ready for the next lap. So nobody ever waits for the thread that
// won a position: a reader that comes first takes nothing, and the late writer sees that and takes
// another position; a writer that finds a cell of which the reader has not come takes another one
// too. A thread that is stopped between its two steps delays one hint, and one that dies there
// loses its own or leaves it for the next lap. Rings that hand the cell over by a sequence number
// (Vyukov's and its descendants) wait there, for ever when a process died.
//
// Like the free store it holds hints, not ownership: the sweep of the slot words finds a slot whose
// hint was lost. That is also why every operation is relaxed: the claim of the slot word orders
// what is in the slot.
// Source: R. Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue",
// arXiv:1908.04511, for positions by addition, laps in cells, and neighbours on different lines.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/array_view.hpp>
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
///     head, known tail, tail: a cache line each     then the cells, 64 bits each:
///     [ lap it is ready for, or was written in : 32 ][ index + 1, or 0 : 32 ]
///
/// Zeroed memory is the empty ring. Not for data that may not be lost.
template <template <class> class Atomic = atomic>
class basic_index_ring {
public:
    using counter = Atomic<std::uint64_t>;
    using cell = Atomic<std::uint64_t>;

    /// The counters, on cache lines of their own; those that change with every operation are not
    /// neighbours, of which processors fetch one with the other.
    struct counters {
        alignas(cache_line) counter head;
        /// A tail that readers have seen far ahead of the head: up to there they win positions
        /// without a look at the tail, which writers keep changing. 0: look.
        alignas(cache_line) counter known_tail;
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
    basic_index_ring(counters& positions, array_view<cell> cells) noexcept
        : positions_(&positions),
          cells_(cells),
          lap_bits_(static_cast<std::uint32_t>(std::countr_zero(cells.size()))) {}

    /// Appends an index.
    ///
    /// Expects: `index != no_index`.
    /// Returns: false when the ring was full, or looked so to a thread with an old view.
    /// Complexity: two atomic operations; as many again for each position whose cell it cannot use,
    /// two laps at most.
    /// Concurrency: lock-free; any thread or process. A death inside loses this hint at most.
    bool push(std::uint32_t index) noexcept {
        ZCPOOL_ASSERT(index != no_index, "no_index is not an index");
        for (std::size_t tries = 0; tries < 2 * cells_.size(); ++tries) {
            // relaxed: wins a position; the compare-exchange of the cell publishes the content.
            const std::uint64_t tail = positions_->tail.fetch_add(1, memory_order_relaxed);
            const put_outcome outcome = put(tail, index);
            if (outcome == put_outcome::done) {
                return true;
            }
            // relaxed: a head that is too old only makes the ring look fuller; one beyond our
            // position is negative.
            if (outcome == put_outcome::taken &&
                static_cast<std::int64_t>(tail - positions_->head.load(memory_order_relaxed)) >=
                    static_cast<std::int64_t>(cells_.size())) {
                std::uint64_t mine = tail + 1;
                // relaxed: gives the position back, unless somebody has won the next; then readers
                // pass it by.
                positions_->tail.compare_exchange_strong(mine, tail, memory_order_relaxed,
                                                         memory_order_relaxed);
                return false;
            }
        }
        return false;
    }

    /// Takes the index that waited longest.
    ///
    /// Returns: `no_index` when none was found; not a proof that none is on its way.
    /// Complexity: two atomic operations; as many again for each position whose writer has not
    /// come, two laps at most.
    /// Concurrency: lock-free; any thread or process. A death inside loses one hint at most.
    [[nodiscard]] std::uint32_t pop() noexcept {
        for (std::size_t passed = 0; passed < 2 * cells_.size(); ++passed) {
            // relaxed: only says whether to look first.
            const std::uint64_t known = positions_->known_tail.load(memory_order_relaxed);
            if (known == 0 && !look_at_tail()) {
                return no_index;
            }
            // relaxed: wins a position; the exchange of the cell takes the content, whole or not at
            // all. Several who saw the same last index may win positions beyond the tail; their
            // writers then find a later lap in the cell, and go on.
            const std::uint64_t head = positions_->head.fetch_add(1, memory_order_relaxed);
            if (known != 0 && static_cast<std::int64_t>(known - head) <= 1) {
                // relaxed: a tail that is too old only makes the next reader look.
                remember(positions_->tail.load(memory_order_relaxed), head + 1);
            }
            // relaxed: a hint; the claim of the slot word orders what is in the slot.
            const std::uint64_t found =
                cell_of(head).exchange(ready_for(head + cells_.size()), memory_order_relaxed);
            if (index_in(found) != 0) {
                return index_in(found) - 1;
            }
            if (known != 0) {
                // relaxed: its writer has not come, or what was known is not so: look again.
                positions_->known_tail.store(0, memory_order_relaxed);
            }
        }
        return no_index;
    }

    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return static_cast<std::uint32_t>(cells_.size());
    }

private:
    enum class put_outcome : std::uint8_t {
        done,
        passed,  ///< the position's reader was here before
        taken,   ///< the reader of a lap before has not been here
    };

    /// Puts an index into the cell of a position that the caller has won.
    [[nodiscard]] put_outcome put(std::uint64_t position, std::uint32_t index) noexcept {
        cell& mine = cell_of(position);
        const std::uint64_t ready = ready_for(position);
        // What the reader of the last lap leaves; so no look is needed first.
        std::uint64_t found = ready;
        // relaxed: a hint; the claim of the slot word orders what is in the slot.
        while (!mine.compare_exchange_strong(found, ready | (index + 1), memory_order_relaxed,
                                             memory_order_relaxed)) {
            // The sign of the difference, so that laps may start over.
            if (static_cast<std::int32_t>((found >> 32) - (ready >> 32)) > 0) {
                return put_outcome::passed;
            }
            if (index_in(found) != 0) {
                return put_outcome::taken;
            }
            // Of an older lap: by a reader that was stopped for a lap before its exchange.
        }
        return put_outcome::done;
    }

    /// Whether a position is worth winning, because the tail is ahead of the head. Remembers the
    /// tail where it is far ahead, and brings the two together where they cannot be right.
    [[nodiscard]] bool look_at_tail() noexcept {
        // relaxed: winning the position settles it.
        std::uint64_t head = positions_->head.load(memory_order_relaxed);
        for (;;) {
            // relaxed: a tail that is too old only hides what was appended this moment.
            std::uint64_t tail = positions_->tail.load(memory_order_relaxed);
            // The sign of the difference, so that the counters may start over.
            const auto waiting = static_cast<std::int64_t>(tail - head);
            const auto lap = static_cast<std::int64_t>(cells_.size());
            if (waiting <= 0) {
                if (waiting < 0) {
                    // relaxed: no content moves with it. Readers won positions beyond the tail:
                    // spares writers the way through them.
                    positions_->tail.compare_exchange_strong(tail, head, memory_order_relaxed,
                                                             memory_order_relaxed);
                }
                return false;
            }
            if (waiting <= lap) {
                remember(tail, head);
                return true;
            }
            // More than there are cells: our head is old, writers passed some by, or another
            // process scribbled. Only a lap is worth a look.
            // relaxed: no content moves with it.
            if (positions_->head.compare_exchange_weak(
                    head, tail - cells_.size(), memory_order_relaxed, memory_order_relaxed)) {
                return true;
            }
        }
    }

    /// Spares other readers the look at the tail, if it is far ahead.
    void remember(std::uint64_t tail, std::uint64_t head) noexcept {
        const bool is_far = static_cast<std::int64_t>(tail - head) >
                            1 + static_cast<std::int64_t>(cells_.size() / 16);
        // relaxed: too old or too new, it costs a position that a writer passes by.
        positions_->known_tail.store(is_far ? tail : 0, memory_order_relaxed);
    }

    /// What the cell of a position holds when it may be written.
    [[nodiscard]] std::uint64_t ready_for(std::uint64_t position) const noexcept {
        return position >> lap_bits_ << 32;
    }
    [[nodiscard]] static constexpr std::uint32_t index_in(std::uint64_t content) noexcept {
        return static_cast<std::uint32_t>(content);  // + 1, or 0
    }

    /// Neighbours in the ring lie on different cache lines, where there are enough.
    [[nodiscard]] cell& cell_of(std::uint64_t position) const noexcept {
        const std::uint64_t place = position & (cells_.size() - 1);
        if (lap_bits_ < 2 * line_bits) {
            return cells_[place];
        }
        const std::uint32_t lines = lap_bits_ - line_bits;  // 2 to the power of it
        return cells_[(place & ((std::uint64_t{1} << lines) - 1)) << line_bits | place >> lines];
    }

    static constexpr std::uint32_t line_bits = std::countr_zero(cache_line / sizeof(cell));

    counters* positions_ = nullptr;
    array_view<cell> cells_;
    std::uint32_t lap_bits_ = 0;
};

using index_ring = basic_index_ring<>;

}  // namespace zcpool
