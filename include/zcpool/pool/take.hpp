// SPDX-License-Identifier: MIT
#pragma once

// How a slot is found off the hot path: in the free stores, among those that rest, by a sweep, in
// other threads' caches, and by waiting for one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/give_back.hpp>
#include <zcpool/pool/handle_checks.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/waiting.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool {

/// Looks for a slot of one class in its slab.
inline taken_slot pool_core::take_from(std::size_t index, search how) noexcept {
    return arenas_ == nullptr ? slabs_[index].take(me_, how) : arenas_[index].take(me_, how);
}

/// Looks for a slot of one class in its slab and, for whoever may have it, its reserve.
inline taken_slot pool_core::search_class(std::size_t index, search how, priority who) noexcept {
    slot_reserve& reserve = reserves_[index];
    while (who == priority::normal && !reserve.was_full()) {
        // What the reserve lacks comes first.
        const taken_slot found = take_from(index, how);
        if (found.record == nullptr) {
            return found;
        }
        if (!keep_for_reserve(*found.record)) {
            return found;
        }
    }
    const taken_slot found = take_from(index, how);
    if (found.record != nullptr || who == priority::normal) {
        return found;
    }
    const slot_reserve::change last = reserve.take();
    if (last.slot == no_index) {
        return found;
    }
    if (last.first) {
        caches_.suspend();  // until keep_for_reserve() has put the last one back
        caches_.drain();
    }
    return {&slabs_[index].record(last.slot)};
}

inline taken_slot pool_core::search_classes(std::size_t wanted, search how, priority who) noexcept {
    taken_slot none;
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        taken_slot found = search_class(index, how, who);
        if (found.record != nullptr) {
            add_reference();
            add(slabs_[index].counters().acquired);
            note_in_use(index);
            if (index != wanted) {
                add(slabs_[index].counters().spilled);
            }
            return found;
        }
        if (found.retry_after.count() != 0) {
            none.retry_after = none.retry_after.count() == 0
                                   ? found.retry_after
                                   : smaller_of(none.retry_after, found.retry_after);
        }
    }
    return none;
}

inline result<slot_record*> pool_core::take_elsewhere(std::size_t wanted, priority who) noexcept {
    if (is_closed()) {
        return fail(errc::closed);
    }
    if (slot_record* const cached = caches_.acquire(wanted)) {
        note_in_use(wanted);
        return cached;
    }
    taken_slot found = search_classes(wanted, search::quick, priority::normal);
    for (int tries = 0; found.record == nullptr && tries < 8; ++tries) {
        const reclaimed back = caches_.reclaim(wanted, classes_end(wanted));
        if (!back.anything && back.all) {
            break;
        }
        if (!back.all) {
            sys::provider::yield();  // another thread brings a cache back, or is inside its own
        }
        found = search_classes(wanted, search::quick, priority::normal);
        if (back.all) {
            break;
        }
    }
    if (found.record == nullptr && who == priority::urgent) {
        found = search_classes(wanted, search::quick, who);
    }
    if (found.record == nullptr) {
        add(slabs_[wanted].counters().exhausted);
        return fail(errc::exhausted);
    }
    return found.record;
}

[[gnu::noinline]] inline begun_slot pool_core::take_or_null(std::size_t wanted,
                                                            std::source_location where) noexcept {
    if (wanted == class_count_) {
        return {};
    }
    slot_record* const taken = take_elsewhere(wanted, priority::normal).value_or(nullptr);
    return taken == nullptr ? begun_slot{} : begun_slot{taken, begin_life(*taken, where)};
}

inline result<slot_record*> pool_core::take_until(std::size_t wanted,
                                                  sys::clock::time_point deadline,
                                                  priority who) noexcept {
    if (auto taken = take(wanted, who); taken || taken.error() != errc::exhausted) {
        return taken;
    }
    if (sys::clock::now() >= deadline) {
        return fail(errc::timed_out);
    }
    pin();  // the pool may be destroyed meanwhile, and its last buffer go
    begin_wait(wanted);
    auto taken = wait_until(wanted, deadline, who);
    end_wait(wanted);
    unpin();
    return taken;
}

inline std::uint32_t pool_core::usable(std::size_t wanted, priority who) const noexcept {
    std::uint32_t classes = 0;
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        classes |= wait_list::usable(static_cast<std::uint32_t>(index), who == priority::urgent);
    }
    return classes;
}

inline void pool_core::begin_wait(std::size_t wanted) noexcept {
    add(slabs_[wanted].counters().waited);
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        wait_list::enter(slabs_[index].counters().waiters);
        // Counted behind the count and taken off before it, so that it is never more than that.
        // relaxed: read when this process is known to be dead.
        waiting_[seat_.index].of_class[index].fetch_add(1, memory_order_relaxed);
    }
    // While somebody waits, what is released must not end in a cache.
    caches_.suspend();
}

inline void pool_core::end_wait(std::size_t wanted) noexcept {
    caches_.resume();
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        // relaxed: as in begin_wait().
        waiting_[seat_.index].of_class[index].fetch_sub(1, memory_order_relaxed);
        wait_list::leave(slabs_[index].counters().waiters);
    }
    // A wake-up is for one waiter, and this one may have been woken for a class that it did not
    // take from in the end, or as its time was up: whoever still waits looks in its place.
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        wake_one(index);
    }
}

inline taken_slot pool_core::look(std::size_t wanted, priority who) noexcept {
    const bool all_out = caches_.drain();
    taken_slot found = search_classes(wanted, search::thorough, who);
    if (!all_out && found.retry_after.count() == 0) {
        found.retry_after = std::chrono::milliseconds{1};  // a thread is inside its cache
    }
    return found;
}

inline result<slot_record*> pool_core::wait_until(std::size_t wanted,
                                                  sys::clock::time_point deadline,
                                                  priority who) noexcept {
    for (;;) {
        const auto ticket = waiters_.ticket();
        if (is_closed()) {
            return fail(errc::closed);
        }
        const taken_slot found = look(wanted, who);
        if (found.record != nullptr) {
            return found.record;
        }
        const auto now = sys::clock::now();
        if (now >= deadline) {
            return fail(errc::timed_out);
        }
        const auto retry = found.retry_after.count() == 0 ? deadline : now + found.retry_after;
        waiters_.sleep(ticket, usable(wanted, who), smaller_of(deadline, retry));
    }
}

}  // namespace zcpool
