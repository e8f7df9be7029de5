// SPDX-License-Identifier: MIT
#pragma once

// What a thread knows of its caches, and that they end with it.

#include <cstddef>
#include <cstdint>
#include <new>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/thread_cache.hpp>
#include <zcpool/sys/mapping.hpp>

namespace zcpool {

/// Bytes from the beginning of its page to a cache. Slots begin on pages, and what a program
/// touches first of each shares a few sets of the processor's cache with all other such places;
/// what every acquire needs should not be pushed out by that.
inline constexpr std::size_t cache_offset = 16 * cache_line;

/// Maps memory for a cache, which a forked child sees wiped.
///
/// Returns: null when there is no memory, or no way to have it wiped.
/// Complexity: two system calls and a page fault or two; once for a thread and a pool.
[[nodiscard]] inline thread_cache* map_cache() noexcept {
    constexpr std::size_t bytes = align_up(cache_offset + sizeof(thread_cache), page_size);
    auto memory = sys::mapping::anonymous(bytes);
    if (!memory || !memory->advise(0, bytes, MADV_WIPEONFORK)) {
        return nullptr;
    }
    auto* made = new (memory->detach() + cache_offset) thread_cache{};
    made->mapped_bytes = bytes;
    return made;
}

/// Ends one side's need of a cache; the second one unmaps it.
inline void give_up(thread_cache& cache, std::uint32_t side) noexcept {
    const std::size_t bytes = cache.mapped_bytes;
    // sync(cache): acq_rel; what either side did comes before the memory goes, or is seen by the
    // thread that gets the cache next.
    if (cache.needed_by.fetch_and(~side, memory_order_acq_rel) == side) {
        sys::mapping::unmap(reinterpret_cast<std::byte*>(&cache) - cache_offset, bytes);
    }
}

/// The caches of one thread; there is one object a thread, touched off the hot path only. With the
/// thread its caches are emptied and left to other threads.
class cache_owner {
public:
    cache_owner() noexcept = default;
    cache_owner(const cache_owner&) = delete;
    cache_owner& operator=(const cache_owner&) = delete;
    ~cache_owner() {
        ending = true;
        current_cache = nullptr;
        while (first_ != nullptr) {
            thread_cache& each = *first_;
            first_ = each.next_of_thread;
            if (is_wiped(each)) {
                continue;  // the parent's, and this is a forked child
            }
            leave(each);
        }
    }

    /// This thread's cache of a pool; null when it has none. Forgets those of pools that have gone.
    [[nodiscard]] static thread_cache* find(const pool_core* pool) noexcept {
        if (ending) {
            return nullptr;
        }
        for (thread_cache** link = &mine().first_; *link != nullptr;) {
            thread_cache& each = **link;
            // sync(cache): acquire; the pool's side is done with it. Another pool may be at its
            // address now, and in a forked child it is wiped.
            const auto needed = each.needed_by.load(memory_order_acquire);
            if ((needed & thread_cache::pool_side) != 0) {
                if (each.home == pool) {
                    return &each;
                }
                link = &each.next_of_thread;
                continue;
            }
            *link = each.next_of_thread;
            if (current_cache == &each) {
                current_cache = nullptr;
            }
            if (needed != 0) {
                give_up(each, thread_cache::thread_side);
            }
        }
        return nullptr;
    }

    /// Leaves a cache with the calling thread, at whose end it is emptied.
    static void add(thread_cache& cache) noexcept {
        cache.next_of_thread = mine().first_;
        mine().first_ = &cache;
    }

    /// Whether this thread has given its caches up for good: other thread_local objects, which end
    /// later, may still release slots.
    [[nodiscard]] static bool is_ending() noexcept { return ending; }

private:
    [[nodiscard]] static cache_owner& mine() noexcept {
        thread_local cache_owner owner;
        return owner;
    }
    [[nodiscard]] static bool is_wiped(const thread_cache& cache) noexcept {
        return cache.home == nullptr;
    }
    /// Empties a cache and gives it up.
    static void leave(thread_cache& cache) noexcept;

    inline static constinit thread_local bool ending = false;

    thread_cache* first_ = nullptr;
};

}  // namespace zcpool
