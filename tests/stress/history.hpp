// SPDX-License-Identifier: MIT
#pragma once

// What threads did and when: the input of the linearizability checker and of the other checks that
// look at intervals.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace zcpool_test {

/// What an operation was. One enumeration for all models; each uses its own.
enum class act : std::uint8_t {
    acquire,    ///< a pool gave slot `value`
    release,    ///< slot `value` was given back
    was_full,   ///< a pool answered "exhausted": every slot was in use at some moment of it
    push,       ///< `value` was put into a store or ring
    push_lost,  ///< likewise, and no pop ever gave it back
    refused,    ///< a ring had no room for `value`
    pop,        ///< a store or ring gave `value`
    pop_none,   ///< a store or ring gave nothing
};

/// One call of one thread: it took effect at some moment between `begin` and `end`.
struct operation {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint32_t value = 0;
    act what{};
    std::uint32_t beside = 0;  ///< bit `what` of every operation that overlaps this one
};

using history = std::vector<operation>;

[[nodiscard]] constexpr std::uint32_t bit(act what) noexcept {
    return std::uint32_t{1} << static_cast<unsigned>(what);
}

/// Makes what this thread stored visible to all before anything behind it, as a real end of an
/// operation would not: without it "after" could mean "not yet seen" for a store that is on its
/// way.
inline void settle_stores() noexcept {
#if defined(__SANITIZE_THREAD__)
    std::atomic<int> own{0};  // ThreadSanitizer does not know fences
    own.fetch_add(1, std::memory_order_seq_cst);
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    std::atomic<int> own{0};
    own.fetch_add(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// A moment that lies between everything before and everything behind it; the same for all threads.
[[nodiscard]] inline std::uint64_t moment() noexcept {
    settle_stores();
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    settle_stores();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

/// Runs `call`, which answers what it did, and appends it with its interval.
template <class Call>
void record(history& into, Call&& call) {
    operation done;
    done.begin = moment();
    call(done);
    done.end = moment();
    into.push_back(done);
}

/// Fills in `beside` of every operation.
inline void mark_overlaps(history& all) {
    for (operation& one : all) {
        for (const operation& other : all) {
            if (&one != &other && one.begin <= other.end && other.begin <= one.end) {
                one.beside |= bit(other.what);
            }
        }
    }
}

}  // namespace zcpool_test
