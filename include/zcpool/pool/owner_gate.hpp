// SPDX-License-Identifier: MIT
#pragma once

// A gate in front of what one thread owns: its owner goes in and out without an atomic
// read-modify-write, and others may close it behind the owner and take over.
//
// The owner (1) says that it is inside, (2) looks whether the gate is open. A claimer (3) closes
// the gate, (4) looks whether the owner is inside. Between (1) and (2) and between (3) and (4)
// stands a barrier each, so that at least one of the two sees the other; the owner's is the light
// half of a process-wide barrier and costs nothing. The owner then turns back, or the claimer
// waits.

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/sys/process_barrier.hpp>

namespace zcpool {

/// What a gate may be open for.
using gate_key = std::uintptr_t;

/// What no gate is ever open for.
inline constexpr gate_key no_gate = 2;

/// The gate. Zeroed memory is a closed one with nobody inside, which is what a forked child sees.
///
/// Sharing: enter(), leave(), hold() and reopen() by the owner; the rest by any thread.
template <template <class> class Atomic = atomic, class Barrier = sys::process_barrier>
class basic_owner_gate {
public:
    /// What the gate is open for; never one of those below.
    using key = gate_key;
    static constexpr key closed = 0;   ///< nobody may enter, until the owner opens it again
    static constexpr key claimed = 1;  ///< somebody else is at what lies behind

    /// Goes in, if the gate is open for `wanted`.
    /// Returns: whether the owner is inside, and must leave().
    [[nodiscard]] bool enter(key wanted) noexcept {
        hold();
        // sync(gate): acquire; sees what the last claimer left.
        if (state_.load(memory_order_acquire) == wanted) [[likely]] {
            return true;
        }
        leave();
        return false;
    }

    /// Comes out.
    void leave() noexcept {
        // sync(gate): release; whoever finds nobody inside sees what the owner did.
        inside_.store(0, memory_order_release);
    }

    /// Says that the owner is inside, whatever the gate; it must leave(). For reopen().
    void hold() noexcept {
        // relaxed: ordered before what follows by the barrier.
        inside_.store(1, memory_order_relaxed);
        Barrier::light();
    }

    /// Opens a closed gate for the owner who holds it.
    /// Returns: false when somebody has claimed it.
    bool reopen(key wanted) noexcept {
        key expected = closed;
        // sync(gate): seq_cst; see the caller's look for a reason to keep it closed.
        return state_.compare_exchange_strong(expected, wanted, memory_order_seq_cst,
                                              memory_order_relaxed);
    }

    /// Closes the gate in front of the owner itself, unless somebody has claimed it.
    void close(key was_open_for) noexcept {
        // sync(gate): release; what the owner left is the next one's. relaxed: somebody claimed it.
        state_.compare_exchange_strong(was_open_for, closed, memory_order_acq_rel,
                                       memory_order_relaxed);
    }

    /// Keeps the owner out from now on. What lies behind is the caller's once was_left() is true
    /// after a heavy barrier.
    ///
    /// Returns: what the gate was before, for release(); `claimed` when somebody else was faster.
    [[nodiscard]] key claim() noexcept {
        // relaxed: the compare-exchange settles it.
        key found = state_.load(memory_order_relaxed);
        // sync(gate): seq_cst; sees what the last claimer left, and comes before the barrier.
        // relaxed on failure: nothing is read but the word.
        while (found != claimed &&
               !state_.compare_exchange_weak(found, claimed, memory_order_seq_cst,
                                             memory_order_relaxed)) {
        }
        return found;
    }

    /// Whether the owner was outside.
    [[nodiscard]] bool was_left() const noexcept {
        // sync(gate): acquire; pairs with leave().
        return inside_.load(memory_order_acquire) == 0;
    }

    /// Ends a claim.
    void release(key next) noexcept {
        // sync(gate): seq_cst; the owner, or the next claimer, sees what this one did.
        state_.store(next, memory_order_seq_cst);
    }

    /// What the gate was a moment ago.
    [[nodiscard]] key was() const noexcept {
        // sync(gate): seq_cst; behind a suspension it does not miss the reopening of an owner who
        // missed the suspension.
        return state_.load(memory_order_seq_cst);
    }

private:
    Atomic<key> state_;
    Atomic<std::uint32_t> inside_;
};

using owner_gate = basic_owner_gate<>;

}  // namespace zcpool
