// SPDX-License-Identifier: MIT
#pragma once

// Runs of two processes, one a processor, with the distance of the processors before and after: as
// two_threads.hpp, for what crosses from one process to another.

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "support/cpu.hpp"

namespace bench {

/// Memory of which a process and those that it forks see the same bytes; zero at first, every page
/// present. Holds an object.
template <class T>
class shared_object {
public:
    template <class... Arguments>
    explicit shared_object(Arguments&&... arguments) {
        void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED) {
            std::perror("mmap");
            std::abort();
        }
        object_ = ::new (memory) T(std::forward<Arguments>(arguments)...);
    }
    shared_object(const shared_object&) = delete;
    shared_object& operator=(const shared_object&) = delete;
    ~shared_object() {
        object_->~T();
        ::munmap(object_, sizeof(T));
    }
    [[nodiscard]] T& operator*() const noexcept { return *object_; }
    [[nodiscard]] T* operator->() const noexcept { return object_; }

private:
    T* object_ = nullptr;
};

/// When each of the two processes began and ended, and whether they are there.
struct both_processes {
    alignas(64) std::atomic<unsigned> waiting{2};
    alignas(64) double begin[2] = {};
    double end[2] = {};
};

/// Runs `body(side)` in two processes at once: side 0 here, on the first processor, side 1 in a
/// forked child, on the second. One benchmark iteration is one such run; it counts as `operations`
/// items of `bytes` each (0: no bytes are counted).
///
/// `prepare()` is called before the fork and returns what both sides need; `ready(side, it)` by
/// each before the clock starts; `body(side, it)` returns whether all went well.
template <class Prepare, class Ready, class Body>
void run_processes(benchmark::State& state, std::size_t operations, std::size_t bytes,
                   Prepare&& prepare, Ready&& ready, Body&& body) {
    double before = 0;
    double after = 0;
    for (auto _ : state) {
        before = cache_line_round_trip();
        const shared_object<both_processes> both;
        auto needed = prepare();
        const auto run = [&](unsigned side) {
            pin_to(side);
            ready(side, *needed);
            both->waiting.fetch_sub(1, std::memory_order_acq_rel);
            // acquire: the other one is ready.
            spin_until([&] { return both->waiting.load(std::memory_order_acquire) == 0; });
            both->begin[side] = wall_ns();
            const bool is_right = body(side, *needed);
            both->end[side] = wall_ns();
            return is_right;
        };
        const pid_t child = ::fork();
        if (child == 0) {
            ::_exit(run(1) ? 0 : 1);
        }
        const bool is_right = child > 0 && run(0);
        int status = 1;
        while (child > 0 && ::waitpid(child, &status, 0) == -1 && errno == EINTR) {
        }
        if (!is_right || status != 0) {
            state.SkipWithError("what came out is not what went in");
        }
        const double begin = std::min(both->begin[0], both->begin[1]);
        const double end = std::max(both->end[0], both->end[1]);
        state.SetIterationTime((end - begin) * 1e-9);
        after = cache_line_round_trip();
    }
    const auto items = state.iterations() * static_cast<std::int64_t>(operations);
    state.SetItemsProcessed(items);
    if (bytes != 0) {
        state.SetBytesProcessed(items * static_cast<std::int64_t>(bytes));
    }
    state.counters["round_trip_before"] = before;
    state.counters["round_trip_after"] = after;
}

}  // namespace bench
