// SPDX-License-Identifier: MIT
#pragma once

// Stopping a thread in the middle of an operation, at an instruction of our choice: the processor's
// trap flag makes a signal of each instruction, and the handler counts them and then waits. Unlike
// a signal from outside it hits every instruction with a chance that neither the scheduler nor the
// load of the machine changes.
//
// x86-64 only, and not under ThreadSanitizer, whose own instructions would be stopped with locks
// held. Elsewhere a thread is never stopped, and can_step says so.

#include <sched.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#include <support/catch.hpp>

#include "team.hpp"

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define ZCPOOL_TEST_CAN_STEP 1
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#undef ZCPOOL_TEST_CAN_STEP
#define ZCPOOL_TEST_CAN_STEP 0
#endif
#endif
#else
#define ZCPOOL_TEST_CAN_STEP 0
#endif

#if ZCPOOL_TEST_CAN_STEP
#include <ucontext.h>
#endif

namespace zcpool_test {

inline constexpr bool can_step = ZCPOOL_TEST_CAN_STEP != 0;

/// Where a thread is to stop, and what it does there.
struct stop_plan {
    unsigned after = 0;                ///< instructions from arm() on
    void (*stopped)(void*) = nullptr;  ///< called there; as little as in any signal handler
    void* context = nullptr;
    unsigned steps = 0;
    bool was_stopped = false;
};

class stepping {
public:
    /// Installs the handler of SIGTRAP for as long as it lives.
    stepping() {
#if ZCPOOL_TEST_CAN_STEP
        struct sigaction action{};
        action.sa_sigaction = on_trap;
        action.sa_flags = SA_SIGINFO | SA_RESTART;
        sigemptyset(&action.sa_mask);
        REQUIRE(::sigaction(SIGTRAP, &action, &before_) == 0);
#endif
    }
    stepping(const stepping&) = delete;
    stepping& operator=(const stepping&) = delete;
    ~stepping() {
#if ZCPOOL_TEST_CAN_STEP
        ::sigaction(SIGTRAP, &before_, nullptr);
#endif
    }

    /// Runs `operation`, stopped once after plan.after instructions if it has as many.
    template <class Operation>
    static void run(stop_plan& plan, Operation&& operation) {
        plan.steps = 0;
        plan.was_stopped = false;
        mine_ = &plan;
        set_trap_flag();
        operation();
        clear_trap_flag();
        mine_ = nullptr;
    }

private:
#if ZCPOOL_TEST_CAN_STEP
    static constexpr long long trap_flag = 0x100;

    static void on_trap(int, siginfo_t*, void* machine) {
        stop_plan* const plan = mine_;
        if (plan != nullptr && ++plan->steps <= plan->after) {
            return;  // the flag is still set in what we return to
        }
        static_cast<ucontext_t*>(machine)->uc_mcontext.gregs[REG_EFL] &= ~trap_flag;
        if (plan != nullptr) {
            const int error = errno;
            plan->was_stopped = true;
            plan->stopped(plan->context);
            errno = error;
        }
    }
    // Below the 128 bytes that a function may use without moving the stack pointer.
    [[gnu::always_inline]] static void set_trap_flag() noexcept {
        __asm__ volatile(
            "leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
            "leaq 128(%%rsp), %%rsp"
            :
            :
            : "cc", "memory");
    }
    [[gnu::always_inline]] static void clear_trap_flag() noexcept {
        __asm__ volatile(
            "leaq -128(%%rsp), %%rsp\n\tpushfq\n\tandq $-257, (%%rsp)\n\tpopfq\n\t"
            "leaq 128(%%rsp), %%rsp"
            :
            :
            : "cc", "memory");
    }

    struct sigaction before_{};
#else
    static void set_trap_flag() noexcept {}
    static void clear_trap_flag() noexcept {}
#endif

    inline static thread_local stop_plan* mine_ = nullptr;
};

/// Runs `call`; one time in `often` it is stopped inside until others had the processor. 0: never.
template <class Call>
void stop_at_times(std::uint32_t often, dice& random, Call&& call) {
    if (often == 0 || random.below(often) != 0) {
        call();
        return;
    }
    stop_plan plan;
    plan.after = random.below(1U << (3 + random.below(6)));
    plan.stopped = [](void*) {
        for (int n = 0; n < 5; ++n) {
            ::sched_yield();
        }
    };
    stepping::run(plan, call);
}

}  // namespace zcpool_test
