// SPDX-License-Identifier: MIT
#pragma once

// The slots of a class in arenas: taken in order, given back in any, renewed together.
//
// An arena is one or more whole huge pages, so what is replaced is never a part of one. Who may
// have a slot is decided by its word, here as elsewhere: a slot is taken by claiming it, and an
// arena is renewed by whoever has claimed every slot of it (renewal.hpp). The rest is where to
// look: a count for each arena of the slots that have yet to come back, the arena that is current,
// and numbers of retired ones in the slab's own stores, in which slots would lie otherwise.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/arena_cursor.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/renewal.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/thread_start.hpp>

namespace zcpool {

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
        const class_layout& layout = of.layout();
        debts_.reset(new (std::nothrow) arena_cursor::debt[layout.arenas()]);
        if (!debts_) {
            return fail(errc::out_of_memory);
        }
        of_ = &of;
        cursor_.open({debts_.get(), layout.arenas()}, layout.slots, layout.arena_slots);
        return {};
    }

    /// Says that every arena is ready. Once, when all slots are free.
    void fill_store() noexcept {
        for (std::uint32_t arena = 0; arena < cursor_.arenas(); ++arena) {
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
            if (cursor_.win(arena)) {
                static_cast<void>(open_again(arena, me));
            }
        }
        for (auto arena = of_->resting_.pop(); arena != no_index; arena = of_->resting_.pop()) {
            if (!cursor_.win(arena)) {
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

    /// Gives up this process's share of a slot. Where it is the last of its arena to come back, all
    /// of them can be taken; who waits and gets one wakes the next.
    drop_outcome give_back(slot_record& record, holder_set me) noexcept {
        const auto slot = to_number(record.slot);
        of_->renewer_.note_last_send(record);
        const drop_outcome outcome =
            of_->renewer_.drop(slot, record.generation, of_->word(slot), me);
        ZCPOOL_ASSERT(outcome != drop_outcome::not_held,
                      "released a slot that this process does not hold");
        if (outcome == drop_outcome::freed || outcome == drop_outcome::resting) {
            come_back(cursor_.arena_of(slot));
            // sync(came-back): release; a sweep that starts with this count sees the slot.
            of_->counters().released.fetch_add(1, memory_order_release);
        }
        return outcome;
    }

    /// Renews retired arenas ahead of need, whole ones, until `most` slots are.
    /// Returns: how many; up to an arena more.
    std::size_t renew_resting(holder_set me, std::size_t most) noexcept {
        std::size_t renewed = 0;
        for (auto arena = no_index; renewed < most && (arena = of_->resting_.pop()) != no_index;) {
            if (!cursor_.win(arena)) {
                continue;
            }
            const renewal outcome = make_ready(arena, me);
            cursor_.lose(arena);
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
    [[nodiscard]] std::uint32_t first_of(std::uint32_t arena) const noexcept {
        return cursor_.first_of(arena);
    }
    [[nodiscard]] std::uint32_t slots_in(std::uint32_t arena) const noexcept {
        return cursor_.slots_in(arena);
    }

    /// Takes the next slot of the current arena; null when all were taken.
    [[nodiscard]] slot_record* take_next(holder_set me) noexcept {
        for (auto slot = cursor_.take(); slot != no_index; slot = cursor_.take()) {
            if (slot_record* const record = of_->claim(slot, me)) {
                return record;
            }
            // A sweep was faster, and has borrowed it.
            come_back(cursor_.arena_of(slot));
        }
        return nullptr;
    }

    /// Counts a slot off, and says where to find the arena if it was the last.
    void come_back(std::uint32_t arena) noexcept {
        if (!cursor_.come_back(arena)) {
            return;
        }
        if (needs_renewal(arena)) {
            of_->resting_.push(arena);
        } else {
            of_->store_.push(arena);
        }
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
        const renewal outcome = make_ready(arena, me);
        if (outcome != renewal::cleaned) {
            cursor_.lose(arena);
        } else if (!cursor_.start(arena)) {
            of_->store_.push(arena);
        }
        return outcome;
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
                none.retry_after.count() == 0 ? after : smaller_of(none.retry_after, after);
        };
        bool refused = false;
        // relaxed: any beginning will do.
        const auto begin = of_->sweeps_.fetch_add(1, memory_order_relaxed);
        for (std::uint32_t n = 0; n < cursor_.arenas(); ++n) {
            const auto arena = static_cast<std::uint32_t>((begin + n) % cursor_.arenas());
            if (cursor_.was_in_use(arena)) {
                if (slot_record* const found = take_single(arena, me)) {
                    return {found};
                }
                continue;
            }
            renewal outcome = renewal::lost;
            while (!refused && cursor_.win(arena)) {
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
            if (!cursor_.borrow(arena)) {
                return nullptr;
            }
            if (slot_record* const record = of_->claim(slot, me)) {
                return record;
            }
            come_back(arena);
        }
        return nullptr;
    }

    slab* of_ = nullptr;
    unique_object<arena_cursor::debt[]> debts_;
    arena_cursor cursor_;
};

}  // namespace zcpool
