// SPDX-License-Identifier: MIT
#pragma once

// Whether one end of a stream sleeps, or has closed: a word in shared memory that its owner sleeps
// on, and that the other end looks at whenever it has changed something.
//
// No wake-up is lost. The sleeper (1) says that it sleeps, (2) looks whether there is a reason not
// to; the other end (3) makes a reason, (4) looks whether the sleeper sleeps. Between (1) and (2)
// and between (3) and (4) stands a barrier each, so that at least one of the two sees the other.
// (4) comes with every message and would cost more than a small one: the processor would have to
// wait until the other one has given up the lines just written. So its barrier is the light half of
// one between processes (sys/global_barrier.hpp), and who goes to sleep pays. Where the system has
// no such thing, (1) and (4) are read-modify-writes of the word, one of which comes first: either
// (4) finds that the sleeper sleeps, or (1) reads what (4) released, and (2) sees the reason.
// Source: futex(2), membarrier(2).

#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/global_barrier.hpp>

namespace zcpool::ipc {

/// Which barrier both ends use.
enum class barrier_kind : std::uint8_t {
    full,      ///< read-modify-writes: works everywhere
    lopsided,  ///< membarrier(2), for which both processes are prepared
};

/// The word of one end. Zeroed memory is an end that is open and awake.
///
/// Sharing: sleep_unless() and close() by its owner, the rest by the other end. What a scribbler
/// puts here makes its owner look too often, or too late: once `deadline` has passed.
///
/// With atomics other than the library's, futex_wait and futex_wake are found beside those.
template <template <class> class Atomic = atomic, class Barrier = sys::global_barrier>
class basic_sleep_word {
public:
    /// Sleeps until the other end calls wake(), at most until `deadline`; not at all when `holds()`
    /// is true behind the announcement.
    ///
    /// Returns: may have slept for no reason: look again.
    /// Complexity: a system call, two with a lopsided barrier.
    /// Concurrency: blocks.
    template <class Condition>
    void sleep_unless(Condition&& holds, barrier_kind kind,
                      sys::clock::time_point deadline) noexcept {
        // sync(asleep): seq_cst; step (1). Behind wake() of the other end it sees what that one
        // did.
        const std::uint32_t before = word_.fetch_or(asleep, memory_order_seq_cst);
        if (kind == barrier_kind::lopsided) {
            Barrier::heavy();
        }
        if (!holds()) {
            using sys::futex_wait;
            static_cast<void>(futex_wait(word_, before | asleep, any_bit, deadline));
        }
        // relaxed: who still sees us asleep makes a needless call.
        word_.fetch_and(~asleep, memory_order_relaxed);
    }

    /// Says for good that the owner neither writes nor reads any more. The other end is to be
    /// woken.
    void close() noexcept {
        // sync(closed): release; who sees it sees everything that was committed before.
        word_.fetch_or(closed, memory_order_release);
    }

    /// Wakes the owner if it sleeps; to be called behind whatever it might wait for.
    ///
    /// Returns: whether the owner had closed, as was_closed() but without its order.
    /// Complexity: one load, or with a full barrier a read-modify-write; a system call only when
    /// the owner sleeps.
    /// Concurrency: wait-free.
    bool wake(barrier_kind kind) noexcept {
        const std::uint32_t found = look(kind);
        if ((found & asleep) != 0) [[unlikely]] {
            wake_sleeper();
        }
        return (found & closed) != 0;
    }

    /// Whether the owner has closed. Look once more for what it left before.
    [[nodiscard]] bool was_closed() const noexcept {
        // sync(closed): acquire; sees what was committed before.
        return (word_.load(memory_order_acquire) & closed) != 0;
    }

private:
    static constexpr std::uint32_t asleep = 1;
    static constexpr std::uint32_t closed = 2;
    static constexpr std::uint32_t any_bit = ~std::uint32_t{0};

    /// Step (4).
    [[nodiscard]] std::uint32_t look(barrier_kind kind) noexcept {
        if (kind == barrier_kind::lopsided) {
            Barrier::light();
            // relaxed: ordered behind what the caller did by the barrier.
            return word_.load(memory_order_relaxed);
        }
        // sync(asleep): seq_cst; a read-modify-write that changes nothing.
        return word_.fetch_add(0, memory_order_seq_cst);
    }

    void wake_sleeper() noexcept {
        // sync(asleep): seq_cst; one of those who find it asleep wakes it, and it is not asleep
        // any more for a futex_wait() that comes late.
        if ((word_.fetch_and(~asleep, memory_order_seq_cst) & asleep) != 0) {
            using sys::futex_wake;
            futex_wake(word_, 1, any_bit);
        }
    }

    Atomic<std::uint32_t> word_;
};

using sleep_word = basic_sleep_word<>;

}  // namespace zcpool::ipc
