// SPDX-License-Identifier: MIT
#pragma once

// The word that decides who owns a slot, and every step that it can take.
//
//     63       37 36    32 31                     0
//     [ gen : 27 ][ state:5 ][ holders : 32        ]
//
// `holders` has one bit for each attached process (0..30) and bit 31 for the kernel: the slot was
// handed to the kernel by a call without a receipt, so its pages must be replaced before anybody
// writes to it again. `gen` grows each time the slot comes back, so that a stale handle is known.
// Counts of handles inside a process are that process's own.
//
//     FREE --claim--> OWNED --publish--> PUBLISHED --lend--> PUBLISHED + kernel
//      ^                |                    |                    |
//      |               drop                 drop            drop: "resting", the kernel bit alone
//      +----------------+--------------------+                    | claim_resting
//      ^                                                          v
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

namespace zcpool {

/// What a slot is doing.
enum class slot_state : std::uint8_t {
    free = 0,        ///< nobody's; zeroed memory is a pool of free slots
    owned = 1,       ///< one process writes to it
    published = 2,   ///< immutable; every holder reads it
    cleaning = 3,    ///< its last holder replaces its pages
    quarantine = 4,  ///< replacing them failed; not used before it succeeds
    trimmed = 5,     ///< free, but without pages
};

/// A set of holders: bits 0..30 are processes, bit 31 is the kernel.
using holder_set = std::uint32_t;

/// The kernel's bit.
inline constexpr holder_set kernel_holder = holder_set{1} << 31;

/// The parts of a slot word.
struct slot_status {
    std::uint32_t generation = 0;
    slot_state state = slot_state::free;
    holder_set holders = 0;

    friend bool operator==(const slot_status&, const slot_status&) = default;
};

/// Generations that there are before they start over.
inline constexpr std::uint32_t generation_limit = std::uint32_t{1} << 27;

[[nodiscard]] constexpr std::uint64_t encode(slot_status status) noexcept {
    return std::uint64_t{status.generation % generation_limit} << 37 |
           std::uint64_t{static_cast<std::uint8_t>(status.state)} << 32 | status.holders;
}

[[nodiscard]] constexpr slot_status decode(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 37), static_cast<slot_state>(word >> 32 & 0x1F),
            static_cast<holder_set>(word)};
}

/// The generation behind this one.
[[nodiscard]] constexpr std::uint32_t next_generation(std::uint32_t generation) noexcept {
    return (generation + 1) % generation_limit;
}

/// What drop() left behind.
enum class drop_outcome : std::uint8_t {
    still_held,  ///< others hold the slot
    freed,       ///< this was the last holder; the slot is free
    resting,     ///< only the kernel may still read it; its pages must be replaced first
    not_held,    ///< misuse: the caller did not hold this generation; nothing was changed
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

    /// Gives up a holder's share; the last one frees the slot in the same step, or leaves it
    /// resting.
    drop_outcome drop(std::uint32_t generation, holder_set me) noexcept {
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
            const slot_status after =
                left == 0 ? slot_status{next_generation(generation), slot_state::free, 0}
                          : slot_status{generation, now.state, left};
            // sync(slot): release; the next owner sees that we are done. acquire: the last one sees
            // that all are. sync(wake): seq_cst; either the waiter's sweep sees this slot, or we
            // see the waiter (pool/waiting.hpp). relaxed on failure: nothing is read but the word.
            if (word_.compare_exchange_weak(found, encode(after), memory_order_seq_cst,
                                            memory_order_relaxed)) {
                return left == 0               ? drop_outcome::freed
                       : left == kernel_holder ? drop_outcome::resting
                                               : drop_outcome::still_held;
            }
        }
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
    /// Expects: the caller's claim_resting() succeeded; or its claim(), and it cleaned the slot as
    /// one of an arena.
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
    Atomic<std::uint64_t> word_;
};

using slot_word = basic_slot_word<>;
static_assert(sizeof(slot_word) == 8 && alignof(slot_word) == 8,
              "a slot word is 8 bytes of the shared layout");

}  // namespace zcpool
