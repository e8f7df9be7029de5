// SPDX-License-Identifier: MIT
#pragma once

// A subject and its baseline, measured in turns within one repetition: subject, baseline, baseline,
// subject, and in the next repetition the other way round. Drift that is even over such a round
// cancels out of its ratio, and what being first costs out of the median.

#include <benchmark/benchmark.h>

#include <string>
#include <utility>

#include "support/cpu.hpp"

namespace bench {

/// Registers a row named "work | subject | baseline". Each repetition is one round.
///
/// `subject` and `baseline` do one run each and return nanoseconds a unit.
template <class Subject, class Baseline>
void register_pair(const std::string& work, const std::string& subject_name, Subject subject,
                   const std::string& baseline_name, Baseline baseline) {
    const std::string name = work + " | " + subject_name + " | " + baseline_name;
    auto round = [=, is_odd = false](benchmark::State& state) mutable {
        for (auto _ : state) {
            state.counters["round_trip_before"] = cache_line_round_trip();
            baseline();  // not counted: whoever runs behind a pause finds everything cold
            is_odd = !is_odd;
            double mine = 0;
            double other = 0;
            for (const bool subject_next : {is_odd, !is_odd, !is_odd, is_odd}) {
                (subject_next ? mine : other) += subject_next ? subject() : baseline();
            }
            state.counters["subject"] = mine / 2;
            state.counters["baseline"] = other / 2;
            state.counters["ratio"] = mine / other;
            state.SetIterationTime(mine / 2 * 1e-9);
            state.counters["round_trip_after"] = cache_line_round_trip();
        }
    };
    benchmark::RegisterBenchmark(name.c_str(), std::move(round))->Iterations(1)->UseManualTime();
}

}  // namespace bench
