// SPDX-License-Identifier: MIT
#pragma once

// Where a released slot goes off the hot path: into the thread's cache after all, to the reserve,
// to the store, or to those that rest. And what may be done with free slots: new pages, none.

#include <cstddef>
#include <cstdint>
#include <source_location>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/pool/call_site.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/reserve.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

// Never inlined, so that the return address names the code that released the slot.
[[gnu::noinline]] inline void pool_core::give_back_elsewhere(slot_record& record, slot_life life,
                                                             std::source_location where) noexcept {
    record.core->give_back_slowly(record, life, {where, __builtin_return_address(0)});
}

inline void pool_core::give_back_slowly(slot_record& record, slot_life life,
                                        const call_site& site) noexcept {
    if (guard_.in_creator()) {
        const std::size_t index = to_number(record.size_class);
        if (checks_ != nullptr &&
            !checks_->end(record, slabs_[index].word(to_number(record.slot)), me_, life, site)) {
            return;
        }
        // relaxed: the last handle is the caller's.
        if (record.cache_key.load(memory_order_relaxed) != no_gate) {
            if (caches_.release(record)) {
                return;
            }
            if (keep_for_reserve(record)) {
                add(slabs_[index].counters().released);
                drop_references(1);
                return;
            }
        }
        const drop_outcome outcome = arenas_ == nullptr ? slabs_[index].give_back(record, me_)
                                                        : arenas_[index].give_back(record, me_);
        if (outcome == drop_outcome::not_held) {
            return;  // misuse: whoever released it has given up the reference
        }
        if (outcome != drop_outcome::still_held) {
            wake_one(index);
        }
    }
    drop_references(1);
}

/// Puts a slot that the process owns alone in the place of one that the reserve lacks.
/// Returns: false when it lacks none.
inline bool pool_core::keep_for_reserve(slot_record& record) noexcept {
    const std::size_t index = to_number(record.size_class);
    // One that is taken behind this look is put back by a later release: what goes to the reserve
    // must have been zeroed, as no word frees it.
    if (reserves_[index].was_full()) {
        return false;
    }
    slabs_[index].zero(to_number(record.slot));
    const slot_reserve::change kept = reserves_[index].put_back(to_number(record.slot));
    if (kept.slot == no_index) {
        return false;
    }
    waiters_.wake_urgent(static_cast<std::uint32_t>(index), slabs_[index].counters().waiters);
    if (kept.first) {
        caches_.resume();
    }
    return true;
}

inline std::size_t pool_core::renew_resting(std::size_t most) noexcept {
    std::size_t renewed = 0;
    for (std::size_t index = 0; guard_.in_creator() && index < class_count_ && renewed < most;
         ++index) {
        const std::size_t left = most - renewed;
        for (auto n = arenas_ == nullptr ? slabs_[index].renew_resting(me_, left)
                                         : arenas_[index].renew_resting(me_, left);
             n != 0; --n, ++renewed) {
            wake_one(index);
        }
    }
    return renewed;
}

inline std::size_t pool_core::trim(std::size_t keep) noexcept {
    std::size_t bytes = 0;
    // A slot's pages are a part of its arena's, which cannot be given back alone.
    if (guard_.in_creator() && arenas_ == nullptr && registrations_.allow_replacing()) {
        caches_.drain();
        for (std::size_t index = 0; index < class_count_; ++index) {
            const std::size_t trimmed = slabs_[index].trim(me_, keep);
            bytes += trimmed * slot_bytes(index);
            // Who looked in the middle of it saw no slot; also of one that could not be trimmed.
            for (std::size_t i = 0; i <= trimmed; ++i) {
                wake_one(index);
            }
        }
    }
    return bytes;
}

}  // namespace zcpool
