// SPDX-License-Identifier: MIT
#pragma once

// The thread caches of one pool and what lies between them and the slabs: who gets one, how it is
// filled and emptied, and how its slots come back when somebody needs them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/cache_owner.hpp>
#include <zcpool/pool/cache_registry.hpp>
#include <zcpool/pool/depot.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/thread_cache.hpp>
#include <zcpool/pool/waiting.hpp>
#include <zcpool/sys/process_barrier.hpp>

namespace zcpool {

/// Slots in a magazine of a class: about 4 MiB, because what recirculates should lie between the L2
/// cache and well under the L3; 0, none, for classes so small that a few threads would hoard them.
[[nodiscard]] constexpr std::uint32_t magazine_slots(std::size_t slot_bytes,
                                                     std::uint32_t slots) noexcept {
    constexpr std::size_t magazine_bytes = std::size_t{4} << 20;
    const auto by_bytes = clamped<std::size_t>(magazine_bytes / slot_bytes, 1, magazine_capacity);
    return static_cast<std::uint32_t>(smaller_of<std::size_t>(by_bytes, slots / 16));
}

/// What came of taking back what lies in caches.
struct reclaimed {
    bool anything;  ///< came back
    bool all;       ///< false: there may be more, which another thread has, or is bringing back
};

/// All thread caches of a pool. While it is suspended nobody works with a cache.
///
/// Concurrency: lock-free; reclaim() and drain() give threads that are inside their caches a
/// bounded while to leave, and go on without what is in those. Any thread of the process that made
/// the pool.
class thread_caches {
public:
    thread_caches() noexcept = default;
    thread_caches(const thread_caches&) = delete;
    thread_caches& operator=(const thread_caches&) = delete;

    /// Lets threads have caches of the slots of `slabs`. Once, before use; without it none has.
    ///
    /// Errors: `out_of_memory`, or the errno of membarrier.
    [[nodiscard]] result<void> open(pool_core* pool, array_view<slab> slabs, wait_list waiters,
                                    holder_set me) noexcept {
        if (auto done = sys::process_barrier::prepare(); !done) {
            return done;
        }
        for (std::size_t index = 0; index < slabs.size(); ++index) {
            const class_layout& layout = slabs[index].layout();
            class_part& part = parts_[index];
            part.magazine = magazine_slots(layout.slot_bytes, layout.slots);
            if (part.magazine != 0) {
                // A half of the slots may be in threads, a quarter between them.
                if (auto done = part.between.open(layout.slots / 2 / (2 * part.magazine),
                                                  layout.slots / 4 / part.magazine, part.magazine);
                    !done) {
                    return done;
                }
            }
        }
        pool_ = pool;
        slabs_ = slabs;
        waiters_ = waiters;
        me_ = me;
        return {};
    }

    /// Hands out a slot of a class from this thread's cache; an empty one is filled first.
    /// Returns: null when the class has no caches, or no hot slot.
    [[nodiscard]] slot_record* acquire(std::size_t index) noexcept {
        thread_cache* const cache = enter(index);
        if (cache == nullptr) {
            return nullptr;
        }
        magazine_pair& here = cache->classes[index];
        slot_record* taken = here.acquire();
        if (taken == nullptr && here.capacity() != 0) {
            if (!here.swap_for_full() && !parts_[index].between.refill(here)) {
                batch slots;
                const auto wanted = array_view{slots}.first(here.capacity());
                here.fill(wanted.first(slabs_[index].take_many(me_, wanted)));
            }
            taken = here.acquire();
        }
        cache->gate.leave();
        return taken;
    }

    /// Keeps a released slot in this thread's cache, from which it empties a part where it is full.
    /// Returns: false when the class has no caches.
    [[nodiscard]] bool release(slot_record& record) noexcept {
        const std::size_t index = to_number(record.size_class);
        thread_cache* const cache = enter(index);
        if (cache == nullptr) {
            return false;
        }
        magazine_pair& here = cache->classes[index];
        bool kept = here.release(record);
        if (!kept && here.capacity() != 0) {
            if (!here.swap_for_empty() && !parts_[index].between.relieve(here)) {
                batch slots;
                give_back(index, array_view{slots}.first(here.take_out(slots)));
                static_cast<void>(here.swap_for_empty());
            }
            kept = here.release(record);
        }
        cache->gate.leave();
        return kept;
    }

    /// Brings back what lies in caches of the classes from `first` up to, not including, `last`:
    /// for a thread that found no slot otherwise.
    ///
    /// Complexity: when there is something in a cache, a system call.
    reclaimed reclaim(std::size_t first, std::size_t last) noexcept {
        bool anything = empty_between(first, last);
        const bool all = registry_.take_over(
            [&](const thread_cache& each) { return each.slots(first, last) != 0; },
            [&](thread_cache& each) {
                anything = anything || each.slots(first, last) != 0;
                empty(each, first, last);
            });
        return {anything, all};
    }

    /// Closes all caches until resume(); what is in them stays until drain().
    void suspend() noexcept { registry_.suspend(); }
    /// As cache_registry::resume().
    void resume() noexcept { registry_.resume(); }

    /// Brings everything back.
    /// Returns: whether it is sure that nothing was left, and, while suspended, that nothing will
    /// be put into a cache.
    bool drain() noexcept {
        const bool all = registry_.take_over(
            [&](const thread_cache& each) {
                // In this order: what the owner puts in before it leaves is counted.
                return registry_.may_be_filled(each) || each.slots(0, slabs_.size()) != 0;
            },
            [&](thread_cache& each) { empty(each, 0, slabs_.size()); });
        // Behind the others: what their owners put between them before they left.
        empty_between(0, slabs_.size());
        return all;
    }

    /// Slots of a class that users were given from caches less those that they gave back to caches.
    [[nodiscard]] std::int64_t handed_out(std::size_t index) const noexcept {
        std::int64_t sum = 0;
        registry_.for_each(
            [&](const thread_cache& each) { sum += each.classes[index].handed_out(); });
        return sum;
    }

    /// Adds to the counters of a class what was counted here.
    void read(std::size_t index, class_stats& to) const noexcept {
        registry_.for_each([&](const thread_cache& each) {
            const magazine_pair& there = each.classes[index];
            to.released += there.released();
            to.acquired += there.acquired();
            to.cached += there.count();
        });
        if (parts_[index].magazine != 0) {
            to.cached += parts_[index].between.slots();
        }
    }

    /// Puts everything of a thread's cache back into the slabs, from inside its gate.
    void empty(thread_cache& cache, std::size_t first, std::size_t last) noexcept {
        batch slots;
        for (std::size_t index = first; index < last; ++index) {
            while (const std::size_t count = cache.classes[index].take_out(slots)) {
                give_back(index, array_view{slots}.first(count));
            }
        }
    }

private:
    using batch = std::array<slot_record*, magazine_capacity>;

    struct class_part {
        std::uint32_t magazine = 0;  ///< slots in one; 0: no caches
        depot between;
    };

    /// This thread's cache, entered; null when there is none to be had.
    [[nodiscard]] thread_cache* enter(std::size_t index) noexcept {
        return parts_[index].magazine == 0 ? nullptr
                                           : registry_.enter(pool_, [this] { return make(); });
    }

    [[nodiscard]] thread_cache* make() noexcept {
        thread_cache* const made = map_cache();
        if (made != nullptr) {
            made->home = pool_;
            made->caches = this;
            for (std::size_t index = 0; index < slabs_.size(); ++index) {
                // Without magazines, where there are none left, a class goes to the slab.
                static_cast<void>(parts_[index].between.equip(made->classes[index]));
            }
        }
        return made;
    }

    void give_back(std::size_t index, array_view<slot_record* const> slots) noexcept {
        slabs_[index].give_back_many(me_, slots);
        for (std::size_t i = 0; i < slots.size(); ++i) {
            waiters_.wake_one(static_cast<std::uint32_t>(index), slabs_[index].counters().waiters);
        }
    }

    bool empty_between(std::size_t first, std::size_t last) noexcept {
        bool anything = false;
        batch slots;
        for (std::size_t index = first; index < last; ++index) {
            while (parts_[index].magazine != 0) {
                const std::size_t count = parts_[index].between.take_out(slots);
                if (count == 0) {
                    break;
                }
                give_back(index, array_view{slots}.first(count));
                anything = true;
            }
        }
        return anything;
    }

    pool_core* pool_ = nullptr;
    array_view<slab> slabs_;
    wait_list waiters_;
    holder_set me_ = 0;
    cache_registry registry_;
    std::array<class_part, max_classes> parts_;
};

inline void cache_owner::leave(thread_cache& cache) noexcept {
    const auto open = thread_cache::key_of(cache.home);
    // While we are inside, the pool cannot end.
    if (cache.gate.enter(open)) {
        cache.caches->empty(cache, 0, max_classes);
        cache.gate.close(open);
        cache.gate.leave();
    }
    give_up(cache, thread_cache::thread_side);
}

}  // namespace zcpool
