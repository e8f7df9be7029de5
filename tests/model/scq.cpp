// SPDX-License-Identifier: MIT
// The other candidate for the ring of resting slots, SCQ, bare: it neither loses nor doubles an
// index where nobody dies, but with more threads than indices it says that it is empty when it is
// not, and readers that die wear it out. include/zcpool/ring/README.md draws the conclusion.
// Source: R. Nikolaev, arXiv:1908.04511, figure 8.
#include "harness.hpp"

namespace {

using namespace zcpool_model;

inline constexpr std::uint32_t none = ~std::uint32_t{0};

/// A queue of `Capacity` indices, a power of two from 2 on.
template <std::uint32_t Capacity>
class scq {
    static constexpr std::int64_t size = 2 * Capacity;
    static constexpr std::int64_t empty = size - 1;
    static constexpr std::int64_t full_threshold = 3 * Capacity - 1;
    static constexpr auto acquire = std::memory_order_acquire;
    static constexpr auto acq_rel = std::memory_order_acq_rel;

public:
    scq() : head_{size}, tail_{size}, threshold_{-1} {
        for (auto& each : entries_) {
            each.store(pack(0, true, empty), std::memory_order_relaxed);
        }
    }
    void push(std::uint32_t index) {
        for (;;) {
            const auto tail = tail_.fetch_add(1, acq_rel);
            const auto cycle = tail / size;
            auto& entry = entries_[tail % size];
            auto found = entry.load(acquire);
            while (cycle_of(found) < cycle && index_of(found) == empty &&
                   (is_safe(found) || head_.load(acquire) <= tail)) {
                if (entry.compare_exchange_weak(found, pack(cycle, true, index), acq_rel,
                                                acquire)) {
                    if (threshold_.load(acquire) != full_threshold) {
                        threshold_.store(full_threshold, std::memory_order_release);
                    }
                    return;
                }
            }
        }
    }
    std::uint32_t pop() {
        if (threshold_.load(acquire) < 0) {
            return none;
        }
        for (;;) {
            const auto head = head_.fetch_add(1, acq_rel);
            const auto cycle = head / size;
            auto& entry = entries_[head % size];
            auto found = entry.load(acquire);
            for (;;) {
                if (cycle_of(found) == cycle) {
                    entry.fetch_or(empty, acq_rel);
                    return static_cast<std::uint32_t>(index_of(found));
                }
                const auto wanted = index_of(found) == empty
                                        ? pack(cycle, is_safe(found), empty)
                                        : pack(cycle_of(found), false, index_of(found));
                if (cycle_of(found) >= cycle ||
                    entry.compare_exchange_weak(found, wanted, acq_rel, acquire)) {
                    break;
                }
            }
            const auto tail = tail_.load(acquire);
            if (tail <= head + 1) {
                catch_up(tail, head + 1);
                threshold_.fetch_sub(1, acq_rel);
                return none;
            }
            if (threshold_.fetch_sub(1, acq_rel) <= 0) {
                return none;
            }
        }
    }
    /// Indices that are in the entries, whether or not a pop finds them.
    unsigned inside() const {
        return static_cast<unsigned>(
            std::count_if(std::begin(entries_), std::end(entries_),
                          [](const auto& each) { return index_of(each.newest()) != empty; }));
    }

private:
    static constexpr std::int64_t pack(std::int64_t cycle, bool safe, std::int64_t index) {
        return cycle * 2 * size | (safe ? size : 0) | index;
    }
    static constexpr std::int64_t cycle_of(std::int64_t entry) { return entry / (2 * size); }
    static constexpr bool is_safe(std::int64_t entry) { return (entry & size) != 0; }
    static constexpr std::int64_t index_of(std::int64_t entry) { return entry & empty; }
    void catch_up(std::int64_t tail, std::int64_t head) {
        while (!tail_.compare_exchange_weak(tail, head, acq_rel, acquire)) {
            head = head_.load(acquire);
            tail = tail_.load(acquire);
            if (tail >= head) {
                return;
            }
        }
    }

    zcpool_model::atomic<std::int64_t> head_;
    zcpool_model::atomic<std::int64_t> tail_;
    zcpool_model::atomic<std::int64_t> threshold_;
    zcpool_model::atomic<std::int64_t> entries_[size];
};

/// Threads take an index and put it back. Nothing is lost or doubled; and `Found` asserts that no
/// thread is told of an empty queue while there surely was something inside.
template <std::uint32_t Capacity, unsigned Threads, bool Found>
struct mixed : rl::test_suite<mixed<Capacity, Threads, Found>, Threads> {
    scq<Capacity> queue;
    bool inside[Capacity] = {};
    int complete = 0;  // pushes that have returned, less pops that have
    int popped = 0;
    int popping = 0;

    void push(std::uint32_t index) {
        inside[index] = true;
        queue.push(index);
        ++complete;
    }
    std::uint32_t pop() {
        const int complete_before = complete;
        const int popped_before = popped;
        ++popping;
        const auto index = queue.pop();
        --popping;
        if (index == none) {
            // What was inside before, less what others took or may be taking.
            const int sure = complete_before - (popped - popped_before) - popping;
            RL_ASSERT(!Found || sure <= 0);
            return none;
        }
        RL_ASSERT(index < Capacity && inside[index]);
        inside[index] = false;
        --complete;
        ++popped;
        return index;
    }
    void before() {
        for (std::uint32_t index = 0; index < Capacity; ++index) {
            push(index);
        }
    }
    void thread(unsigned) {
        for (int step = 0; step < 3; ++step) {
            if (const auto index = pop(); index != none) {
                push(index);
            }
        }
    }
    void after() {
        for (int tries = 0; tries < 100; ++tries) {
            static_cast<void>(pop());
        }
        RL_ASSERT(complete == 0);
    }
};

/// Readers die behind their first step, one after the other. Then a living thread pushes and pops.
template <std::uint32_t Capacity, unsigned Dead>
struct worn : rl::test_suite<worn<Capacity, Dead>, 2> {
    scq<Capacity> queue;

    void thread(unsigned thread) {
        if (thread == 0) {
            return;
        }
        queue.push(0);
        for (unsigned dead = 0; dead < Dead; ++dead) {
            // The points before and behind the look at the threshold, and before and behind winning
            // a position.
            survives(4, [this] { static_cast<void>(queue.pop()); });
        }
        queue.push(1);
        unsigned found = 0;
        for (unsigned tries = 0; tries < 100 && found == 0; ++tries) {
            found += queue.pop() != none ? 1 : 0;
        }
        RL_ASSERT(found != 0);
    }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n4", mixed<4, 3, true>>(300'000),
                         random_case<"n2", mixed<2, 4, false>>(300'000),
#ifdef ZCPOOL_MODEL_ONLY  // for mutants.py: must not be clean
                         random_case<"n2_found", mixed<2, 4, true>>(300'000),
                         random_case<"worn", worn<2, 6>>(10),
#endif
                     });
}
