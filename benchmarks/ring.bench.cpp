// SPDX-License-Identifier: MIT

// The stores of free slots beside others of the same capacity: nanoseconds a push with its pop.
//
// One thread takes an index out and puts it back. Several do the same at once ("mixed"), with the
// store half full. Time with several threads is wall time over the pairs of all of them together.
// Rows are named "work | subject".

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "support/cpu.hpp"
#include "support/program.hpp"
#include "support/rings.hpp"
#include "support/two_threads.hpp"

namespace {

using namespace bench;

template <class Ring>
std::unique_ptr<Ring> half_full() {
    auto ring = std::make_unique<Ring>();
    for (std::uint32_t i = 0; i < ring_capacity / 2; ++i) {
        ring->push(i);
    }
    return ring;
}

template <class Ring>
void pass_around(Ring& ring, std::size_t pairs) {
    for (std::size_t i = 0; i < pairs; ++i) {
        std::uint32_t index = ring.pop();
        // With fewer threads than indices there is always one, but a pop may miss it.
        while (index == none) {
            index = ring.pop();
        }
        ring.push(index);
    }
}

template <class Ring>
void one_thread() {
    benchmark::RegisterBenchmark((std::string{"1 thread | "} + Ring::name).c_str(),
                                 [](benchmark::State& state) {
                                     pin_to(0);
                                     const auto ring = half_full<Ring>();
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
    benchmark::RegisterBenchmark((std::string{work} + " | " + Ring::name).c_str(),
                                 [=](benchmark::State& state) {
                                     const auto ring = half_full<Ring>();
                                     run_threads(
                                         state, threads, pairs * threads, [](unsigned) {},
                                         [&](unsigned) { pass_around(*ring, pairs); });
                                 })
        ->Iterations(1)
        ->UseManualTime();
}

template <class Ring>
void all_rows() {
    one_thread<Ring>();
    mixed<Ring>(2, "2 threads mixed");
    mixed<Ring>(4, "4 threads on 2 cores");
}

}  // namespace

void bench::register_benchmarks() {
    // Not a row: for programs that measure something else and want to know.
    benchmark::RegisterBenchmark(
        "cache line round trip | processors",
        [](benchmark::State& state) { run_threads(state, 1, 1, [](unsigned) {}, [](unsigned) {}); })
        ->Iterations(1)
        ->UseManualTime();
    all_rows<own_store>();
    all_rows<own_ring>();
    one_thread<bare_array>();
    all_rows<scq>();
    all_rows<vyukov_queue>();
    all_rows<mutex_vector>();
#if ZCPOOL_BENCH_HAS_LOCKFREE
    all_rows<boost_queue>();
    all_rows<boost_stack>();
#endif
}
