// SPDX-License-Identifier: MIT
#pragma once

// The slots of a class in arenas: taken in order, given back in any, renewed together.
//
//     ready ----> current: slots are taken from its front ----> all taken ----> all back: retired
//       ^                                                                           |
//       +---- none of its slots was lent, or the whole was renewed -----------------+
//
// An arena is one or more whole huge pages, so what is replaced is never a part of one. Who may
// have a slot is decided by its word, here as elsewhere: a slot is taken by claiming it, and an
// arena is renewed by whoever has claimed every slot of it (renewal.hpp). The rest is where to
// look: a count for each arena of the slots that have yet to come back, the arena that is current,
// and numbers of retired ones in the slab's own stores, in which slots would lie otherwise.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/renewal.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/thread_start.hpp>

namespace zcpool {

/// What giving a slot back came to.
struct arena_release {
    drop_outcome outcome = drop_outcome::not_held;
    std::uint32_t available = 0;  ///< slots that can be taken since, for which others may wait
};

/// A slab whose slots lie in arenas. What it knows beside the slab is this process's alone.
///
/// Concurrency: lock-free; any thread of one process. Not for several, which may die in between.
class slab_arenas {
public:
    /// Takes over a slab. Once, before use.
    ///
    /// Expects: its layout has arenas; it outlives this.
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(slab& of) noexcept {
        of_ = &of;
        count_ = of.layout().arenas();
        pending_.reset(new (std::nothrow) atomic<std::uint32_t>[count_] {});
        return pending_ ? result<void>{} : fail(errc::out_of_memory);
    }

    /// Says that every arena is ready. Once, when all slots are free.
    void fill_store() noexcept {
        for (std::uint32_t arena = 0; arena < count_; ++arena) {
            of_->store_.push(arena);
        }
    }

    /// Takes the next slot of the current arena, or the first of another one: of one that needs no
    /// renewal, else of the longest-resting, which is renewed first; else what a sweep finds.
    /// Finds nothing while another thread renews the last arena that there is.
    [[nodiscard]] taken_slot take(holder_set me, search how) noexcept {
        for (;;) {
            if (slot_record* const next = take_next(me)) {
                return {next};
            }
            const std::uint32_t arena = of_->store_.pop(thread_start());
            if (arena == no_index) {
                break;
            }
            if (win(arena)) {
                static_cast<void>(open_again(arena, me));
            }
        }
        for (auto arena = of_->resting_.pop(); arena != no_index; arena = of_->resting_.pop()) {
            if (!win(arena)) {
                continue;  // an old hint
            }
            const renewal outcome = open_again(arena, me);
            if (outcome == renewal::over_budget) {
                of_->resting_.push(arena);
                break;  // the sweep says when
            }
            if (slot_record* const next = take_next(me)) {
                return {next};
            }
        }
        return sweep(me, how);
    }

    /// Gives up this process's share of a slot.
    arena_release give_back(slot_record& record, holder_set me) noexcept {
        const auto slot = to_number(record.slot);
        of_->renewer_.note_last_send(record);
        arena_release done{of_->word(slot).drop(record.generation, me), 0};
        ZCPOOL_ASSERT(done.outcome != drop_outcome::not_held,
                      "released a slot that this process does not hold");
        if (done.outcome == drop_outcome::not_held || done.outcome == drop_outcome::still_held) {
            return done;
        }
        const std::uint32_t arena = slot / of_->layout_.arena_slots;
        if (come_back(arena, 1)) {
            done.available = slots_in(arena);
        } else if (done.outcome == drop_outcome::freed) {
            done.available = 1;  // a sweep may take it
        }
        // sync(came-back): release; a sweep that starts with this count sees the slot.
        of_->counters().released.fetch_add(1, memory_order_release);
        return done;
    }

    /// Renews retired arenas ahead of need, whole ones, until `most` slots are.
    /// Returns: how many; up to an arena more.
    std::size_t renew_resting(holder_set me, std::size_t most) noexcept {
        std::size_t renewed = 0;
        for (auto arena = no_index; renewed < most && (arena = of_->resting_.pop()) != no_index;) {
            if (!win(arena)) {
                continue;
            }
            const renewal outcome = make_ready(arena, me);
            lose(arena);
            if (outcome == renewal::over_budget) {
                of_->resting_.push(arena);
                break;
            }
            if (outcome == renewal::cleaned) {
                of_->store_.push(arena);
                renewed += slots_in(arena);
            }
        }
        return renewed;
    }

private:
    // What pending_ says beside a count: nobody has a slot of the arena; somebody won it.
    static constexpr std::uint32_t retired = 0;
    static constexpr std::uint32_t taken = ~std::uint32_t{0};

    [[nodiscard]] std::uint32_t first_of(std::uint32_t arena) const noexcept {
        return arena * of_->layout_.arena_slots;
    }
    [[nodiscard]] std::uint32_t slots_in(std::uint32_t arena) const noexcept {
        return of_->layout_.slots_in(arena);
    }

    // current_: [ arena + 1, or 0 for none : 32 ][ its slots that were taken : 32 ]
    [[nodiscard]] static std::uint32_t arena_in(std::uint64_t current) noexcept {
        return static_cast<std::uint32_t>(current >> 32) - 1;
    }
    [[nodiscard]] bool has_room(std::uint64_t current) const noexcept {
        return current != 0 && static_cast<std::uint32_t>(current) < slots_in(arena_in(current));
    }

    /// Takes the next slot of the current arena; null when all were taken.
    [[nodiscard]] slot_record* take_next(holder_set me) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = current_.load(memory_order_relaxed);
        while (has_room(found)) {
            // sync(arena): acquire; sees the count of slots that have yet to come back.
            // relaxed on failure: nothing is read but the word.
            if (!current_.compare_exchange_weak(found, found + 1, memory_order_acquire,
                                                memory_order_relaxed)) {
                continue;
            }
            const std::uint32_t arena = arena_in(found);
            if (slot_record* const record =
                    of_->claim(first_of(arena) + static_cast<std::uint32_t>(found), me)) {
                return record;
            }
            // A sweep was faster, and has counted it.
            static_cast<void>(come_back(arena, 1));
            found += 1;
        }
        return nullptr;
    }

    /// Makes a retired arena the caller's to decide about; it must be made current or retired
    /// again. Returns: false for what is no retired arena.
    [[nodiscard]] bool win(std::uint32_t arena) noexcept {
        std::uint32_t expected = retired;
        // sync(retired): acquire; sees all slots as they came back. relaxed on failure: nothing is
        // done.
        return arena < count_ && pending_[arena].compare_exchange_strong(
                                     expected, taken, memory_order_acquire, memory_order_relaxed);
    }
    void lose(std::uint32_t arena) noexcept {
        // sync(retired): release; who wins it next sees what was done to its slots.
        pending_[arena].store(retired, memory_order_release);
    }

    /// Counts slots that came back. The last one retires the arena and says where to find it.
    /// Returns: whether it did.
    [[nodiscard]] bool come_back(std::uint32_t arena, std::uint32_t slots) noexcept {
        // sync(retired): acq_rel; the last one, and who wins the arena, see how all came back.
        // sync(wake): seq_cst; a waiter's sweep sees it, or we see the waiter (pool/waiting.hpp).
        if (pending_[arena].fetch_sub(slots, memory_order_seq_cst) != slots) {
            return false;
        }
        needs_renewal(arena) ? static_cast<void>(of_->resting_.push(arena))
                             : of_->store_.push(arena);
        return true;
    }

    /// Whether the kernel has or may have a slot of an arena: it was lent since the last renewal.
    [[nodiscard]] bool needs_renewal(std::uint32_t arena) const noexcept {
        const std::uint32_t first = first_of(arena);
        for (std::uint32_t slot = first; slot < first + slots_in(arena); ++slot) {
            if ((of_->word(slot).was().holders & kernel_holder) != 0) {
                return true;
            }
        }
        return false;
    }

    /// Renews a won arena, if one of its slots was lent.
    [[nodiscard]] renewal make_ready(std::uint32_t arena, holder_set me) noexcept {
        const auto word = [this](std::uint32_t slot) -> slot_word& { return of_->word(slot); };
        return needs_renewal(arena)
                   ? of_->renewer_.clean_arena(first_of(arena), slots_in(arena), word, me)
                   : renewal::cleaned;
    }

    /// Makes a won arena ready and current; or ready alone, where another one is current by now.
    [[nodiscard]] renewal open_again(std::uint32_t arena, holder_set me) noexcept {
        if (const renewal outcome = make_ready(arena, me); outcome != renewal::cleaned) {
            lose(arena);
            return outcome;
        }
        // relaxed: seen by those who take from it by the release below.
        pending_[arena].store(slots_in(arena), memory_order_relaxed);
        const std::uint64_t front = std::uint64_t{arena + 1} << 32;
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = current_.load(memory_order_relaxed);
        while (!has_room(found)) {
            // sync(arena): release; whoever takes a slot of it sees the count.
            // relaxed on failure: nothing is read but the word.
            if (current_.compare_exchange_weak(found, front, memory_order_release,
                                               memory_order_relaxed)) {
                return renewal::cleaned;
            }
        }
        static_cast<void>(come_back(arena, slots_in(arena)));
        return renewal::cleaned;
    }

    /// Looks at all arenas, as hints may be lost: only then is "exhausted" the truth. Of an arena
    /// of which no slot was lent it takes also a single free one: there is nothing to be renewed.
    ///
    /// Noted and not repeated as slab::sweep() is.
    [[nodiscard]] taken_slot sweep(holder_set me, search how) noexcept {
        // sync(came-back): acquire; what came back before the count was read is seen below.
        const auto came_back = of_->counters().released.load(memory_order_acquire);
        // relaxed: a note to ourselves; missing it costs a sweep.
        if (how == search::quick && of_->all_in_use_.load(memory_order_relaxed) == came_back + 1) {
            return {};
        }
        taken_slot none;
        const auto look_again = [&none](std::chrono::milliseconds after) {
            none.retry_after =
                none.retry_after.count() == 0 ? after : std::min(none.retry_after, after);
        };
        bool refused = false;
        // relaxed: any beginning will do.
        const auto begin = of_->sweeps_.fetch_add(1, memory_order_relaxed);
        for (std::uint32_t n = 0; n < count_; ++n) {
            const auto arena = static_cast<std::uint32_t>((begin + n) % count_);
            // sync(wake): seq_cst; see come_back().
            const std::uint32_t pending = pending_[arena].load(memory_order_seq_cst);
            if (pending != retired && pending != taken) {
                if (slot_record* const found = take_single(arena, me)) {
                    return {found};
                }
                continue;
            }
            renewal outcome = renewal::lost;
            while (!refused && win(arena)) {
                outcome = open_again(arena, me);
                if (outcome != renewal::cleaned) {
                    break;
                }
                if (slot_record* const next = take_next(me)) {
                    return {next};
                }
                // Others have taken all of the one that was current instead, or of this one.
            }
            // Either comes back without a release.
            look_again(outcome == renewal::over_budget ? of_->renewer_.period()
                                                       : slab::short_while);
            refused = refused || outcome == renewal::failed;
        }
        if (slot_record* const next = take_next(me)) {
            return {next};
        }
        if (none.retry_after.count() == 0) {
            // relaxed: a note to ourselves.
            of_->all_in_use_.store(came_back + 1, memory_order_relaxed);
        }
        return none;
    }

    /// Takes a free slot out of order, of an arena that has slots in use, none of which was lent.
    [[nodiscard]] slot_record* take_single(std::uint32_t arena, holder_set me) noexcept {
        if (needs_renewal(arena)) {
            return nullptr;
        }
        const std::uint32_t first = first_of(arena);
        for (std::uint32_t slot = first; slot < first + slots_in(arena); ++slot) {
            if (of_->word(slot).was().state != slot_state::free) {
                continue;
            }
            if (!borrow(arena)) {
                return nullptr;
            }
            if (slot_record* const record = of_->claim(slot, me)) {
                return record;
            }
            static_cast<void>(come_back(arena, 1));
        }
        return nullptr;
    }

    /// Counts one more slot that has yet to come back. Returns: false when all have.
    [[nodiscard]] bool borrow(std::uint32_t arena) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint32_t found = pending_[arena].load(memory_order_relaxed);
        while (found != retired && found != taken) {
            // relaxed: a count; the word of the slot orders what is in it.
            if (pending_[arena].compare_exchange_weak(found, found + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                return true;
            }
        }
        return false;
    }

    slab* of_ = nullptr;
    std::uint32_t count_ = 0;
    std::unique_ptr<atomic<std::uint32_t>[]> pending_;  // of each arena
    alignas(cache_line) atomic<std::uint64_t> current_;
};

}  // namespace zcpool
