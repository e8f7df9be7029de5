// SPDX-License-Identifier: MIT

// Acquire and release: the pool beside the heaps and pools that a program has otherwise, and beside
// the limit, a thread's own array of indices, which nobody else could use.
//
// Rows are named "work | subject". One item is one acquire with its release.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/cpu.hpp"
#include "support/program.hpp"
#include "support/subjects.hpp"
#include "support/two_threads.hpp"

namespace {

using namespace bench;

template <class Body>
auto* add(const std::string& work, const char* subject, Body body) {
    return benchmark::RegisterBenchmark((work + " | " + subject).c_str(), std::move(body));
}

/// What a program does first with a buffer: it writes a header.
void touch(std::byte* memory) noexcept { std::memset(memory, 1, 64); }

template <class Subject>
void one_thread(const std::shared_ptr<Subject>& subject, const std::string& work, std::size_t bytes,
                bool touched) {
    add(work, Subject::name, [=](benchmark::State& state) {
        pin_to(0);
        prepare<Subject>(bytes);
        for (auto _ : state) {
            auto handle = subject->acquire(bytes);
            std::byte* memory = handle.data();
            if (touched) {
                touch(memory);
            }
            benchmark::DoNotOptimize(memory);
            benchmark::ClobberMemory();
        }
        state.SetItemsProcessed(state.iterations());
    });
}

template <class Subject>
void burst(const std::shared_ptr<Subject>& subject) {
    constexpr std::size_t outstanding = 256;
    add("bursts of 256 outstanding", Subject::name, [=](benchmark::State& state) {
        pin_to(0);
        prepare<Subject>(64_KiB);
        std::vector<typename Subject::handle> held(outstanding);
        for (auto _ : state) {
            for (auto& each : held) {
                each = subject->acquire(64_KiB);
            }
            benchmark::ClobberMemory();
            for (auto& each : held) {
                auto ended = std::move(each);
            }
        }
        state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(outstanding));
    });
}

template <class Subject>
void random_mix(const std::shared_ptr<Subject>& subject) {
    add("random mix of four classes, 64 outstanding, 64 B touched", Subject::name,
        [=](benchmark::State& state) {
            pin_to(0);
            prepare<Subject>(0);
            struct step {
                std::uint32_t place;
                std::uint32_t bytes;
            };
            // The same steps for every subject, prepared, so that no generator is measured.
            std::mt19937 random{7};
            std::vector<step> steps(4096);
            for (step& each : steps) {
                each = {static_cast<std::uint32_t>(random() % 64),
                        static_cast<std::uint32_t>(bare_classes::sizes[random() % 4])};
            }
            std::vector<typename Subject::handle> held(64);
            std::size_t at = 0;
            for (auto _ : state) {
                const step now = steps[at++ % steps.size()];
                held[now.place] = {};
                held[now.place] = subject->acquire(now.bytes);
                touch(held[now.place].data());
            }
            state.SetItemsProcessed(state.iterations());
        });
}

template <class Subject>
void two_threads_apart(const std::shared_ptr<Subject>& subject) {
    const auto pairs = amount<std::size_t>(400'000, 10);
    add("two threads, each its own", Subject::name,
        [=](benchmark::State& state) {
            const auto work = [&](std::size_t count) {
                for (std::size_t i = 0; i < count; ++i) {
                    auto handle = subject->acquire(64_KiB);
                    std::byte* memory = handle.data();
                    benchmark::DoNotOptimize(memory);
                    benchmark::ClobberMemory();
                }
            };
            // Time a pair as one thread sees it: with two, twice as many are done in it.
            run_threads(
                state, 2, pairs,
                [&](unsigned) {
                    prepare<Subject>(64_KiB);
                    work(pairs / 10);
                },
                [&](unsigned) { work(pairs); });
        })
        ->Iterations(1)
        ->UseManualTime();
}

/// Memory that one thread uses after the other, chosen without any allocator.
struct memory_alone {
    struct handle {
        [[nodiscard]] std::byte* data() const noexcept { return memory; }
        std::byte* memory = nullptr;
    };
    [[nodiscard]] handle acquire(std::size_t bytes) noexcept {
        return {memory.data() + bytes * (next++ % 6)};
    }
    std::vector<std::byte> memory = std::vector<std::byte>(6_MiB);
    std::size_t next = 0;
};

template <class Subject>
void crossing(const std::shared_ptr<Subject>& subject, const char* name, bool whole) {
    const std::size_t bytes = whole ? 1_MiB : 64_KiB;
    const auto count = whole ? amount<std::size_t>(500, 4) : amount<std::size_t>(50'000, 10);
    const std::string work = whole ? "the same, 1 MiB, every byte written and read"
                                   : "acquired in one thread, released in another";
    using handle = typename Subject::handle;
    add(work, name,
        [=](benchmark::State& state) {
            // Few places for large ones: what is under way should fit the cache, as it would if the
            // reader were fast.
            const auto few = std::make_unique<hand_over<handle, 4>>();
            const auto many = std::make_unique<hand_over<handle, 64>>();
            const auto produce = [&](auto& line) {
                for (std::size_t i = 0; i < count; ++i) {
                    handle next = subject->acquire(bytes);
                    if (whole) {
                        std::memset(next.data(), static_cast<int>(i & 0xFF), bytes);
                    } else {
                        benchmark::ClobberMemory();
                    }
                    line.push(std::move(next));
                }
            };
            const auto consume = [&](auto& line) {
                for (std::size_t i = 0; i < count; ++i) {
                    const handle next = line.pop();
                    if (whole) {
                        const auto* words = reinterpret_cast<const std::uint64_t*>(next.data());
                        auto sum = std::accumulate(words, words + bytes / 8, std::uint64_t{0});
                        benchmark::DoNotOptimize(sum);
                    }
                }
            };
            run_threads(
                state, 2, count, [](unsigned) {},
                [&](unsigned thread) {
                    if (whole) {
                        thread == 0 ? produce(*few) : consume(*few);
                    } else {
                        thread == 0 ? produce(*many) : consume(*many);
                    }
                });
        })
        ->Iterations(1)
        ->UseManualTime();
}

template <class Subject>
void rows_of_one_thread(const std::shared_ptr<Subject>& subject) {
    one_thread(subject, "one thread", 64_KiB, false);
    one_thread(subject, "one thread, 4 KiB", 4_KiB, false);
    one_thread(subject, "1 MiB, one thread", 1_MiB, false);
    one_thread(subject, "first 64 B touched", 64_KiB, true);
    burst(subject);
    two_threads_apart(subject);
}

template <class Subject>
void all_rows(const std::shared_ptr<Subject>& subject) {
    rows_of_one_thread(subject);
    random_mix(subject);
    crossing(subject, Subject::name, false);
    crossing(subject, Subject::name, true);
}

}  // namespace

void bench::register_benchmarks() {
    all_rows(std::make_shared<pool_subject>());
    rows_of_one_thread(std::make_shared<bare_indices>());
    random_mix(std::make_shared<bare_classes>());
    crossing(std::make_shared<memory_alone>(), "limit: the hand-over alone", false);
    crossing(std::make_shared<memory_alone>(), "limit: the memory alone", true);
    all_rows(std::make_shared<malloc_subject>());
    all_rows(std::make_shared<pmr_subject>());
#if ZCPOOL_BENCH_HAS_BOOST
    rows_of_one_thread(std::make_shared<boost_subject>());
#endif
    if (auto tcmalloc = std::make_shared<tcmalloc_subject>(); tcmalloc->allocator.works()) {
        all_rows(tcmalloc);
    }
    if (auto mimalloc = std::make_shared<mimalloc_subject>(); mimalloc->allocator.works()) {
        all_rows(mimalloc);
    }
}
