// SPDX-License-Identifier: MIT
#pragma once

// Threads that begin together, and what they do between operations.

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <latch>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/scale.hpp>

namespace zcpool_test {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// A small generator of its own for each thread (xorshift64*).
class dice {
public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed * 0x9E37'79B9'7F4A'7C15 | 1) {}
    std::uint64_t operator()() noexcept {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545'F491'4F6C'DD1D >> 16;
    }
    /// A number below `end`.
    std::uint32_t below(std::uint32_t end) noexcept {
        return static_cast<std::uint32_t>((*this)() % end);
    }

private:
    std::uint64_t state_;
};

/// Runs `body(number)` on so many threads that begin together. Returns when all have ended.
template <class Body>
void run_together(unsigned count, Body&& body) {
    std::latch start{count};
    std::vector<std::thread> threads;
    threads.reserve(count);
    for (unsigned number = 0; number < count; ++number) {
        threads.emplace_back([&, number] {
            start.arrive_and_wait();
            body(number);
        });
    }
    for (auto& each : threads) {
        each.join();
    }
}

/// Keeps the processor busy for about so long.
inline void spin_for(std::chrono::nanoseconds time) noexcept {
    const auto until = steady::now() + time;
    while (steady::now() < until) {
    }
}

/// A length of time at the scale of this run.
inline std::chrono::milliseconds scaled_time(long milliseconds) {
    return std::chrono::milliseconds{scaled(milliseconds)};
}

}  // namespace zcpool_test
