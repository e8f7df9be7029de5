// SPDX-License-Identifier: MIT
#pragma once

// A timer whose signals interrupt system calls, and seeing that a thread sleeps in one.

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include <support/catch.hpp>

namespace zcpool_test {

/// Sends SIGALRM to the process every millisecond while it lives. The handler is installed without
/// SA_RESTART, so that a blocked call answers EINTR. The kernel prefers the main thread.
class interrupts {
public:
    interrupts() {
        count_.store(0);
        struct sigaction action{};
        action.sa_handler = [](int) { count_.fetch_add(1); };
        sigemptyset(&action.sa_mask);
        REQUIRE(::sigaction(SIGALRM, &action, &before_) == 0);
        set_timer(1'000);
    }
    interrupts(const interrupts&) = delete;
    interrupts& operator=(const interrupts&) = delete;
    ~interrupts() {
        set_timer(0);
        ::signal(SIGALRM, SIG_IGN);  // drops one that is pending
        ::sigaction(SIGALRM, &before_, nullptr);
    }

    /// Signals handled so far.
    [[nodiscard]] static long count() noexcept { return count_.load(); }

    /// Waits until so many more have been handled.
    static void wait_for(long more) noexcept {
        const long wanted = count() + more;
        while (count() < wanted) {
            std::this_thread::yield();
        }
    }

private:
    static void set_timer(long microseconds) noexcept {
        const itimerval timer{{0, microseconds}, {0, microseconds}};
        ::setitimer(ITIMER_REAL, &timer, nullptr);
    }

    inline static std::atomic<long> count_{0};
    struct sigaction before_{};
};

/// The system's number of the calling thread.
inline pid_t thread_number() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

/// Whether a process or a thread of ours sleeps in the kernel, as a signal can interrupt it. What
/// is true may be over when it is read.
inline bool was_asleep(pid_t number) {
    std::ifstream stat{"/proc/" + std::to_string(number) + "/stat"};
    std::string line;
    std::getline(stat, line);
    const auto name_end = line.rfind(") ");  // the name before it may hold anything
    return name_end != std::string::npos && line[name_end + 2] == 'S';
}

inline void wait_asleep(pid_t number) {
    while (!was_asleep(number)) {
        std::this_thread::yield();
    }
}

}  // namespace zcpool_test
