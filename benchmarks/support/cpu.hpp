// SPDX-License-Identifier: MIT
#pragma once

// Clocks, pinning, and how far the two processors are from each other at this moment.
//
// Virtual processors wander: every few seconds a cache line takes 2 to 5 times as long from one to
// the other, or no longer does. Figures of two threads are comparable only within one kind, so the
// round trip is measured before and after each of them and goes into the results.

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <thread>

namespace bench {

[[nodiscard]] inline double nanoseconds(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}
/// Processor time of the calling thread, in user and kernel.
[[nodiscard]] inline double thread_cpu_ns() noexcept {
    return nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}
/// Processor time of all threads of the process, those in which the kernel works for its io_urings
/// included.
[[nodiscard]] inline double process_cpu_ns() noexcept {
    return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}
[[nodiscard]] inline double wall_ns() noexcept { return nanoseconds(CLOCK_MONOTONIC); }

/// Keeps the calling thread on the processor `index` modulo how many there are; where that is
/// forbidden, it stays where it is.
inline void pin_to(unsigned index) noexcept {
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return;
    }
    static const cpu_set_t all = allowed;  // of the first caller, which nobody had pinned yet
    const auto count = static_cast<unsigned>(CPU_COUNT(&all));
    unsigned wanted = index % count;
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &all) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            ::sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

/// Waits for something that another processor is about to do, without sleeping; gives way when it
/// takes long, because that one may be this one.
template <class Condition>
void spin_until(Condition&& holds) noexcept {
    for (unsigned tries = 0; !holds(); ++tries) {
        if (tries % 16384 == 16383) {
            std::this_thread::yield();
        }
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
}

/// Passes a cache line to and fro between two threads; both call it with their own side (0, 1).
class ping_pong {
public:
    /// Returns: nanoseconds a round trip, the median of some batches.
    double run(std::uint32_t side) noexcept {
        std::array<double, batches> times;
        std::uint32_t mine = turns_[side] + side;
        for (double& time : times) {
            const double begin = wall_ns();
            for (std::uint32_t i = 0; i < rounds; ++i, mine += 2) {
                // acquire, release: the turn goes from one side to the other.
                spin_until([&] { return line_.load(std::memory_order_acquire) == mine; });
                line_.store(mine + 1, std::memory_order_release);
            }
            time = (wall_ns() - begin) / rounds;
        }
        turns_[side] = mine - side;
        std::nth_element(times.begin(), times.begin() + batches / 2, times.end());
        return times[batches / 2];
    }

private:
    static constexpr std::size_t batches = 5;
    static constexpr std::uint32_t rounds = 200;

    alignas(64) std::atomic<std::uint32_t> line_{0};
    alignas(64) std::array<std::uint32_t, 2> turns_{};  // each side touches its own
};

/// Nanoseconds a cache line needs from the first processor to the second and back.
///
/// Returns: 0 where there is only one. Leaves the calling thread on the first.
[[nodiscard]] inline double cache_line_round_trip() {
    if (std::thread::hardware_concurrency() < 2) {
        return 0;
    }
    ping_pong line;
    std::thread other{[&line] {
        pin_to(1);
        line.run(1);
    }};
    pin_to(0);
    const double time = line.run(0);
    other.join();
    return time;
}

}  // namespace bench
