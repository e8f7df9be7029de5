// SPDX-License-Identifier: MIT
#pragma once

// Sleeping until a slot comes back, in this process or another.
//
// All waiters of a pool sleep on one futex word, each with the bits of the classes that it can use;
// a release wakes one of those who can use its class, and makes no system call when nobody waits.
// That no wake-up is lost rests on four sequentially consistent operations: the waiter (1) counts
// itself, (2) looks at the slot words; the releaser (3) changes the slot word, (4) looks at the
// count. In the single order of the four, (4) before (1) puts (3) before (2): the waiter finds the
// slot. Otherwise the releaser sees the waiter, and changes the futex word that the waiter read
// before (2).
// Source: futex(2).

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool {

/// The waiters of a pool: a view of its futex word and of each class's count.
///
/// With atomics other than the library's, futex_wait and futex_wake are found beside those.
template <template <class> class Atomic = atomic>
class basic_wait_list {
public:
    using word = Atomic<std::uint32_t>;

    basic_wait_list() noexcept = default;
    explicit basic_wait_list(word& sequence) noexcept : sequence_(&sequence) {}

    /// Wakes one waiter that can use class `index`, if there is one.
    ///
    /// Complexity: one load, and a system call only when somebody waits.
    /// Concurrency: wait-free.
    void wake_one(std::uint32_t index, const word& waiters) noexcept {
        // sync(wake): seq_cst; step (4).
        if (waiters.load(memory_order_seq_cst) != 0) {
            wake(1, usable(index, false));
        }
    }

    /// Wakes one waiter that can use the reserve of class `index`, if there is one.
    ///
    /// Complexity, Concurrency: as wake_one().
    void wake_urgent(std::uint32_t index, const word& waiters) noexcept {
        // sync(wake): seq_cst; step (4).
        if (waiters.load(memory_order_seq_cst) != 0) {
            wake(1, usable(index, true) & ~usable(index, false));
        }
    }

    /// The bits of a waiter for class `index`.
    [[nodiscard]] static constexpr std::uint32_t usable(std::uint32_t index,
                                                        bool is_urgent) noexcept {
        return (std::uint32_t{1} << index) | (is_urgent ? std::uint32_t{1} << (16 + index) : 0U);
    }

    /// Wakes everybody.
    void wake_all() noexcept { wake(INT32_MAX, ~std::uint32_t{0}); }

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

    /// Counts a waiter for as long as it lives: step (1).
    class registration {
    public:
        explicit registration(word& waiters) noexcept : waiters_(waiters) {
            // sync(wake): seq_cst; step (1).
            waiters_.fetch_add(1, memory_order_seq_cst);
        }
        registration(const registration&) = delete;
        registration& operator=(const registration&) = delete;
        ~registration() {
            // relaxed: a release that still sees us makes a needless call.
            waiters_.fetch_sub(1, memory_order_relaxed);
        }

    private:
        word& waiters_;
    };

private:
    void wake(std::uint32_t count, std::uint32_t classes) noexcept {
        // sync(wake): seq_cst; a waiter that read the ticket before does not fall asleep.
        sequence_->fetch_add(1, memory_order_seq_cst);
        using sys::futex_wake;
        futex_wake(*sequence_, count, classes);
    }

    word* sequence_ = nullptr;
};

using wait_list = basic_wait_list<>;

}  // namespace zcpool
