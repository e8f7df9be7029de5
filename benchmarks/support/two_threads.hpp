// SPDX-License-Identifier: MIT
#pragma once

// Runs of two threads, one a processor, with the distance of the processors before and after.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "support/cpu.hpp"

namespace bench {

/// Runs `body(thread)` on `threads` threads at once, spread over the processors. One benchmark
/// iteration is one such run; it counts as `operations` items.
///
/// `ready(thread)` is called by each before the clock starts.
template <class Ready, class Body>
void run_threads(benchmark::State& state, unsigned threads, std::size_t operations, Ready&& ready,
                 Body&& body) {
    double before = 0;
    double after = 0;
    for (auto _ : state) {
        before = cache_line_round_trip();
        std::atomic<unsigned> waiting{threads};
        std::vector<std::pair<double, double>> times(threads);
        const auto run = [&](unsigned thread) {
            pin_to(thread);
            ready(thread);
            waiting.fetch_sub(1, std::memory_order_acq_rel);
            // acquire: everybody is ready.
            spin_until([&] { return waiting.load(std::memory_order_acquire) == 0; });
            times[thread].first = wall_ns();
            body(thread);
            times[thread].second = wall_ns();
        };
        std::vector<std::thread> others;
        for (unsigned thread = 1; thread < threads; ++thread) {
            others.emplace_back(run, thread);
        }
        run(0);
        for (std::thread& other : others) {
            other.join();
        }
        double begin = times[0].first;
        double end = times[0].second;
        for (const auto& [first, last] : times) {
            begin = std::min(begin, first);
            end = std::max(end, last);
        }
        state.SetIterationTime((end - begin) * 1e-9);
        after = cache_line_round_trip();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(operations));
    state.counters["round_trip_before"] = before;
    state.counters["round_trip_after"] = after;
}

/// Hands objects from one thread to one other, in order. Spins when full or empty.
template <class T, std::size_t Room>
class hand_over {
public:
    void push(T value) noexcept {
        if (tail_ - seen_head_ == Room) {
            // acquire: the place has been left.
            spin_until([&] {
                return tail_ - (seen_head_ = head_.load(std::memory_order_acquire)) != Room;
            });
        }
        places_[tail_ % Room] = std::move(value);
        // release: the value is there.
        shown_tail_.store(++tail_, std::memory_order_release);
    }
    [[nodiscard]] T pop() noexcept {
        if (taken_ == seen_tail_) {
            // acquire: the value is there.
            spin_until([&] {
                return taken_ != (seen_tail_ = shown_tail_.load(std::memory_order_acquire));
            });
        }
        T value = std::move(places_[taken_ % Room]);
        // release: the place has been left.
        head_.store(++taken_, std::memory_order_release);
        return value;
    }

private:
    alignas(64) std::size_t tail_ = 0;  // the pusher's
    std::size_t seen_head_ = 0;
    alignas(64) std::atomic<std::size_t> shown_tail_{0};
    alignas(64) std::size_t taken_ = 0;  // the popper's
    std::size_t seen_tail_ = 0;
    alignas(64) std::atomic<std::size_t> head_{0};
    alignas(64) std::array<T, Room> places_{};
};

}  // namespace bench
