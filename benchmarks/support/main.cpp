// SPDX-License-Identifier: MIT

// Google Benchmark's main with one option more. `--quick` does every benchmark once, for ctest.

#include <benchmark/benchmark.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "support/program.hpp"

namespace {

bool quick = false;

}  // namespace

bool bench::is_quick() noexcept { return quick; }

void bench::left_out(const char* peer, const char* why) noexcept {
    std::fprintf(stderr, "left out: %s: %s\n", peer, why);
}

int main(int count, char** arguments) {
    // The C and C++ libraries leave the atomics out while a process has never had a second thread:
    // malloc and shared_ptr would look faster than they are in any program that needs a pool.
    std::thread{[] {}}.join();

    // sendfile(2) knows no MSG_NOSIGNAL: a peer that goes must be an error, not the end.
    std::signal(SIGPIPE, SIG_IGN);

    // A plain number of seconds: Google Benchmark 1.7 knows nothing else, later ones take it too.
    static char least_time[] = "--benchmark_min_time=0.000001";
    std::vector<char*> kept;
    for (int i = 0; i < count; ++i) {
        if (std::strcmp(arguments[i], "--quick") == 0) {
            quick = true;
            kept.push_back(least_time);
        } else {
            kept.push_back(arguments[i]);
        }
    }
    count = static_cast<int>(kept.size());
    kept.push_back(nullptr);
    benchmark::Initialize(&count, kept.data());
    if (benchmark::ReportUnrecognizedArguments(count, kept.data())) {
        return 1;
    }
    bench::register_benchmarks();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
