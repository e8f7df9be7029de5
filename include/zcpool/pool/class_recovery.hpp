// SPDX-License-Identifier: MIT
#pragma once

// Taking back what dead processes have of the slots of one class. The steps alone, on whatever has
// slots: a slab, or the model that a checker runs.

#include <concepts>
#include <cstdint>

#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// Slots whose words can be swept, with the ways of their hints.
template <class Class>
concept recoverable_class = requires(Class slots, std::uint32_t slot, holder_set who) {
    { slots.size() } -> std::same_as<std::uint32_t>;
    /// slot_word::reap() of this slot.
    { slots.reap(slot, who, who) } -> std::same_as<reap_outcome>;
    /// Gives a slot that was taken over new pages, and frees it; or puts it into quarantine.
    { slots.clean(slot) } -> std::same_as<bool>;
    /// Says where to find a slot. A hint may stand twice.
    slots.push_free(slot);
    slots.push_resting(slot);
    /// Puts back the hints that were lost with who should have left them.
    slots.rebuild();
    /// Counts, so that who found nothing looks again; the slots that users gave up by dying, too.
    slots.came_back(slot);
};

/// What a recovery found.
struct class_recovery {
    std::uint32_t freed = 0;        ///< slots that are free again
    std::uint32_t resting = 0;      ///< slots that the kernel may still read
    std::uint32_t quarantined = 0;  ///< slots for which there are no new pages at the moment
    std::uint32_t shares = 0;       ///< shares of slots that others hold

    class_recovery& operator+=(const class_recovery& other) noexcept {
        freed += other.freed;
        resting += other.resting;
        quarantined += other.quarantined;
        shares += other.shares;
        return *this;
    }
};

/// Takes back what `dead` processes have of a class, for `me`, which cleans what it must.
///
/// What they had half written never appears: a slot that was only owned gets new pages and is free.
/// Complexity: O(slots) atomic operations; two system calls for each slot that they owned.
/// Concurrency: lock-free; any number at once, repeatable. If the recoverer dies inside, the next
/// recovery goes on, for both.
template <recoverable_class Class>
class_recovery recover_class(Class&& slots, holder_set dead, holder_set me) noexcept {
    class_recovery done;
    for (std::uint32_t i = 0; i < slots.size(); ++i) {
        switch (slots.reap(i, dead, me)) {
            case reap_outcome::untouched: break;
            case reap_outcome::still_held: ++done.shares; break;
            case reap_outcome::resting:
                ++done.resting;
                slots.push_resting(i);
                break;
            case reap_outcome::taken_over:
                if (slots.clean(i)) {
                    ++done.freed;
                    slots.push_free(i);
                } else {
                    ++done.quarantined;
                }
        }
    }
    slots.rebuild();
    // In any case: one who died may have freed a slot and not said so.
    slots.came_back(done.freed + done.resting);
    return done;
}

}  // namespace zcpool
