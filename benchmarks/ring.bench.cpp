// SPDX-License-Identifier: MIT

// The stores of free slots beside others of the same capacity: nanoseconds a push with its pop.
//
// One thread takes an index out and puts it back. Several do the same at once ("mixed"), with the
// store half full. From producer to consumer, indices go one way. Time with several threads is wall
// time over the pairs of all of them together. Where single operations are timed, the row has
// percentiles; where a thread is stopped, how often the other stalled.
// Rows are named "work | subject".

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/cpu.hpp"
#include "support/freeze.hpp"
#include "support/latency.hpp"
#include "support/program.hpp"
#include "support/ring_peers.hpp"
#include "support/rings.hpp"
#include "support/two_threads.hpp"

namespace {

using namespace bench;

template <class Ring, class Body>
auto* add_row(const char* work, Body body) {
    return benchmark::RegisterBenchmark((std::string{work} + " | " + Ring::name).c_str(),
                                        std::move(body));
}

/// What a thread does with some rings before it uses one, and after.
template <class Ring>
class attached {
public:
    explicit attached(Ring& ring) : ring_(ring) {
        if constexpr (requires { ring_.attach(); }) {
            ring_.attach();
        }
    }
    ~attached() {
        if constexpr (requires { ring_.detach(); }) {
            ring_.detach();
        }
    }
    attached(const attached&) = delete;
    attached& operator=(const attached&) = delete;

private:
    Ring& ring_;
};

template <class Ring>
std::unique_ptr<Ring> half_full() {
    auto ring = std::make_unique<Ring>();
    const attached here{*ring};
    for (std::uint32_t i = 0; i < ring_capacity / 2; ++i) {
        ring->push(i);
    }
    return ring;
}

/// With fewer threads than indices there always is one, but a pop may miss it.
template <class Ring>
[[nodiscard]] std::uint32_t pop_one(Ring& ring) {
    std::uint32_t index = ring.pop();
    while (index == none) {
        index = ring.pop();
    }
    return index;
}

template <class Ring>
void pass_around(Ring& ring, std::size_t pairs) {
    for (std::size_t i = 0; i < pairs; ++i) {
        ring.push(pop_one(ring));
    }
}

/// Does `body(i)` up to `times` times, but ends after half a second: with four threads on two
/// processors some rings get stuck for whole slices of time. Returns: how often.
template <class Body>
[[nodiscard]] std::size_t repeat(std::size_t times, Body&& body) {
    const double end = wall_ns() + 5e8;
    std::size_t done = 0;
    while (done < times && wall_ns() < end) {
        for (const std::size_t next = std::min(times, done + 64); done < next; ++done) {
            body(done);
        }
    }
    return done;
}

template <class Ring>
void one_thread() {
    add_row<Ring>("1 thread", [](benchmark::State& state) {
        pin_to(0);
        const auto ring = half_full<Ring>();
        const attached here{*ring};
        for (auto _ : state) {
            pass_around(*ring, 64);
            benchmark::ClobberMemory();
        }
        state.SetItemsProcessed(state.iterations() * 64);
    });
}

template <class Ring>
void mixed(unsigned threads, const char* work) {
    const auto pairs = amount<std::size_t>(200'000, 10);
    add_row<Ring>(work,
                  [=](benchmark::State& state) {
                      const auto ring = half_full<Ring>();
                      std::vector<std::size_t> done(threads);
                      run_threads(
                          state, threads, 0, [](unsigned) {},
                          [&](unsigned thread) {
                              const attached here{*ring};
                              done[thread] =
                                  repeat(pairs, [&](std::size_t) { pass_around(*ring, 1); });
                          });
                      state.SetItemsProcessed(std::accumulate(done.begin(), done.end(), 0L));
                  })
        ->Iterations(1)
        ->UseManualTime();
}

/// How long a single push or pop takes, reading the clock included, while four threads are at it.
template <class Ring>
void single_operations() {
    constexpr unsigned threads = 4;
    const auto pairs = amount<std::size_t>(200'000, 10);
    add_row<Ring>("4 threads on 2 cores, one operation",
                  [=](benchmark::State& state) {
                      const auto ring = half_full<Ring>();
                      std::vector<std::vector<std::uint32_t>> times(
                          threads, std::vector<std::uint32_t>(2 * pairs));
                      run_threads(
                          state, threads, 0, [](unsigned) {},
                          [&](unsigned thread) {
                              const attached here{*ring};
                              auto& mine = times[thread];
                              const std::size_t done = repeat(pairs, [&](std::size_t i) {
                                  const std::uint64_t first = ticks();
                                  const std::uint32_t index = pop_one(*ring);
                                  const std::uint64_t second = ticks();
                                  ring->push(index);
                                  const std::uint64_t third = ticks();
                                  mine[2 * i] = static_cast<std::uint32_t>(second - first);
                                  mine[2 * i + 1] = static_cast<std::uint32_t>(third - second);
                              });
                              mine.resize(2 * done);
                          });
                      const latencies found{std::move(times)};
                      state.counters["p50"] = found.at(0.5);
                      state.counters["p99"] = found.at(0.99);
                      state.counters["p99.9"] = found.at(0.999);
                      state.counters["max"] = found.at(1);
                  })
        ->Iterations(1)
        ->UseManualTime();
}

/// Indices from one thread to another. The consumer says now and then how far it is, so that no
/// index is in the ring twice and no ring needs to be asked whether it is full.
template <class Ring>
void one_to_one() {
    constexpr std::size_t window = ring_capacity / 2;
    const auto count = amount<std::size_t>(400'000, 10);
    add_row<Ring>("producer to consumer",
                  [=](benchmark::State& state) {
                      const auto ring = std::make_unique<Ring>();
                      alignas(64) std::atomic<std::size_t> taken{0};
                      std::uint64_t sum = 0;
                      const auto produce = [&] {
                          std::size_t seen = 0;
                          for (std::size_t i = 0; i < count; ++i) {
                              // acquire: the consumer has them.
                              spin_until([&] {
                                  return i - seen < window ||
                                         i - (seen = taken.load(std::memory_order_acquire)) <
                                             window;
                              });
                              ring->push(static_cast<std::uint32_t>(i % ring_capacity));
                          }
                      };
                      const auto consume = [&] {
                          for (std::size_t i = 0; i < count; ++i) {
                              std::uint32_t index = none;
                              spin_until([&] { return (index = ring->pop()) != none; });
                              sum += index;
                              if (i % 64 == 63) {
                                  // release: they have been taken.
                                  taken.store(i + 1, std::memory_order_release);
                              }
                          }
                      };
                      run_threads(
                          state, 2, count, [](unsigned) {},
                          [&](unsigned thread) {
                              const attached here{*ring};
                              thread == 0 ? produce() : consume();
                          });
                      std::uint64_t expected = 0;
                      for (std::size_t i = 0; i < count; ++i) {
                          expected += i % ring_capacity;
                      }
                      if (sum != expected) {
                          state.SkipWithError("what came out is not what went in");
                      }
                  })
        ->Iterations(1)
        ->UseManualTime();
}

/// How often a thread that is stopped in the middle keeps another from going on.
template <class Ring>
void stopped_thread() {
    // Fifteen passes are a thousand stops. One whose every stop is a stall takes half a second.
    const auto stops = amount<unsigned>(70, 2);
    add_row<Ring>("a thread stopped at a random instruction", [=](benchmark::State& state) {
        const auto ring = half_full<Ring>();
        freeze_counts counts;
        for (auto _ : state) {
            counts = count_stalls(
                stops, 2, 4 * ring_capacity,
                [&](unsigned) { return std::make_unique<attached<Ring>>(*ring); },
                [&](unsigned) { pass_around(*ring, 1); });
        }
        state.counters["stops"] = counts.stops;
        state.counters["stalls"] = counts.stalls;
    })->Iterations(1);
}

template <class Ring>
void all_rows() {
    one_thread<Ring>();
    mixed<Ring>(2, "2 threads mixed");
    mixed<Ring>(4, "4 threads on 2 cores");
    single_operations<Ring>();
    stopped_thread<Ring>();
}

/// Of what keeps the order.
template <class Ring>
void rows_of_queue() {
    all_rows<Ring>();
    one_to_one<Ring>();
}

}  // namespace

void bench::register_benchmarks() {
    [[maybe_unused]] constexpr const char* not_built = "not installed when this was built";
    // Not a row: for programs that measure something else and want to know.
    benchmark::RegisterBenchmark(
        "cache line round trip | processors",
        [](benchmark::State& state) { run_threads(state, 1, 1, [](unsigned) {}, [](unsigned) {}); })
        ->Iterations(1)
        ->UseManualTime();
    all_rows<own_store>();
    all_rows<own_stack>();
    rows_of_queue<own_ring>();
    one_thread<bare_array>();
    rows_of_queue<scq>();
    rows_of_queue<vyukov_queue>();
    all_rows<mutex_vector>();
    rows_of_queue<mutex_deque>();
#if ZCPOOL_BENCH_HAS_LOCKFREE
    rows_of_queue<boost_queue>();
    all_rows<boost_stack>();
    one_to_one<boost_spsc>();
#else
    left_out("boost::lockfree", not_built);
#endif
#if ZCPOOL_BENCH_HAS_MOODYCAMEL
    rows_of_queue<moodycamel_queue>();
#else
    left_out("moodycamel::ConcurrentQueue", not_built);
#endif
#if ZCPOOL_BENCH_HAS_ATOMIC_QUEUE
    rows_of_queue<atomic_queue_peer<false>>();
    rows_of_queue<atomic_queue_peer<true>>();
#else
    left_out("atomic_queue", not_built);
#endif
#if ZCPOOL_BENCH_HAS_TBB
    rows_of_queue<tbb_queue>();
#else
    left_out("tbb::concurrent_bounded_queue", not_built);
#endif
#if ZCPOOL_BENCH_HAS_CDS
    rows_of_queue<cds_vyukov>();
    rows_of_queue<cds_msqueue>();
#else
    left_out("libcds", not_built);
#endif
#if ZCPOOL_BENCH_HAS_DPDK
    rows_of_queue<dpdk_mpmc>();
    rows_of_queue<dpdk_rts>();
    rows_of_queue<dpdk_hts>();
    one_to_one<dpdk_spsc>();
#else
    left_out("DPDK rte_ring", not_built);
#endif
}
