// SPDX-License-Identifier: MIT
#pragma once

// Which arena slots are taken from, and how many slots of each arena have yet to come back.
//
//     retired --win--> won --start--> current: take() hands its slots out in order
//        ^              |                |
//        |             lose          come_back of all slots, in any order
//        +--------------+----------------+
//
// An arena that starts owes all its slots. Each that comes back is counted off, whether it was used
// or not, and the last one retires the arena: exactly one thread learns of it. An arena is current
// until all its slots were handed out; by then they may be back, so that two arenas never hand out
// at a time.
//
// This says where to look and when. Who may have a slot, and whether its pages are fresh, is
// decided by the slot words alone.

#include <cstdint>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/ring/free_store.hpp>

namespace zcpool {

/// The arenas of a class, by their numbers, as one process sees them.
///
/// Concurrency: lock-free; any thread of the process.
template <template <class> class Atomic = atomic>
class basic_arena_cursor {
public:
    /// What an arena owes; zero when new: retired.
    using debt = Atomic<std::uint32_t>;

    basic_arena_cursor() noexcept = default;

    /// Expects: a debt for each arena of `slots` slots, of which each has `arena_slots`, but
    /// perhaps the last one.
    void open(array_view<debt> debts, std::uint32_t slots, std::uint32_t arena_slots) noexcept {
        debts_ = debts;
        slots_ = slots;
        arena_slots_ = arena_slots;
    }

    [[nodiscard]] std::uint32_t arenas() const noexcept {
        return static_cast<std::uint32_t>(debts_.size());
    }
    /// The arena that a slot lies in.
    [[nodiscard]] std::uint32_t arena_of(std::uint32_t slot) const noexcept {
        return slot / arena_slots_;
    }
    /// The first slot of an arena.
    [[nodiscard]] std::uint32_t first_of(std::uint32_t arena) const noexcept {
        return arena * arena_slots_;
    }
    /// How many slots an arena has: the last one may have fewer.
    [[nodiscard]] std::uint32_t slots_in(std::uint32_t arena) const noexcept {
        return smaller_of(arena_slots_, slots_ - first_of(arena));
    }

    /// Hands out the next slot of the current arena.
    ///
    /// Returns: no_index when all were.
    [[nodiscard]] std::uint32_t take() noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = current_.load(memory_order_relaxed);
        while (has_room(found)) {
            // sync(arena): acquire; sees what the arena owes, and counts off behind it.
            // relaxed on failure: nothing is read but the word.
            if (current_.compare_exchange_weak(found, found + 1, memory_order_acquire,
                                               memory_order_relaxed)) {
                return first_of(arena_in(found)) + static_cast<std::uint32_t>(found);
            }
        }
        return no_index;
    }

    /// Makes a retired arena the caller's, who starts it or loses it again.
    /// Returns: false for what is no retired arena.
    [[nodiscard]] bool win(std::uint32_t arena) noexcept {
        std::uint32_t expected = retired;
        // sync(retired): acquire; sees all slots as they came back.
        // relaxed on failure: nothing is done.
        return arena < arenas() && debts_[arena].compare_exchange_strong(
                                       expected, won, memory_order_acquire, memory_order_relaxed);
    }

    /// Retires a won arena again.
    void lose(std::uint32_t arena) noexcept {
        // sync(retired): release; who wins it next sees what was done to its slots.
        debts_[arena].store(retired, memory_order_release);
    }

    /// Makes a won arena the current one, unless there is one that has slots left.
    ///
    /// Returns: false when it is retired again instead: say where to find it.
    [[nodiscard]] bool start(std::uint32_t arena) noexcept {
        // relaxed: seen by those who take from it by the release below; others only add to it.
        debts_[arena].store(slots_in(arena), memory_order_relaxed);
        const std::uint64_t front = std::uint64_t{arena + 1} << 32;
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = current_.load(memory_order_relaxed);
        while (!has_room(found)) {
            // sync(arena): release; whoever takes a slot of it sees what it owes.
            // relaxed on failure: nothing is read but the word.
            if (current_.compare_exchange_weak(found, front, memory_order_release,
                                               memory_order_relaxed)) {
                return true;
            }
        }
        return !come_back(arena, slots_in(arena));
    }

    /// Counts off slots that came back, or that were handed out and had to be left to others.
    ///
    /// Returns: whether they were the last, and the arena is retired: say where to find it.
    [[nodiscard]] bool come_back(std::uint32_t arena, std::uint32_t slots = 1) noexcept {
        // sync(retired): acq_rel; the last one, and who wins the arena, see how all came back.
        // sync(wake): seq_cst; a waiter's sweep sees it, or we see the waiter (pool/waiting.hpp).
        return debts_[arena].fetch_sub(slots, memory_order_seq_cst) == slots;
    }

    /// Lets an arena owe one slot more, for one that is taken out of order.
    ///
    /// Returns: false when it owes nothing.
    [[nodiscard]] bool borrow(std::uint32_t arena) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint32_t found = debts_[arena].load(memory_order_relaxed);
        while (found != retired && found != won) {
            // relaxed: a count; the word of the slot orders what is in it.
            if (debts_[arena].compare_exchange_weak(found, found + 1, memory_order_relaxed,
                                                    memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    /// Whether an arena owed slots a moment ago: it comes back by a release only.
    [[nodiscard]] bool was_in_use(std::uint32_t arena) const noexcept {
        // sync(wake): seq_cst; see come_back().
        const std::uint32_t found = debts_[arena].load(memory_order_seq_cst);
        return found != retired && found != won;
    }

private:
    static constexpr std::uint32_t retired = 0;
    static constexpr std::uint32_t won = ~std::uint32_t{0};

    // current_: [ arena + 1, or 0 for none : 32 ][ slots that were handed out : 32 ]
    [[nodiscard]] static std::uint32_t arena_in(std::uint64_t current) noexcept {
        return static_cast<std::uint32_t>(current >> 32) - 1;
    }
    [[nodiscard]] bool has_room(std::uint64_t current) const noexcept {
        return current != 0 && static_cast<std::uint32_t>(current) < slots_in(arena_in(current));
    }

    array_view<debt> debts_;
    std::uint32_t slots_ = 0;
    std::uint32_t arena_slots_ = 1;
    alignas(cache_line) Atomic<std::uint64_t> current_;
};

using arena_cursor = basic_arena_cursor<>;

}  // namespace zcpool
