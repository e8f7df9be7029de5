// SPDX-License-Identifier: MIT
#pragma once

// The one place through which the library names an atomic.
//
// Lock-free code here is templated on `template <class> class Atomic` with `zcpool::atomic` as the
// default, so that a model checker can put its own in. The wrapper takes the memory order as a
// required argument: a forgotten order does not compile, instead of meaning seq_cst. It has the
// size and the representation of T, and may live in shared memory.

#include <atomic>
#include <type_traits>

namespace zcpool {

using std::memory_order;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

/// An atomic that is always lock-free and whose every operation names its order.
///
/// Concurrency: every operation is wait-free or, for the compare-exchanges, lock-free;
/// address-free, so threads of other processes that map the memory elsewhere take part.
template <class T>
class atomic {
    static_assert(std::atomic<T>::is_always_lock_free,
                  "shared memory needs lock-free atomics: 16-byte ones are not, with g++ 12");
    // NOLINTNEXTLINE(bugprone-sizeof-expression): of the atomic, whatever T is.
    static_assert(sizeof(std::atomic<T>) == sizeof(T), "the representation is part of the layout");

public:
    constexpr atomic() noexcept = default;
    constexpr explicit atomic(T value) noexcept : value_(value) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    [[nodiscard]] T load(memory_order order) const noexcept { return value_.load(order); }
    void store(T value, memory_order order) noexcept { value_.store(value, order); }
    T exchange(T value, memory_order order) noexcept { return value_.exchange(value, order); }

    /// Replaces `expected` by `desired`; may fail for no reason. On failure `expected` becomes what
    /// was found.
    bool compare_exchange_weak(T& expected, T desired, memory_order success,
                               memory_order failure) noexcept {
        return value_.compare_exchange_weak(expected, desired, success, failure);
    }

    /// Replaces `expected` by `desired`; fails only when something else was found, which `expected`
    /// becomes.
    bool compare_exchange_strong(T& expected, T desired, memory_order success,
                                 memory_order failure) noexcept {
        return value_.compare_exchange_strong(expected, desired, success, failure);
    }

    T fetch_add(T value, memory_order order) noexcept { return value_.fetch_add(value, order); }
    T fetch_sub(T value, memory_order order) noexcept { return value_.fetch_sub(value, order); }
    T fetch_and(T value, memory_order order) noexcept { return value_.fetch_and(value, order); }
    T fetch_or(T value, memory_order order) noexcept { return value_.fetch_or(value, order); }

private:
    std::atomic<T> value_{};
};

}  // namespace zcpool
