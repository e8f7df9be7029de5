// SPDX-License-Identifier: MIT
#pragma once

// The rows of acquire and release, for any subject. They are named "work | subject", and one item
// is one acquire with its release.

#include <benchmark/benchmark.h>

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

namespace bench {

template <class Body>
auto* add_row(const std::string& work, const char* subject, Body body) {
    return benchmark::RegisterBenchmark((work + " | " + subject).c_str(), std::move(body));
}

/// Why a row is none: a subject that has run out would look fast.
inline constexpr const char* no_memory = "it had no memory to give";

/// What a program does first with a buffer: it writes a header.
inline void touch(std::byte* memory) noexcept { std::memset(memory, 1, 64); }

template <class Subject>
void one_thread(const std::shared_ptr<Subject>& subject, const std::string& work, std::size_t bytes,
                bool touched) {
    add_row(work, Subject::name, [=](benchmark::State& state) {
        pin_to(0);
        prepare<Subject>(bytes);
        if (const auto first = subject->acquire(bytes); first.data() == nullptr) {
            state.SkipWithError(no_memory);
            return;
        }
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
    add_row("bursts of 256 outstanding", Subject::name, [=](benchmark::State& state) {
        pin_to(0);
        prepare<Subject>(64_KiB);
        std::vector<typename Subject::handle> held(outstanding);
        bool failed = false;
        for (auto _ : state) {
            for (auto& each : held) {
                each = subject->acquire(64_KiB);
            }
            benchmark::ClobberMemory();
            failed |= held.back().data() == nullptr;
            for (auto& each : held) {
                auto ended = std::move(each);
            }
        }
        if (failed) {
            state.SkipWithError(no_memory);
        }
        state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(outstanding));
    });
}

template <class Subject>
void random_mix(const std::shared_ptr<Subject>& subject) {
    add_row("random mix of four classes, 64 outstanding, 64 B touched", Subject::name,
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
                            static_cast<std::uint32_t>(class_sizes[random() % 4])};
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
    add_row("two threads, each its own", Subject::name,
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

template <class Subject>
void crossing(const std::shared_ptr<Subject>& subject, const char* name, bool whole) {
    const std::size_t bytes = whole ? 1_MiB : 64_KiB;
    const auto count = whole ? amount<std::size_t>(500, 4) : amount<std::size_t>(50'000, 10);
    const std::string work = whole ? "the same, 1 MiB, every byte written and read"
                                   : "acquired in one thread, released in another";
    using handle = typename Subject::handle;
    add_row(work, name,
            [=](benchmark::State& state) {
                // Few places for large ones: what is under way should fit the cache, as it would if
                // the reader were fast.
                const auto few = std::make_unique<hand_over<handle, 4>>();
                const auto many = std::make_unique<hand_over<handle, 64>>();
                bool failed = false;
                const auto produce = [&](auto& line, std::size_t buffers) {
                    for (std::size_t i = 0; i < buffers; ++i) {
                        handle next = subject->acquire(bytes);
                        if (whole && next.data() != nullptr) {
                            std::memset(next.data(), static_cast<int>(i & 0xFF), bytes);
                        } else {
                            benchmark::ClobberMemory();
                        }
                        line.push(std::move(next));
                    }
                };
                const auto consume = [&](auto& line, std::size_t buffers) {
                    for (std::size_t i = 0; i < buffers; ++i) {
                        const handle next = line.pop();
                        if (next.data() == nullptr) {
                            failed = true;
                        } else if (whole) {
                            const auto* words = reinterpret_cast<const std::uint64_t*>(next.data());
                            auto sum = std::accumulate(words, words + bytes / 8, std::uint64_t{0});
                            benchmark::DoNotOptimize(sum);
                        }
                    }
                };
                const auto pass = [&](unsigned thread, std::size_t buffers) {
                    if (whole) {
                        thread == 0 ? produce(*few, buffers) : consume(*few, buffers);
                    } else {
                        thread == 0 ? produce(*many, buffers) : consume(*many, buffers);
                    }
                };
                // First so many that whoever goes through all its memory in turn has touched it.
                const std::size_t first = is_quick() ? 2 : 3 * slots_by_class[class_for(bytes)];
                run_threads(
                    state, 2, count,
                    [&](unsigned thread) {
                        prepare<Subject>(bytes);
                        pass(thread, first);
                    },
                    [&](unsigned thread) { pass(thread, count); });
                if (failed) {
                    state.SkipWithError(no_memory);
                }
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

}  // namespace bench
