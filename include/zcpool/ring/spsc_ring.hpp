// SPDX-License-Identifier: MIT
#pragma once

// A bounded queue of 16-byte messages from one producer to one consumer, who may be two processes
// that do not trust each other.
//
// A message carries its lap round the ring in its own cell, so that the consumer waits on the cell
// alone: a message costs the transfer of one cache line, where a tail beside the cells costs two.
// The only shared position is how many messages were taken; the producer looks at it when its copy
// says that the ring is full, or to learn what was taken. It changes by compare-exchange, so that
// the producer can take the oldest message back when its user would rather lose that than the
// newest; else only the consumer moves it.
//
// Either side may die anywhere: what was pushed whole is there, the rest is not, and nobody waits.
// What a hostile peer writes spoils messages, never memory: cells are found by a mask, positions
// are checked, and a message is copied out once, before anything is made of it. Source: J.
// Giacomoni et al., "FastForward for Efficient Pipeline Parallelism", PPoPP 2008, for cells that
// say themselves whether they are full; rigtorp::SPSCQueue for private copies of the other side's
// position.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>

namespace zcpool {

/// What a ring carries. The low 51 bits of `first` are the message's, and all of `second`.
struct ring_message {
    std::uint64_t first = 0;
    std::uint64_t second = 0;

    friend bool operator==(const ring_message&, const ring_message&) = default;
};

/// Memory of such a ring, and what both sides make of a cell.
///
///     cell: [ lap + 1, modulo 2^13 : 13 ][ first : 51 ][ second : 64 ]
///
/// Zeroed memory is the empty ring.
template <template <class> class Atomic = atomic>
struct basic_spsc_memory {
    using position = Atomic<std::uint64_t>;
    /// A message as it lies in the ring: two words.
    struct cell {
        Atomic<std::uint64_t> first;
        Atomic<std::uint64_t> second;
    };

    static constexpr unsigned message_bits = 51;
    static constexpr std::uint64_t message_mask = (std::uint64_t{1} << message_bits) - 1;

    /// Expects: a power of two many cells.
    basic_spsc_memory(array_view<cell> with, position& counter) noexcept
        : cells(with),
          taken(&counter),
          lap_shift(static_cast<unsigned>(std::countr_zero(with.size()))) {
        ZCPOOL_ASSERT(std::has_single_bit(with.size()), "cells are found by a mask");
    }

    /// The cell of a position.
    [[nodiscard]] cell& at(std::uint64_t where) const noexcept {
        return cells[static_cast<std::size_t>(where) & (cells.size() - 1)];
    }
    /// What stands above the message in the cell of a position.
    [[nodiscard]] std::uint64_t lap_of(std::uint64_t where) const noexcept {
        return ((where >> lap_shift) + 1) << message_bits;
    }

    array_view<cell> cells;
    position* taken;
    unsigned lap_shift;
};

/// What taking a message back came to.
enum class take_back_outcome : std::uint8_t {
    taken_back,  ///< the oldest message is not in the ring any more
    too_late,    ///< the consumer has it, or there was none
    corrupt,     ///< the position cannot be
};

/// The writing side. One thread at a time.
template <template <class> class Atomic = atomic>
class basic_spsc_producer {
public:
    using memory = basic_spsc_memory<Atomic>;

    /// `begin`: of all that was ever pushed, how many messages; 0 for zeroed memory.
    explicit basic_spsc_producer(memory where, std::uint64_t begin = 0) noexcept
        : memory_(where), pushed_(begin), taken_(begin) {}

    /// Appends a message.
    ///
    /// Expects: `message.first < 2^51`.
    /// Returns: false when the ring is full as far as refresh() has told.
    /// Complexity: two stores. Concurrency: wait-free; a death inside leaves no message.
    [[nodiscard]] bool try_push(ring_message message) noexcept {
        ZCPOOL_ASSERT((message.first & ~memory::message_mask) == 0, "the ring's own bits");
        if (!has_room()) {
            return false;
        }
        auto& cell = memory_.at(pushed_);
        // sync(half): release; who sees this sees that the message before was taken back.
        cell.second.store(message.second, memory_order_release);
        // sync(ring): release; the message is whole, and so is what it is about.
        // sync(channel): seq_cst; the consumer sees it, or we see that it sleeps.
        cell.first.store(memory_.lap_of(pushed_) | message.first, memory_order_seq_cst);
        ++pushed_;
        return true;
    }

    /// Looks at what was taken.
    ///
    /// Returns: false when the position goes back or lies ahead of what was pushed: the peer is
    /// broken or hostile. It is then as it was.
    /// Concurrency: wait-free.
    [[nodiscard]] bool refresh() noexcept {
        // sync(ring): acquire; what the consumer did with the messages that it took.
        // sync(channel): seq_cst; we see the room, or the consumer sees that we sleep.
        return accept(memory_.taken->load(memory_order_seq_cst));
    }

    /// Takes the oldest message back.
    /// Concurrency: wait-free.
    [[nodiscard]] take_back_outcome take_back() noexcept {
        std::uint64_t oldest = taken_;
        if (oldest == pushed_) {
            return take_back_outcome::too_late;
        }
        // sync(ring): acquire; on failure as in refresh().
        if (memory_.taken->compare_exchange_strong(oldest, oldest + 1, memory_order_acquire,
                                                   memory_order_acquire)) {
            ++taken_;
            return take_back_outcome::taken_back;
        }
        return accept(oldest) ? take_back_outcome::too_late : take_back_outcome::corrupt;
    }

    /// Whether try_push() would do it.
    [[nodiscard]] bool has_room() const noexcept {
        return pushed_ - taken_ != memory_.cells.size();
    }

    /// Messages pushed, and those that were taken as far as refresh() has told; both only grow.
    [[nodiscard]] std::uint64_t pushed() const noexcept { return pushed_; }
    [[nodiscard]] std::uint64_t was_taken() const noexcept { return taken_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return memory_.cells.size(); }

private:
    [[nodiscard]] bool accept(std::uint64_t taken) noexcept {
        if (taken - taken_ > pushed_ - taken_) {
            return false;
        }
        taken_ = taken;
        return true;
    }

    memory memory_;
    std::uint64_t pushed_;
    std::uint64_t taken_;
};

/// The reading side. One thread at a time.
template <template <class> class Atomic = atomic>
class basic_spsc_consumer {
public:
    using memory = basic_spsc_memory<Atomic>;

    /// `begin`: as the producer's.
    explicit basic_spsc_consumer(memory where, std::uint64_t begin = 0) noexcept
        : memory_(where), position_(begin) {}

    /// A copy of the oldest message, which stays in the ring. Both halves are of the same message,
    /// also of one that is being taken back.
    ///
    /// Returns: nothing when there is none.
    /// Complexity: three loads.
    /// Concurrency: lock-free; again for each message that the producer took back meanwhile.
    [[nodiscard]] std::optional<ring_message> peek() noexcept {
        for (std::size_t tries = 0; tries <= memory_.cells.size(); ++tries) {
            auto& cell = memory_.at(position_);
            // sync(ring): acquire; the message, and what it is about.
            // sync(channel): seq_cst; we see it, or the producer sees that we sleep.
            const std::uint64_t first = cell.first.load(memory_order_seq_cst);
            if ((first & ~memory::message_mask) == memory_.lap_of(position_)) {
                // sync(half): acquire; if it is that of a later message, the look below shows that
                // the first half's was taken back.
                const std::uint64_t second = cell.second.load(memory_order_acquire);
                // relaxed: behind the acquire.
                const std::uint64_t taken = memory_.taken->load(memory_order_relaxed);
                if (taken == position_) {
                    return ring_message{first & memory::message_mask, second};
                }
                position_ = taken;
                continue;
            }
            // relaxed: the producer may have taken messages back; their cells order the rest.
            // again: the other look is that of the other branch.
            const std::uint64_t taken = memory_.taken->load(memory_order_relaxed);
            if (taken == position_) {
                break;
            }
            position_ = taken;
        }
        return std::nullopt;
    }

    /// Takes the message that peek() showed.
    ///
    /// Returns: false when the producer had taken it back: nothing was taken, what was made of the
    /// copy must be undone.
    /// Concurrency: wait-free; a death before it leaves the message in the ring.
    [[nodiscard]] bool pop() noexcept {
        std::uint64_t mine = position_;
        // sync(ring): acq_rel; the producer sees that we have done with the message.
        // sync(channel): seq_cst; the producer sees the room, or we see that it sleeps.
        // relaxed on failure: as in peek().
        const bool done = memory_.taken->compare_exchange_strong(
            mine, mine + 1, memory_order_seq_cst, memory_order_relaxed);
        position_ = done ? position_ + 1 : mine;
        return done;
    }

private:
    memory memory_;
    std::uint64_t position_;
};

using spsc_memory = basic_spsc_memory<>;
using spsc_producer = basic_spsc_producer<>;
using spsc_consumer = basic_spsc_consumer<>;
static_assert(sizeof(spsc_memory::cell) == 16, "four messages share a cache line");

}  // namespace zcpool
