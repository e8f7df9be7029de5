// SPDX-License-Identifier: MIT
#pragma once

// Which thread caches a pool has: getting one for a thread, closing them all, and taking over those
// of other threads.

#include <array>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/pool/cache_owner.hpp>
#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/pool/thread_cache.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/process_barrier.hpp>

namespace zcpool {

/// The caches of a pool, one a thread; those of threads that have gone are handed to new ones.
///
/// Concurrency: lock-free; any thread of the process that created the pool.
class cache_registry {
public:
    cache_registry() noexcept = default;
    cache_registry(const cache_registry&) = delete;
    cache_registry& operator=(const cache_registry&) = delete;
    ~cache_registry() {
        for (thread_cache* each = first(); each != nullptr;) {
            thread_cache* const next = next_of(*each);
            give_up(*each, thread_cache::pool_side);
            each = next;
        }
    }

    /// This thread's cache of `pool`, entered; its gate must be left.
    ///
    /// `make`: makes one for a thread that has none, with home and places set; may answer null.
    /// Returns: null when there is none to be had now.
    template <class Make>
    [[nodiscard]] thread_cache* enter(pool_core* pool, Make make) noexcept {
        if (is_suspended()) {
            return nullptr;
        }
        thread_cache* cache = cache_owner::find(pool);
        if (cache == nullptr) {
            cache = attach(make);
        }
        if (cache == nullptr) {
            return nullptr;
        }
        current_cache = cache;
        owner_gate& gate = cache->gate;
        const auto open = thread_cache::key_of(pool);
        if (gate.enter(open)) {
            return cache;
        }
        gate.hold();
        if (gate.reopen(open)) {
            if (!is_suspended()) {
                return cache;
            }
            gate.close(open);
        }
        gate.leave();
        return nullptr;
    }

    /// Closes all caches until as many resume(); what is in them stays there.
    void suspend() noexcept {
        // sync(suspend): seq_cst; before the claims in take_over(). Owners look behind their
        // reopening.
        suspended_.fetch_add(1, memory_order_seq_cst);
    }
    /// Ends what suspend() began.
    void resume() noexcept {
        // sync(suspend): release; nothing that was done meanwhile is done later.
        suspended_.fetch_sub(1, memory_order_release);
    }

    /// Claims each cache for which `is_worth(cache)`, waits for its owner to leave it, calls
    /// `empty(cache)`, and lets it go.
    ///
    /// Returns: whether none of them had to be left out, because another thread was at it or its
    /// owner, who lost the processor inside, did not leave.
    /// Complexity: where there is one to claim, a barrier in all threads.
    template <class Worth, class Empty>
    bool take_over(Worth is_worth, Empty empty) noexcept {
        bool all = true;
        std::array<claimed_cache, 32> claimed;  // so many for one barrier
        for (thread_cache* next = first(); next != nullptr;) {
            std::size_t count = 0;
            for (; next != nullptr && count < claimed.size(); next = next_of(*next)) {
                if (!is_worth(*next)) {
                    continue;
                }
                if (const auto before = next->gate.claim(); before != owner_gate::claimed) {
                    claimed[count++] = {next, before};
                } else {
                    all = false;
                }
            }
            if (count != 0) {
                sys::process_barrier::heavy();
            }
            for (const claimed_cache& each : array_view{claimed}.first(count)) {
                if (wait_until_left(each.cache->gate)) {
                    empty(*each.cache);
                } else {
                    all = false;
                }
                let_go(each);
            }
        }
        return all;
    }

    /// Whether a cache could be filled in a moment although it is suspended: its owner is inside,
    /// or does not know yet.
    [[nodiscard]] bool may_be_filled(const thread_cache& cache) const noexcept {
        return is_suspended() && (cache.gate.was() != owner_gate::closed || !cache.gate.was_left());
    }

    /// Calls `visit` with each cache.
    template <class Visit>
    void for_each(Visit visit) const noexcept {
        for (const thread_cache* each = first(); each != nullptr; each = next_of(*each)) {
            visit(*each);
        }
    }

private:
    /// A cache that was claimed, and what its gate was before.
    struct claimed_cache {
        thread_cache* cache;
        owner_gate::key before;
    };

    [[nodiscard]] thread_cache* first() const noexcept {
        // sync(suspend): seq_cst; a cache that is not seen here was added behind it, and its owner
        // sees the suspension.
        return first_.load(memory_order_seq_cst);
    }
    [[nodiscard]] static thread_cache* next_of(const thread_cache& cache) noexcept {
        // relaxed: set before the cache was added.
        return cache.next_of_pool.load(memory_order_relaxed);
    }
    [[nodiscard]] bool is_suspended() const noexcept {
        // sync(suspend): seq_cst; behind the reopening of a gate.
        return suspended_.load(memory_order_seq_cst) != 0;
    }

    /// A cache for this thread: one whose thread has gone, or a new one.
    template <class Make>
    [[nodiscard]] thread_cache* attach(Make make) noexcept {
        if (cache_owner::is_ending()) {
            return nullptr;
        }
        constexpr std::uint32_t both = thread_cache::pool_side | thread_cache::thread_side;
        for (thread_cache* each = first(); each != nullptr; each = next_of(*each)) {
            std::uint32_t expected = thread_cache::pool_side;
            // sync(cache): acquire; sees what its last thread left. relaxed: it has a thread.
            if (each->needed_by.compare_exchange_strong(expected, both, memory_order_acquire,
                                                        memory_order_relaxed)) {
                cache_owner::add(*each);
                return each;
            }
        }
        thread_cache* const made = make();
        if (made == nullptr) {
            return nullptr;
        }
        // relaxed: published by the release below.
        made->needed_by.store(both, memory_order_relaxed);
        // relaxed: the compare-exchange settles it.
        thread_cache* head = first_.load(memory_order_relaxed);
        do {
            // relaxed: published by the release below.
            made->next_of_pool.store(head, memory_order_relaxed);
            // sync(suspend): seq_cst; a suspension that does not see the cache is seen by its
            // owner. relaxed on failure: nothing is read but the word.
        } while (
            !first_.compare_exchange_weak(head, made, memory_order_seq_cst, memory_order_relaxed));
        cache_owner::add(*made);
        return made;
    }

    void let_go(const claimed_cache& each) noexcept {
        each.cache->gate.release(is_suspended() ? owner_gate::closed : each.before);
        if (each.before != owner_gate::closed && is_suspended()) {
            each.cache->gate.close(each.before);
        }
    }

    /// Waits while the owner finishes what it is at, which takes nanoseconds unless it lost its
    /// processor.
    [[nodiscard]] static bool wait_until_left(const owner_gate& gate) noexcept {
        constexpr int looks = 200;
        for (int i = 0; i < looks; ++i) {
            if (gate.was_left()) {
                return true;
            }
            if (i >= looks / 2) {
                sys::provider::yield();
            }
        }
        return gate.was_left();
    }

    atomic<thread_cache*> first_;
    atomic<std::uint32_t> suspended_;
};

}  // namespace zcpool
