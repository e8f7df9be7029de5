// SPDX-License-Identifier: MIT
#pragma once

// What the models share: Relacy's atomics behind the library's interface, deaths, and main().
//
// The headers of the library are templates on their atomics; a model puts zcpool_model::atomic in,
// which lets Relacy choose the schedule and, for each load, among the values that the memory model
// allows. Relacy switches between threads only as an atomic operation begins, so what a model notes
// down right behind an operation is noted in one step with it.
//
// Source: https://github.com/dvyukov/relacy

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <concepts>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <queue>
#include <set>
#include <source_location>
#include <span>
#include <sstream>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <support/scale.hpp>

// Relacy redefines words of the language and of libc; the library's headers need them back.
#pragma push_macro("new")
#pragma push_macro("delete")
#pragma push_macro("malloc")
#pragma push_macro("calloc")
#pragma push_macro("realloc")
#pragma push_macro("free")
#pragma push_macro("assert")
#pragma push_macro("errno")
#include <relacy/relacy.hpp>
#pragma pop_macro("new")
#pragma pop_macro("delete")
#pragma pop_macro("malloc")
#pragma pop_macro("calloc")
#pragma pop_macro("realloc")
#pragma pop_macro("free")
#pragma pop_macro("assert")
#pragma pop_macro("errno")
#undef futex
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace zcpool_model {

/// The running thread of the model.
inline unsigned this_thread() { return static_cast<unsigned>(rl::ctx().threadx_->index_); }

/// A number below `limit`, chosen by Relacy: another one in another run. Not for searches.
inline unsigned any_below(unsigned limit) { return rl::rand(limit); }

// ---- deaths

inline constexpr unsigned most_threads = 4;

/// Where each thread goes when it dies, and after how many crash points; 0: it lives.
struct fate {
    std::jmp_buf end;
    unsigned points_left = 0;
};
inline std::array<fate, most_threads> fates;

/// How many threads died in the run, and in how many runs how many did: for the report.
struct death_count {
    std::uint64_t now = 0;
    std::array<std::uint64_t, most_threads + 1> runs{};

    /// Between two runs.
    void end_run() {
        ++runs[std::min<std::uint64_t>(now, most_threads)];
        now = 0;
    }
    /// Of the numbers of deaths that there were, the rarest one's runs; 0: nobody died.
    std::uint64_t rarest() const {
        std::uint64_t fewest = 0;
        for (auto each = runs.begin() + 1; each != runs.end(); ++each) {
            fewest = *each != 0 && (fewest == 0 || *each < fewest) ? *each : fewest;
        }
        return fewest;
    }
};
inline death_count deaths;

/// Before and after each shared access: where a process can be killed.
inline void crash_point() {
    fate& mine = fates[this_thread()];
    if (mine.points_left != 0 && --mine.points_left == 0) {
        ++deaths.now;
        _longjmp(mine.end, 1);  // no destructor runs, as none would
    }
}

/// For survives(): half of the threads live, the others die at one of the first `limit` points.
inline unsigned any_point(unsigned limit) { return any_below(2) == 0 ? 0 : 1 + any_below(limit); }

/// Runs `body`, and stops it for good at its `points`-th crash point (0: never).
/// Returns: whether it came to its end.
template <class Body>
bool survives(unsigned points, Body body) {
    fate& mine = fates[this_thread()];
    if (_setjmp(mine.end) != 0) {
        return false;
    }
    mine.points_left = points;
    body();
    fates[this_thread()].points_left = 0;
    return true;
}

// ---- atomics

/// What each thread's last exchange() gave: shows a model what a step displaced.
inline std::array<std::uint64_t, most_threads> last_exchanged;

constexpr rl::memory_order to_relacy(std::memory_order order) {
    switch (order) {
        case std::memory_order_relaxed: return rl::mo_relaxed;
        case std::memory_order_consume: return rl::mo_consume;
        case std::memory_order_acquire: return rl::mo_acquire;
        case std::memory_order_release: return rl::mo_release;
        case std::memory_order_acq_rel: return rl::mo_acq_rel;
        case std::memory_order_seq_cst: break;
    }
    return rl::mo_seq_cst;
}

/// zcpool::atomic, with Relacy below it. Reports name the line in the library's header.
template <class T>
class atomic {
    using place = std::source_location;

    static rl::debug_info info(const place& where) { return {"", where.file_name(), where.line()}; }

    template <class Operation>
    static auto between_crash_points(Operation operation) {
        crash_point();
        auto result = operation();
        crash_point();
        return result;
    }

public:
    atomic() : atomic(T{}) {}  // memory of a pool is zeroed
    explicit atomic(T value) { value_.store(value, rl::mo_relaxed, info(place::current())); }

    T load(std::memory_order order, place where = place::current()) const {
        return between_crash_points([&] { return value_.load(to_relacy(order), info(where)); });
    }
    void store(T value, std::memory_order order, place where = place::current()) {
        crash_point();
        value_.store(value, to_relacy(order), info(where));
        crash_point();
    }
    T exchange(T value, std::memory_order order, place where = place::current()) {
        return between_crash_points([&] {
            const T before = value_.exchange(value, to_relacy(order), info(where));
            last_exchanged[this_thread()] = static_cast<std::uint64_t>(before);
            return before;
        });
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                               std::memory_order failure, place where = place::current()) {
        return between_crash_points([&] {
            return value_.compare_exchange(rl::bool_t<true>(), expected, desired,
                                           to_relacy(success), to_relacy(failure), info(where));
        });
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                 std::memory_order failure, place where = place::current()) {
        return between_crash_points([&] {
            return value_.compare_exchange(rl::bool_t<false>(), expected, desired,
                                           to_relacy(success), to_relacy(failure), info(where));
        });
    }
    T fetch_add(T value, std::memory_order order, place where = place::current()) {
        return between_crash_points(
            [&] { return value_.fetch_add(value, to_relacy(order), info(where)); });
    }
    T fetch_sub(T value, std::memory_order order, place where = place::current()) {
        return between_crash_points(
            [&] { return value_.fetch_sub(value, to_relacy(order), info(where)); });
    }
    T fetch_and(T value, std::memory_order order, place where = place::current()) {
        return between_crash_points(
            [&] { return value_.fetch_and(value, to_relacy(order), info(where)); });
    }
    T fetch_or(T value, std::memory_order order, place where = place::current()) {
        return between_crash_points(
            [&] { return value_.fetch_or(value, to_relacy(order), info(where)); });
    }

    /// The newest value, without a step of the model: for what the kernel or a check sees.
    T newest() const { return value_.debug_value(); }

private:
    rl::atomic<T> value_;
};

// ---- running

/// A model of which each run is counted by the deaths in it.
template <class Model>
struct counted_model : Model {
    void after() {
        Model::after();
        deaths.end_run();
    }
};

/// Runs a model; where it fails, that run again with its history in the report.
template <class Model, class Scheduler>
bool simulate(rl::test_params& parameters) {
    rl::ostringstream state;
    using counted = counted_model<Model>;
    if (rl::run_test<counted, Scheduler>(parameters, state, false) == rl::test_result_success) {
        return true;
    }
    rl::ostringstream again;
    parameters.initial_state = state.str();
    parameters.collect_history = true;
    static_cast<void>(rl::run_test<counted, Scheduler>(parameters, again, true));
    return false;
}

/// One case of a model.
struct model_case {
    const char* name;
    bool random;
    std::uint64_t amount;  // of runs; for searches: of switches between threads
    bool (*simulate)(rl::test_params&);
};

/// The name of a case, as a template argument.
template <std::size_t Size>
struct case_name {
    constexpr case_name(const char (&name)[Size]) { std::copy_n(name, Size, text); }
    char text[Size];
};

// Most of the time of a build goes into the cases. ZCPOOL_MODEL_ONLY, " NAME NAME ", leaves the
// others out.
#ifdef ZCPOOL_MODEL_ONLY
inline constexpr std::string_view built_cases = ZCPOOL_MODEL_ONLY;
#else
inline constexpr std::string_view built_cases;
#endif

template <case_name Name>
constexpr bool is_built() {
    const std::string_view name{Name.text, sizeof Name.text - 1};
    for (auto at = built_cases.find(name); at != std::string_view::npos;
         at = built_cases.find(name, at + 1)) {
        if (built_cases[at - 1] == ' ' && built_cases[at + name.size()] == ' ') {
            return true;
        }
    }
    return built_cases.empty();
}

/// A case of random schedules, the n-th always the same. ZCPOOL_MODEL_RUNS says how many, else
/// ZCPOOL_TEST_SCALE how many times as many; ZCPOOL_MODEL_DEATHS has those with deaths go on until
/// one, two, ... threads died in that many runs each, as far as so many ever die in the case.
template <case_name Name, class Model>
model_case random_case(std::uint64_t runs) {
    if constexpr (is_built<Name>()) {
        return {Name.text, true, runs,
                &simulate<Model, rl::random_scheduler<Model::params::thread_count>>};
    } else {
        return {};
    }
}

/// A case in which every schedule with at most so many switches away from a thread that could go on
/// is tried. ZCPOOL_MODEL_BOUND says how many switches.
template <case_name Name, class Model>
model_case search_case(std::uint64_t switches) {
    if constexpr (is_built<Name>()) {
        return {Name.text, false, switches,
                &simulate<Model, rl::context_bound_scheduler<Model::params::thread_count>>};
    } else {
        return {};
    }
}

inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The amount of a case in this process. A search has one more switch only when it is asked for:
/// each multiplies its time by some number that no scale can know.
inline std::uint64_t amount_of(const model_case& that) {
    if (!that.random) {
        return number_from("ZCPOOL_MODEL_BOUND", that.amount);
    }
    const auto scaled = zcpool_test::scaled(static_cast<long>(that.amount));
    return number_from("ZCPOOL_MODEL_RUNS", static_cast<std::uint64_t>(scaled));
}

/// "N deaths", and behind it in how many runs nobody died, one did, and so on.
inline std::string describe_deaths() {
    std::uint64_t all = 0;
    std::size_t most = 0;
    for (std::size_t n = 0; n < deaths.runs.size(); ++n) {
        all += n * deaths.runs[n];
        most = deaths.runs[n] != 0 ? n : most;
    }
    std::string text = std::to_string(all) + " deaths";
    for (std::size_t n = 0; most != 0 && n <= most; ++n) {
        text += (n == 0 ? " (runs with 0, 1, ...: " : ", ") + std::to_string(deaths.runs[n]);
    }
    return most == 0 ? text : text + ")";
}

inline bool run_case(const model_case& that) {
    const auto amount = amount_of(that);
    rl::test_params parameters;
    parameters.search_type = that.random ? rl::sched_random : rl::sched_bound;
    parameters.execution_depth_limit = 4000;
    parameters.iteration_count = that.random ? amount : std::numeric_limits<std::uint64_t>::max();
    parameters.context_bound = that.random ? 0 : static_cast<unsigned>(amount);
    rl::ostringstream report;  // its memory is not of the model
    std::ostream nowhere{nullptr};
    parameters.output_stream = &report;
    parameters.progress_stream = &nowhere;

    deaths = {};
    const auto begin = std::chrono::steady_clock::now();
    bool clean = that.simulate(parameters);
    const std::uint64_t rarest = deaths.rarest();
    const std::uint64_t wanted = that.random ? number_from("ZCPOOL_MODEL_DEATHS", 0) : 0;
    if (clean && rarest != 0 && rarest < wanted) {
        // A little more than it takes: the rarest number of deaths is no exact part of the runs.
        const double times = 1.03 * static_cast<double>(wanted) / static_cast<double>(rarest);
        parameters.iteration_count =
            static_cast<std::uint64_t>(static_cast<double>(amount) * times);
        deaths = {};
        clean = that.simulate(parameters);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%-24s %-6s %10llu %s, %s, %.1f s\n", that.name, clean ? "clean" : "FAILED",
                static_cast<unsigned long long>(parameters.stop_iteration),
                that.random || !clean ? "runs" : "runs: all of the search",
                describe_deaths().c_str(), took.count());
    if (!clean) {
        std::fputs(report.str().c_str(), stdout);
    }
    std::fflush(stdout);
    return clean;
}

/// usage: MODEL [CASE...]. Without one, all cases; the exit code says whether all were clean.
inline int run_cases(int argc, char** argv, std::initializer_list<model_case> cases) {
    bool clean = true;
    int found = 0;
    for (const model_case& each : cases) {
        const bool wanted = each.name != nullptr &&
                            (argc == 1 || std::any_of(argv + 1, argv + argc, [&](const char* name) {
                                 return std::string_view{name} == each.name;
                             }));
        if (wanted) {
            ++found;
            clean = run_case(each) && clean;
        }
    }
    if (argc > 1 && found != argc - 1) {
        std::fputs("no such case\n", stderr);
        return 2;
    }
    return clean ? 0 : 1;
}

}  // namespace zcpool_model
