// SPDX-License-Identifier: MIT
#pragma once

// Waiting until a slot comes back: asleep, or on the list of those who are told (watch_list.hpp).
//
// All sleepers of a pool, in this process or another, sleep on one futex word, each with the bits
// of the classes that it can use; a release wakes one of those who can use its class, notifies one
// on the list, and makes no system call when nobody waits.
// That no wake-up is lost rests on four sequentially consistent operations: the waiter (1) counts
// itself, (2) looks at the slot words; the releaser (3) changes the slot word, (4) looks at the
// count. In the single order of the four, (4) before (1) puts (3) before (2): the waiter finds the
// slot. Otherwise the releaser sees the waiter, and changes the futex word that the waiter read
// before (2), or finds on the list who was linked there before (1).
// Source: futex(2).

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/pool/watch_list.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool {

/// The waiters of a pool: a view of its futex word, of each class's count, and of the list of those
/// who do not sleep.
///
/// With atomics other than the library's, futex_wait and futex_wake are found beside those.
template <template <class> class Atomic = atomic>
class basic_wait_list {
public:
    using word = Atomic<std::uint32_t>;

    basic_wait_list() noexcept = default;
    /// A view of the word that counts what came back, and of those who wait without sleeping.
    explicit basic_wait_list(word& sequence, watch_list* watches = nullptr) noexcept
        : sequence_(&sequence), watches_(watches) {}

    /// Wakes one sleeper that can use class `index`, and notifies one on the list, if there is one.
    ///
    /// Complexity: one load, and a system call only when somebody waits.
    /// Concurrency: wait-free while nobody is on the list.
    void wake_one(std::uint32_t index, const word& waiters) noexcept {
        // sync(wake): seq_cst; step (4).
        if (waiters.load(memory_order_seq_cst) != 0) {
            wake(usable(index, false));
        }
    }

    /// As wake_one(), for those who can use the reserve of class `index`.
    ///
    /// Complexity, Concurrency: as wake_one().
    void wake_urgent(std::uint32_t index, const word& waiters) noexcept {
        // sync(wake): seq_cst; step (4).
        if (waiters.load(memory_order_seq_cst) != 0) {
            wake(usable(index, true) & ~usable(index, false));
        }
    }

    /// The bits of a waiter for class `index`.
    [[nodiscard]] static constexpr std::uint32_t usable(std::uint32_t index,
                                                        bool is_urgent) noexcept {
        return (std::uint32_t{1} << index) | (is_urgent ? std::uint32_t{1} << (16 + index) : 0U);
    }

    /// Wakes and notifies everybody.
    void wake_all() noexcept {
        wake_sleepers(INT32_MAX, ~std::uint32_t{0});
        if (watches_ != nullptr) {
            watches_->notify_all();
        }
    }

    /// What to hand to sleep(); read before the last look for a slot.
    [[nodiscard]] std::uint32_t ticket() const noexcept {
        // sync(wake): seq_cst; before step (2).
        return sequence_->load(memory_order_seq_cst);
    }

    /// Sleeps until a wake-up for one of `classes`, unless one came since the ticket; at most until
    /// `deadline`.
    void sleep(std::uint32_t ticket, std::uint32_t classes,
               sys::clock::time_point deadline) noexcept {
        // Why it ended makes no difference: the waiter looks for a slot, and at the clock.
        using sys::futex_wait;
        static_cast<void>(futex_wait(*sequence_, ticket, classes, deadline));
    }

    /// Counts a waiter, step (1), until it leaves.
    static void enter(word& waiters) noexcept {
        // sync(wake): seq_cst; step (1).
        waiters.fetch_add(1, memory_order_seq_cst);
    }
    /// Counts a waiter out.
    static void leave(word& waiters) noexcept {
        // relaxed: a release that still sees us makes a needless call.
        waiters.fetch_sub(1, memory_order_relaxed);
    }

private:
    void wake(std::uint32_t classes) noexcept {
        wake_sleepers(1, classes);
        if (watches_ != nullptr) {
            watches_->notify_one(classes);
        }
    }
    void wake_sleepers(std::uint32_t count, std::uint32_t classes) noexcept {
        // sync(wake): seq_cst; a waiter that read the ticket before does not fall asleep.
        sequence_->fetch_add(1, memory_order_seq_cst);
        using sys::futex_wake;
        futex_wake(*sequence_, count, classes);
    }

    word* sequence_ = nullptr;
    watch_list* watches_ = nullptr;
};

using wait_list = basic_wait_list<>;

}  // namespace zcpool
