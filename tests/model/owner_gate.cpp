// SPDX-License-Identifier: MIT
// The gate of a thread cache: what lies behind is touched by its owner or by one claimer, never by
// both, and each sees what the last one did; and nobody opens a cache that was suspended. Behind
// it, the depot: what a magazine holds is its finder's alone.
//
// The barrier is lopsided in the library: nothing on the owner's side, membarrier(2) on the other.
// Relacy has no such thing; here both sides are fences of all seq_cst operations, which promise the
// two sides the same.
#include "harness.hpp"

#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/ring/index_stack.hpp>

namespace {

using namespace zcpool_model;

/// A barrier with both sides, or without one of them.
template <bool Light, bool Heavy>
struct barrier {
    static void light() { fence(Light); }
    static void heavy() { fence(Heavy); }

private:
    static void fence(bool is_there) {
        if (is_there) {
            rl::atomic_thread_fence(rl::mo_seq_cst, $);
        }
    }
};

constexpr std::uintptr_t open = 8;  // the pool that a gate is open for
constexpr int looks = 3;            // so often a claimer looks whether the owner has left

/// A cache behind its gate, and the count of those who have suspended all caches: the steps of
/// cache_registry.hpp around the real gate.
template <class Barrier>
struct guarded_cache {
    using gate_type = zcpool::basic_owner_gate<zcpool_model::atomic, Barrier>;

    guarded_cache() { content($) = 0; }

    /// The owner's, as cache_registry::enter(). Returns: whether it came in, and must leave.
    bool enter() {
        if (is_suspended()) {
            return false;
        }
        if (gate.enter(open)) {
            return true;
        }
        gate.hold();
        if (gate.reopen(open)) {
            if (!is_suspended()) {
                return true;
            }
            gate.close(open);
        }
        gate.leave();
        return false;
    }

    /// A claimer's, as cache_registry::take_over(). Returns: whether it was at what lies behind.
    template <class Empty>
    bool take_over(Empty empty) {
        const auto before = gate.claim();
        if (before == gate_type::claimed) {
            return false;
        }
        Barrier::heavy();
        bool left = gate.was_left();
        for (int look = 1; look < looks && !left; ++look) {
            left = gate.was_left();
        }
        if (left) {
            empty();
        }
        gate.release(is_suspended() ? gate_type::closed : before);
        if (before != gate_type::closed && is_suspended()) {
            gate.close(before);
        }
        return left;
    }

    void suspend() { suspended.fetch_add(1, std::memory_order_seq_cst); }
    void resume() { suspended.fetch_sub(1, std::memory_order_release); }
    bool may_be_filled() const {
        return is_suspended() && (gate.was() != gate_type::closed || !gate.was_left());
    }
    bool is_suspended() const { return suspended.load(std::memory_order_seq_cst) != 0; }

    /// What lies behind: Relacy sees two who are at it, and who does not see what the last one did.
    void use() { content($) = content($) + 1; }

    gate_type gate;
    zcpool_model::atomic<std::uint32_t> suspended;
    rl::var<int> content;
};

using whole = barrier<true, true>;

/// The owner goes in and out, two claimers take over.
template <class Barrier, int Entries>
struct claimed_by_two : rl::test_suite<claimed_by_two<Barrier, Entries>, 3> {
    guarded_cache<Barrier> cache;
    int entries = 0;

    void thread(unsigned thread) {
        if (thread != 0) {
            static_cast<void>(cache.take_over([this] { cache.use(); }));
            return;
        }
        for (int n = 0; n < Entries; ++n) {
            if (cache.enter()) {
                ++entries;
                cache.use();
                cache.gate.leave();
            }
        }
    }
    /// When all is quiet, the owner comes in.
    void after() {
        RL_ASSERT(cache.enter());
        cache.use();
        cache.gate.leave();
        RL_ASSERT(cache.gate.was() == open);
    }
};

/// A suspension beside the owner and a claimer. Who has suspended and found or made the cache empty
/// may be sure that it stays so until it resumes. The owner fills it each time; on the hot path it
/// goes in at the gate without a look at the suspension, else always with one.
template <class Barrier, int Entries, bool Hot>
struct suspension : rl::test_suite<suspension<Barrier, Entries, Hot>, 3> {
    guarded_cache<Barrier> cache;
    zcpool_model::atomic<std::uint32_t> slots;  // what is in it, also for who looks from outside
    bool is_drained = false;

    void fill() {
        RL_ASSERT(!is_drained);
        cache.use();
        slots.store(1, std::memory_order_relaxed);
        RL_ASSERT(!is_drained);
    }
    bool drain() {
        return (!cache.may_be_filled() && slots.load(std::memory_order_relaxed) == 0) || take();
    }
    bool take() {
        return cache.take_over([this] {
            cache.use();
            slots.store(0, std::memory_order_relaxed);
        });
    }
    void thread(unsigned thread) {
        if (thread == 0) {
            for (int n = 0; n < Entries; ++n) {
                if ((Hot && cache.gate.enter(open)) || cache.enter()) {
                    fill();
                    cache.gate.leave();
                }
            }
        } else if (thread == 1) {
            cache.suspend();
            is_drained = drain();
            RL_ASSERT(!is_drained || slots.newest() == 0);
            static_cast<void>(slots.load(std::memory_order_relaxed));  // others go on meanwhile
            RL_ASSERT(!is_drained || slots.newest() == 0);
            is_drained = false;
            cache.resume();
        } else {
            static_cast<void>(take());
        }
    }
    void after() {
        RL_ASSERT(!cache.is_suspended());
        RL_ASSERT(cache.enter());
        cache.use();
        cache.gate.leave();
    }
};

/// The steps of depot.hpp around its two stacks: slots that are put in are taken out once, by
/// somebody who sees what was in them; and at rest their number is exact.
template <std::uint32_t Magazines>
struct depot : rl::test_suite<depot<Magazines>, 3> {
    using stack = zcpool::basic_index_stack<zcpool_model::atomic>;

    depot() : full(full_top, full_links), empty(empty_top, empty_links) {
        for (std::uint32_t id = 0; id < Magazines; ++id) {
            slots[id]($) = 0;
            empty.push(id);
        }
    }
    bool put(int slot) {
        const auto id = empty.pop();
        if (id == zcpool::no_index) {
            return false;
        }
        slots[id]($) = slot;
        counts[id].store(1, std::memory_order_relaxed);
        full.push(id);
        return true;
    }
    int take() {
        const auto id = full.pop();
        if (id == zcpool::no_index) {
            return 0;
        }
        RL_ASSERT(counts[id].load(std::memory_order_relaxed) == 1);
        const int slot = slots[id]($);
        slots[id]($) = 0;
        counts[id].store(0, std::memory_order_relaxed);
        empty.push(id);
        return slot;
    }
    /// Each has a slot at first; what it holds it may put, and it takes what others put.
    void thread(unsigned thread) {
        hand& mine = hands[thread];
        mine.slots[mine.count++] = static_cast<int>(thread) + 1;
        for (int step = 0; step < 6; ++step) {
            if (mine.count != 0 && any_below(2) == 0) {
                mine.count -= put(mine.slots[mine.count - 1]) ? 1 : 0;
            } else if (const int slot = take(); slot != 0) {
                mine.slots[mine.count++] = slot;
            }
        }
    }
    void after() {
        std::uint32_t inside = 0;
        for (const auto& each : counts) {
            inside += each.newest();
        }
        bool seen[4] = {};
        const auto see = [&](int slot) {
            RL_ASSERT(slot > 0 && slot < 4 && !seen[slot]);
            seen[slot] = true;
        };
        for (const hand& each : hands) {
            std::for_each(each.slots, each.slots + each.count, see);
        }
        for (int slot = take(); slot != 0; slot = take()) {
            see(slot);
            --inside;
        }
        RL_ASSERT(inside == 0);
        RL_ASSERT(seen[1] && seen[2] && seen[3]);
        for (std::uint32_t id = 0; id < Magazines; ++id) {
            RL_ASSERT(empty.pop() != zcpool::no_index);  // room comes back
        }
    }

    struct hand {
        int slots[3];
        unsigned count = 0;
    };
    stack::top_word full_top;
    stack::top_word empty_top;
    stack::link full_links[Magazines];
    stack::link empty_links[Magazines];
    stack full;
    stack empty;
    zcpool_model::atomic<std::uint32_t> counts[Magazines];
    rl::var<int> slots[Magazines];
    hand hands[3];
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"claims", claimed_by_two<whole, 3>>(500'000),
                         random_case<"suspension", suspension<whole, 3, true>>(500'000),
                         random_case<"suspension_seen", suspension<whole, 3, false>>(500'000),
                         random_case<"depot", depot<2>>(500'000),
                         random_case<"depot_one", depot<1>>(500'000),
                         search_case<"search_claims", claimed_by_two<whole, 1>>(3),
                         search_case<"search_suspension", suspension<whole, 1, true>>(3),
#ifdef ZCPOOL_MODEL_ONLY  // for mutants.py: must not be clean
                         random_case<"no_light", claimed_by_two<barrier<false, true>, 3>>(500'000),
                         random_case<"no_heavy", claimed_by_two<barrier<true, false>, 3>>(500'000),
#endif
                     });
}
