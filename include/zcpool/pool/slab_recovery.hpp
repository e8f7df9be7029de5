// SPDX-License-Identifier: MIT
#pragma once

// A slab as class_recovery.hpp sees it, and what each of its slots is doing, by process.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/pool/class_recovery.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// What the slots of a class were doing, read from their words one after the other.
struct class_audit {
    std::uint32_t free = 0;
    std::uint32_t trimmed = 0;      ///< free, but without pages
    std::uint32_t resting = 0;      ///< only the kernel may still read them
    std::uint32_t quarantined = 0;  ///< there are no new pages for them at the moment
    std::uint32_t damaged = 0;      ///< words that no step of ours leaves behind

    /// What a process has: slots that it owns, reads, and is cleaning. One that several read counts
    /// for each.
    struct share {
        std::uint32_t owned = 0;
        std::uint32_t published = 0;
        std::uint32_t cleaning = 0;
        [[nodiscard]] std::uint32_t all() const noexcept { return owned + published + cleaning; }
    };
    std::array<share, max_processes> of_process{};

    /// Slots that can be acquired, perhaps after their pages were replaced.
    [[nodiscard]] std::uint32_t available() const noexcept {
        return free + trimmed + resting + quarantined;
    }

    /// Counts a slot, whatever its word says.
    void count(slot_status status) noexcept {
        if (slot_word::is_resting(status)) {
            ++(status.state == slot_state::quarantine ? quarantined : resting);
            return;
        }
        const holder_set processes = status.holders & ~kernel_holder;
        if (status.holders == 0 && status.state == slot_state::free) {
            ++free;
        } else if (slot_word::is_trimmed(status)) {
            ++trimmed;
        } else if (processes == 0 || status.state == slot_state::free ||
                   status.state > slot_state::cleaning) {
            ++damaged;
        }
        for (holder_set left = processes; left != 0; left &= left - 1) {
            share& its = of_process[static_cast<std::size_t>(std::countr_zero(left))];
            its.owned += status.state == slot_state::owned ? 1U : 0U;
            its.published += status.state == slot_state::published ? 1U : 0U;
            its.cleaning += status.state == slot_state::cleaning ? 1U : 0U;
        }
    }
};

/// Gives the recovery what a slab keeps to itself. Concurrency: as slab.
class slab_recovery {
public:
    /// Of a slab that outlives it.
    explicit slab_recovery(slab& of) noexcept : of_(of) {}

    [[nodiscard]] std::uint32_t size() const noexcept { return of_.layout_.slots; }
    /// Takes from a slot what the dead had of it.
    [[nodiscard]] reap_outcome reap(std::uint32_t slot, holder_set dead, holder_set me) noexcept {
        return of_.word(slot).reap(dead, me);
    }
    /// Replaces the pages of a slot that is being cleaned.
    [[nodiscard]] bool clean(std::uint32_t slot) noexcept {
        if (!of_.renewer_.replace(slot, of_.word(slot))) {
            return false;
        }
        of_.word(slot).free_cleaned();
        return true;
    }
    /// Says where a free slot is.
    void push_free(std::uint32_t slot) noexcept { of_.store_.push(slot); }
    /// Says where a slot that rests is.
    void push_resting(std::uint32_t slot) noexcept { of_.resting_.push(slot); }

    /// Hints for all free slots; one that stands already stays once. Those of slots that rest are
    /// left to the sweep, which finds them before a class is said to be exhausted.
    void rebuild() noexcept {
        std::array<std::uint32_t, 64> free;
        std::size_t count = 0;
        for (std::uint32_t i = 0; i < size(); ++i) {
            if (of_.word(i).was().state == slot_state::free) {
                free[count++] = i;
            }
            if (count == free.size() || i + 1 == size()) {
                of_.store_.push_many(array_view{free}.first(count));
                count = 0;
            }
        }
        of_.store_.rebuild();
    }

    /// `slots`: those that users gave up by dying.
    void came_back(std::uint32_t slots) noexcept {
        // sync(came-back): release; a sweep that starts with this count sees the slots.
        of_.counters().released.fetch_add(slots, memory_order_release);
        // sync(came-back): release; in any case: the dead may have freed slots without counting.
        of_.counters().returned.fetch_add(1, memory_order_release);
    }

    [[nodiscard]] class_audit audit() const noexcept { return audit(of_); }
    /// Looks at every word of a slab.
    [[nodiscard]] static class_audit audit(const slab& of) noexcept {
        class_audit found;
        for (std::uint32_t i = 0; i < of.layout_.slots; ++i) {
            found.count(of.word(i).was());
        }
        return found;
    }

private:
    slab& of_;
};
static_assert(recoverable_class<slab_recovery>);

}  // namespace zcpool
