// SPDX-License-Identifier: MIT
#pragma once

// A subject and its baseline, measured in turns within one repetition: subject, baseline, baseline,
// subject. Drift that is even over such a
// round cancels out of the ratio.

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
    auto round = [=](benchmark::State& state) {
        for (auto _ : state) {
            state.counters["round_trip_before"] = cache_line_round_trip();
            const double first = subject();
            const double second = baseline();
            const double third = baseline();
            const double fourth = subject();
            state.SetIterationTime((first + fourth) * 0.5e-9);
            state.counters["subject"] = (first + fourth) / 2;
            state.counters["baseline"] = (second + third) / 2;
            state.counters["ratio"] = (first + fourth) / (second + third);
            state.counters["round_trip_after"] = cache_line_round_trip();
        }
    };
    benchmark::RegisterBenchmark(name.c_str(), std::move(round))->Iterations(1)->UseManualTime();
}

}  // namespace bench
