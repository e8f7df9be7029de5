// SPDX-License-Identifier: MIT
#pragma once

// The lives of a slot of a checked pool: which one it is in, and where the last few began and
// ended. A life is from an acquire to the last handle's release; each handle carries the number of
// its own, so that one that was copied bit by bit or used after its end is known by it.

#include <array>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/call_site.hpp>

namespace zcpool {

/// The number of a life; 0 is that of all slots of a pool that is not checked.
///
///     31        24 23                       1   0
///     [ pool : 8 ][ count : 23               ][ 1 ]      in a buffer
///                       [ count : 15         ][ 1 ]      in a slice, which has room for 16 bits
///
/// A number comes again after 2^23 lives of the slot, in a slice after 2^15: a handle that is so
/// old passes for a good one.
using slot_life = std::uint32_t;

/// What a slice keeps of a life's number.
[[nodiscard]] constexpr std::uint16_t shortened(slot_life life) noexcept {
    return static_cast<std::uint16_t>(life);
}

/// Where a life began and ended.
struct life_sites {
    bool known = false;  ///< it is one of the last few
    call_site acquired;
    call_site released;  ///< of a life that goes on: not known
};

/// What became of the lives of one slot.
///
/// Sharing: begin() by the slot's owner; the rest by any thread, also one whose handle is not good.
class alignas(cache_line) slot_history {
public:
    /// How many lives are remembered with their places.
    static constexpr std::uint32_t remembered = 4;

    /// Once, before use. `pool`: a number from 1 to 255, to tell the handles of pools apart.
    void open(std::uint32_t pool) noexcept {
        // relaxed: nobody else knows it yet.
        now_.store(pool << pool_shift, memory_order_relaxed);
    }

    /// Begins the next life.
    /// Expects: the slot is the caller's, and its last life has ended.
    [[nodiscard]] slot_life begin(const call_site& site) noexcept {
        // relaxed: the caller's; the slot word orders owners.
        const slot_life last = now_.load(memory_order_relaxed);
        const slot_life next =
            (last & pool_bits) | ((last + one_life) & ~pool_bits & ~alive) | alive;
        places& here = places_of(next);
        here.acquired.set(site);
        here.released.set({});
        // relaxed: a good handle is given on with an order of its own, and no other matches.
        now_.store(next, memory_order_relaxed);
        return next;
    }

    /// The life that goes on, or that was to go on when it ended.
    [[nodiscard]] slot_life last() const noexcept {
        // relaxed: as is_now().
        return now_.load(memory_order_relaxed) | alive;
    }

    /// Whether a life goes on.
    [[nodiscard]] bool is_now(slot_life life) const noexcept {
        // relaxed: whoever has a good handle has seen its beginning.
        return comes_to(now_.load(memory_order_relaxed), life);
    }

    /// Ends a life.
    /// Returns: false, with nothing changed, when it is not the one that goes on.
    [[nodiscard]] bool end(slot_life life, const call_site& site) noexcept {
        // relaxed: the compare-exchange settles it.
        slot_life found = now_.load(memory_order_relaxed);
        // relaxed: which of two releases is the first; the slot word orders the rest.
        if (!comes_to(found, life) ||
            !now_.compare_exchange_strong(found, found & ~alive, memory_order_relaxed,
                                          memory_order_relaxed)) {
            return false;
        }
        places_of(found).released.set(site);
        return true;
    }

    /// Whether a life is of another pool, which a slice's number does not tell.
    [[nodiscard]] bool is_foreign(slot_life life) const noexcept {
        // relaxed: the pool's number does not change.
        return is_whole(life) && ((life ^ now_.load(memory_order_relaxed)) & pool_bits) != 0;
    }

    /// Where a life began and ended, as far as it is remembered.
    [[nodiscard]] life_sites sites_of(slot_life life) const noexcept {
        // relaxed: for a report.
        const slot_life now = now_.load(memory_order_relaxed);
        const slot_life counted = is_whole(life) ? count_bits : count_bits & slice_bits;
        const slot_life age = ((now - (life & ~alive)) & counted) / one_life;
        if (is_foreign(life) || age >= remembered || age >= (now & count_bits) / one_life) {
            return {};
        }
        const places& there = places_of(now - age * one_life);
        return {true, there.acquired.get(), there.released.get()};
    }

    /// Where the life that goes on, or went on last, began and ended.
    [[nodiscard]] life_sites last_sites() const noexcept {
        // relaxed: for a report.
        return sites_of(now_.load(memory_order_relaxed));
    }

private:
    static constexpr slot_life alive = 1;
    static constexpr slot_life one_life = 2;
    static constexpr unsigned pool_shift = 24;
    static constexpr slot_life pool_bits = ~slot_life{0} << pool_shift;
    static constexpr slot_life count_bits = ~pool_bits & ~alive;
    static constexpr slot_life slice_bits = 0xFFFF;

    struct places {
        stored_call_site acquired;
        stored_call_site released;
    };

    [[nodiscard]] static constexpr bool is_whole(slot_life life) noexcept {
        return life > slice_bits;
    }
    [[nodiscard]] static constexpr bool comes_to(slot_life now, slot_life life) noexcept {
        return (is_whole(life) ? now : now & slice_bits) == life;
    }
    [[nodiscard]] places& places_of(slot_life life) noexcept {
        return places_[life / one_life % remembered];
    }
    [[nodiscard]] const places& places_of(slot_life life) const noexcept {
        return places_[life / one_life % remembered];
    }

    atomic<slot_life> now_;
    std::array<places, remembered> places_;
};

}  // namespace zcpool
