// SPDX-License-Identifier: MIT
#pragma once

// A thread stopped at a random instruction, while another wants to go on.
//
// Stopped by a signal whose handler sleeps: the thread stands where the signal met it, as it would
// after SIGSTOP, which cannot be sent to one thread alone. The other is stalled when it is not
// merely slow: for five milliseconds it comes nowhere, and in every half of a millisecond it had
// processor time, or it sleeps in the kernel. A processor that is taken away is no stall.

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

#include "support/cpu.hpp"

namespace bench {

/// Sleeps, also inside of a signal handler.
inline void sleep_for_us(long microseconds) noexcept {
    const timespec time{0, microseconds * 1000};
    ::nanosleep(&time, nullptr);
}

/// Stops one thread of the process and lets it go on.
class freezer {
public:
    /// Called by the thread that is to be stopped, before stop().
    void take_calling_thread() noexcept {
        struct sigaction action{};
        action.sa_handler = [](int) {
            const int kept = errno;
            is_frozen_.store(true, std::memory_order_release);
            while (shall_freeze_.load(std::memory_order_acquire)) {
                sleep_for_us(50);
            }
            is_frozen_.store(false, std::memory_order_release);
            errno = kept;
        };
        action.sa_flags = SA_RESTART;
        ::sigaction(SIGUSR1, &action, nullptr);
        thread_ = ::pthread_self();
    }

    /// Returns when the thread stands.
    void stop() noexcept {
        shall_freeze_.store(true, std::memory_order_release);
        ::pthread_kill(thread_, SIGUSR1);
        while (!is_frozen_.load(std::memory_order_acquire)) {
            sleep_for_us(20);
        }
    }
    /// Returns when the thread runs.
    void go_on() noexcept {
        shall_freeze_.store(false, std::memory_order_release);
        while (is_frozen_.load(std::memory_order_acquire)) {
            sleep_for_us(20);
        }
    }

private:
    // One at a time, as a signal handler has no arguments.
    static inline std::atomic<bool> shall_freeze_{false};
    static inline std::atomic<bool> is_frozen_{false};
    pthread_t thread_{};
};

/// Watches a thread that should be making progress.
class watcher {
public:
    /// Called by the thread that is to be watched.
    void take_calling_thread() noexcept {
        ::pthread_getcpuclockid(::pthread_self(), &clock_);
        std::snprintf(state_file_.data(), state_file_.size(), "/proc/self/task/%ld/stat",
                      ::syscall(SYS_gettid));
    }
    /// Returns: whether it stood still for ten looks in a row, half a millisecond apart, before
    /// `progress` came to `goal`. A look at which it had no processor time is not counted.
    [[nodiscard]] bool was_stalled(const std::atomic<std::uint64_t>& progress,
                                   std::uint64_t goal) const noexcept {
        std::uint64_t seen = progress.load(std::memory_order_relaxed);
        double ran = nanoseconds(clock_);
        for (unsigned idle_looks = 0; idle_looks < 10;) {
            sleep_for_us(500);
            // relaxed: it only matters that it moves.
            const std::uint64_t now = progress.load(std::memory_order_relaxed);
            if (now >= goal) {
                return false;
            }
            const double runs = nanoseconds(clock_);
            if (now != seen) {
                idle_looks = 0;
            } else if (runs - ran > 250e3 || sleeps()) {
                ++idle_looks;
            }
            seen = now;
            ran = runs;
        }
        return true;
    }

private:
    /// Whether the thread waits in the kernel. Allocates nothing: the frozen thread may be the one
    /// that has the heap's lock.
    [[nodiscard]] bool sleeps() const noexcept {
        std::array<char, 256> text{};
        const int file = ::open(state_file_.data(), O_RDONLY | O_CLOEXEC);
        const auto length = ::read(file, text.data(), text.size() - 1);
        ::close(file);
        const char* const name_ends = length > 0 ? std::strrchr(text.data(), ')') : nullptr;
        return name_ends != nullptr && name_ends[1] == ' ' && name_ends[2] == 'S';
    }

    clockid_t clock_{};
    std::array<char, 64> state_file_{};
};

struct freeze_counts {
    unsigned stops = 0;
    unsigned stalls = 0;
};

/// Runs `work(side)` over and over in two threads, stops the first of them (side 0) `stops` times
/// or until `seconds` have passed, and counts how often the other then stalls. `enough`
/// repetitions without are no stall. `enter(side)` returns what a thread keeps as long as it runs.
template <class Enter, class Work>
[[nodiscard]] freeze_counts count_stalls(unsigned stops, double seconds, std::uint64_t enough,
                                         Enter&& enter, Work&& work) {
    freezer victim;
    watcher other;
    std::atomic<unsigned> ready{0};
    std::atomic<bool> is_over{false};
    alignas(64) std::atomic<std::uint64_t> progress{0};  // of the other
    const auto loop = [&](unsigned side) {
        pin_to(side);
        [[maybe_unused]] const auto kept = enter(side);
        side == 0 ? victim.take_calling_thread() : other.take_calling_thread();
        // release: what the two lines above wrote is there for whoever counted both.
        ready.fetch_add(1, std::memory_order_acq_rel);
        // relaxed: the threads are joined, and nothing else is read.
        for (std::uint64_t done = 1; !is_over.load(std::memory_order_relaxed); ++done) {
            work(side);
            if (side == 1) {
                progress.store(done, std::memory_order_relaxed);
            }
        }
    };
    std::thread stopped{loop, 0U};
    std::thread goes_on{loop, 1U};
    spin_until([&] { return ready.load(std::memory_order_acquire) == 2; });
    freeze_counts counts;
    std::minstd_rand random{7};
    const double begin = wall_ns();
    while (counts.stops < stops && (counts.stops == 0 || wall_ns() - begin < seconds * 1e9)) {
        sleep_for_us(static_cast<long>(random() % 200));
        victim.stop();
        const std::uint64_t now = progress.load(std::memory_order_relaxed);
        ++counts.stops;
        counts.stalls += other.was_stalled(progress, now + enough) ? 1 : 0;
        victim.go_on();
    }
    is_over.store(true, std::memory_order_relaxed);
    stopped.join();
    goes_on.join();
    return counts;
}

}  // namespace bench
