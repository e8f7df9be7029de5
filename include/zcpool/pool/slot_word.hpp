// SPDX-License-Identifier: MIT
#pragma once

// The word that decides who owns a slot, and every step that it can take.
//
//     FREE --claim--> OWNED --publish--> PUBLISHED --lend--> PUBLISHED + kernel
//      ^                |                    |                    |
//      |               drop                 drop            drop: "resting", the kernel bit alone
//      +----------------+--------------------+                    | claim_resting
//      |                | drop_to_clean      |                    |
//      ^                +--------------------+------------------> v
//      +------------- finish_cleaning ------------------------ CLEANING --quarantine--> QUARANTINE
//      |                                                                  (claim_resting again)
//      +-- claim, then trim --> TRIMMED --claim_trimmed--> CLEANING
//
// "Am I the last" and "free it" are one compare-exchange, so a process may die at any instruction:
// repeating the step or sweeping puts it right. Sets can be corrected after a death because setting
// or clearing a bit twice does no harm; a shared count could not.

#include <cstdint>
#include <optional>

#include <zcpool/base/atomic.hpp>
#include <zcpool/pool/slot_status.hpp>

namespace zcpool {

/// What drop() left behind.
enum class drop_outcome : std::uint8_t {
    still_held,  ///< others hold the slot
    freed,       ///< this was the last holder; the slot is free
    cleaning,    ///< this was the last holder, which zeroes the slot, then free_cleaned()
    resting,     ///< only the kernel may still read it; its pages must be replaced first
    not_held,    ///< misuse: the caller did not hold this generation; nothing was changed
};

/// What accept() came to.
enum class accept_outcome : std::uint8_t {
    accepted,      ///< we hold the slot
    mine_already,  ///< another thread of this process is about to give its share up, or to use it
    gone,          ///< the peer does not hold this generation any more
};

/// What reap() did.
enum class reap_outcome : std::uint8_t {
    untouched,   ///< the dead had no part in the slot
    still_held,  ///< their shares are gone; others hold the slot
    resting,     ///< they were the last holders; only the kernel may still read it
    taken_over,  ///< the recoverer cleans it: new pages, then free_cleaned() or quarantine()
};

/// One slot's word. Several processes map it; all its steps are lock-free and none waits.
template <template <class> class Atomic = atomic>
class basic_slot_word {
public:
    /// Takes a free slot.
    ///
    /// Returns: its generation, or nothing when it was not free. What its last holder wrote is
    /// visible.
    std::optional<std::uint32_t> claim(holder_set me) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = word_.load(memory_order_relaxed);
        for (;;) {
            const slot_status now = decode(found);
            if (now.state != slot_state::free || now.holders != 0) {
                return std::nullopt;
            }
            // sync(slot): acquire; sees what the holder that freed the slot did to it.
            // relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(found, encode({now.generation, slot_state::owned, me}),
                                            memory_order_acquire, memory_order_relaxed)) {
                return now.generation;
            }
        }
    }

    /// Makes the owner's content readable for others.
    /// Returns: false when `me` did not own this generation.
    bool publish(std::uint32_t generation, holder_set me) noexcept {
        std::uint64_t expected = encode({generation, slot_state::owned, me});
        // sync(slot): release; what the owner wrote is visible to whoever is granted the slot.
        // relaxed on failure: nothing is done.
        return word_.compare_exchange_strong(expected,
                                             encode({generation, slot_state::published, me}),
                                             memory_order_acq_rel, memory_order_relaxed);
    }

    /// Adds holders to a published slot: another process, or the kernel.
    ///
    /// Expects: the caller holds the slot, so the set never passes through empty. A process is
    /// granted its share through process_registry::grant(), which knows whether it still lives.
    /// Returns: false when `me` does not hold this generation as published.
    bool grant(std::uint32_t generation, holder_set me, holder_set others) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = word_.load(memory_order_relaxed);
        for (;;) {
            const slot_status now = decode(found);
            if (now.generation != generation || now.state != slot_state::published ||
                (now.holders & me) != me) {
                return false;
            }
            // Also where the bits seem to stand: what was found may be older than a drop() of
            // theirs, and only a change of the word sees the newest value.
            // sync(slot): acq_rel; the new holder sees what this one saw.
            // relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(
                    found, encode({generation, slot_state::published, now.holders | others}),
                    memory_order_acq_rel, memory_order_relaxed)) {
                return true;
            }
        }
    }

    /// Takes a share of a slot that a peer told us of and holds for us meanwhile.
    ///
    /// `from`: whose share that is; with `handed_over` it becomes ours in the same step.
    /// Expects: `me` has no share of it that nobody is about to give up.
    /// Concurrency: lock-free; a death inside changes nothing, or leaves the share to the recovery.
    accept_outcome accept(std::uint32_t generation, holder_set from, holder_set me,
                          bool handed_over = false) noexcept {
        // relaxed: what the peer did before it told us is visible already; the compare-exchange
        // settles the rest.
        std::uint64_t found = word_.load(memory_order_relaxed);
        for (;;) {
            const slot_status now = decode(found);
            if (now.generation != generation || now.state != slot_state::published ||
                (now.holders & from) == 0) {
                return accept_outcome::gone;
            }
            if ((now.holders & me) != 0) {
                return accept_outcome::mine_already;
            }
            const holder_set others = handed_over ? now.holders & ~from : now.holders;
            // sync(slot): acq_rel; we see what the owner wrote, and that our last share is over.
            // relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(
                    found, encode({generation, slot_state::published, others | me}),
                    memory_order_acq_rel, memory_order_relaxed)) {
                return accept_outcome::accepted;
            }
        }
    }

    /// Gives up a holder's share; the last one frees the slot in the same step, or leaves it
    /// resting.
    drop_outcome drop(std::uint32_t generation, holder_set me) noexcept {
        return leave(generation, me, {next_generation(generation), slot_state::free, 0},
                     drop_outcome::freed);
    }

    /// Likewise where the last one is to zero the slot before it is free: from here on nobody else
    /// can get a share of it, whoever was told of it, and who recovers the last one cleans it.
    drop_outcome drop_to_clean(std::uint32_t generation, holder_set me) noexcept {
        return leave(generation, me, {generation, slot_state::cleaning, me},
                     drop_outcome::cleaning);
    }

    /// Takes a resting or quarantined slot, to replace its pages.
    ///
    /// Returns: false when it was not resting or somebody else was faster.
    bool claim_resting(holder_set me) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = word_.load(memory_order_relaxed);
        for (;;) {
            const slot_status now = decode(found);
            if (!is_resting(now)) {
                return false;
            }
            // sync(slot): acquire; the last holder is done.
            // relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(found,
                                            encode({now.generation, slot_state::cleaning, me}),
                                            memory_order_acquire, memory_order_relaxed)) {
                return true;
            }
        }
    }

    /// Leaves a slot free without pages. The caller has given them back to the system.
    ///
    /// Expects: `me` owns this generation alone.
    void trim(std::uint32_t generation) noexcept {
        // sync(slot): release; whoever gets the slot pages again sees that it has none.
        // sync(wake): seq_cst; as in drop().
        word_.store(encode({next_generation(generation), slot_state::trimmed, 0}),
                    memory_order_seq_cst);
    }

    /// Takes a slot without pages, to get it some.
    ///
    /// Returns: false when it was not trimmed or somebody else was faster.
    bool claim_trimmed(holder_set me) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = word_.load(memory_order_relaxed);
        const slot_status now = decode(found);
        // sync(slot): acquire; sees what the trimmer did. relaxed on failure: somebody was faster.
        return now.state == slot_state::trimmed && now.holders == 0 &&
               word_.compare_exchange_strong(found,
                                             encode({now.generation, slot_state::cleaning, me}),
                                             memory_order_acquire, memory_order_relaxed);
    }

    /// Makes a cleaned slot the cleaner's own, as claim() would.
    /// Returns: its new generation.
    ///
    /// Expects: the caller's claim_resting() or claim_trimmed() succeeded.
    std::uint32_t finish_cleaning(holder_set me) noexcept {
        // relaxed: while it is being cleaned, only the cleaner changes it.
        const auto next = next_generation(decode(word_.load(memory_order_relaxed)).generation);
        // sync(slot): release; recovery that finds the slot owned sees fresh pages.
        word_.store(encode({next, slot_state::owned, me}), memory_order_release);
        return next;
    }

    /// Makes a cleaned slot free.
    ///
    /// Expects: the caller's claim_resting() succeeded, or its drop_to_clean() said `cleaning`; or
    /// its claim() did, and it cleaned the slot as one of an arena.
    void free_cleaned() noexcept {
        // relaxed: while it is being cleaned, only the cleaner changes it.
        const auto next = next_generation(decode(word_.load(memory_order_relaxed)).generation);
        // sync(slot): release; the next owner sees fresh pages.
        // sync(wake): seq_cst; as in drop().
        word_.store(encode({next, slot_state::free, 0}), memory_order_seq_cst);
    }

    /// Puts a slot that could not be cleaned aside.
    ///
    /// Expects: as free_cleaned().
    void quarantine() noexcept {
        // relaxed: while it is being cleaned, only the cleaner changes it.
        const auto generation = decode(word_.load(memory_order_relaxed)).generation;
        // sync(slot): release; the next cleaner sees what this one did.
        word_.store(encode({generation, slot_state::quarantine, kernel_holder}),
                    memory_order_release);
    }

    /// Puts a claimed resting slot back untouched.
    ///
    /// Expects: the caller's claim_resting() succeeded.
    void keep_resting() noexcept {
        // relaxed: while it is being cleaned, only the cleaner changes it.
        const auto generation = decode(word_.load(memory_order_relaxed)).generation;
        // sync(slot): release; as it was found.
        word_.store(encode({generation, slot_state::published, kernel_holder}),
                    memory_order_release);
    }

    /// Takes back what dead processes have of a slot: their shares, for which the kernel's bit
    /// stands from then on, since sends of theirs may be on their way, of which nobody will hear;
    /// and a slot that one of them owned or cleaned becomes `me`'s to clean, since it may have lost
    /// its pages to a trim, and the kernel may still write for the dead.
    ///
    /// Expects: the processes in `dead` never touch the word again, and nobody grants to them
    /// without looking whether they died.
    /// Concurrency: lock-free; repeatable, any number of recoverers at once. Who dies after
    /// `taken_over` is the next one's to take over from.
    reap_outcome reap(holder_set dead, holder_set me) noexcept {
        // Changes nothing, but sees the newest value, and whoever changes the word later sees what
        // this recoverer did before.
        // sync(slot): acq_rel; as above.
        std::uint64_t found = word_.fetch_or(0, memory_order_acq_rel);
        for (;;) {
            const slot_status now = decode(found);
            if ((now.holders & dead) == 0) {
                return reap_outcome::untouched;
            }
            const holder_set left = (now.holders & ~dead) | kernel_holder;
            const bool is_shared = now.state == slot_state::published;
            const slot_status then = is_shared
                                         ? slot_status{now.generation, slot_state::published, left}
                                         : slot_status{now.generation, slot_state::cleaning, me};
            // sync(slot): acq_rel; sees what the dead did, and the next owner sees that it is over.
            // sync(wake): seq_cst; as in drop(). relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(found, encode(then), memory_order_seq_cst,
                                            memory_order_relaxed)) {
                return !is_shared              ? reap_outcome::taken_over
                       : left == kernel_holder ? reap_outcome::resting
                                               : reap_outcome::still_held;
            }
        }
    }

    /// What the slot was doing a moment ago.
    [[nodiscard]] slot_status was() const noexcept {
        // sync(wake): seq_cst; the waiter's sweep sees every slot that was dropped before the
        // waiter was missed.
        return decode(word_.load(memory_order_seq_cst));
    }

    /// Whether a slot is free but has no pages.
    [[nodiscard]] static constexpr bool is_trimmed(slot_status status) noexcept {
        return status.state == slot_state::trimmed && status.holders == 0;
    }

    /// Whether only the kernel may still read a slot.
    [[nodiscard]] static constexpr bool is_resting(slot_status status) noexcept {
        return status.holders == kernel_holder &&
               (status.state == slot_state::published || status.state == slot_state::quarantine);
    }

private:
    /// Gives up a share; the last holder leaves the word as `last`, and returns `outcome`.
    drop_outcome leave(std::uint32_t generation, holder_set me, slot_status last,
                       drop_outcome outcome) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = word_.load(memory_order_relaxed);
        for (;;) {
            const slot_status now = decode(found);
            const bool holdable =
                now.state == slot_state::owned || now.state == slot_state::published;
            if (!holdable || now.generation != generation || (now.holders & me) != me) {
                return drop_outcome::not_held;
            }
            const holder_set left = now.holders & ~me;
            const slot_status after = left == 0 ? last : slot_status{generation, now.state, left};
            // sync(slot): release; the next owner sees that we are done. acquire: the last one sees
            // that all are. sync(wake): seq_cst; either the waiter's sweep sees this slot, or we
            // see the waiter (pool/waiting.hpp). relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(found, encode(after), memory_order_seq_cst,
                                            memory_order_relaxed)) {
                return left == 0               ? outcome
                       : left == kernel_holder ? drop_outcome::resting
                                               : drop_outcome::still_held;
            }
        }
    }

    Atomic<std::uint64_t> word_;
};

using slot_word = basic_slot_word<>;
static_assert(sizeof(slot_word) == 8 && alignof(slot_word) == 8,
              "a slot word is 8 bytes of the shared layout");

}  // namespace zcpool
