// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <new>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <zcpool/sys/global_barrier.hpp>

namespace {

using zcpool::sys::global_barrier;

TEST_CASE("global_barrier: can be prepared again and again", "[sys]") {
    if (!global_barrier::prepare()) {
        SKIP("MEMBARRIER_CMD_GLOBAL_EXPEDITED needs Linux 4.16");
    }
    CHECK(global_barrier::prepare().has_value());
}

TEST_CASE("global_barrier: says why it cannot be prepared", "[sys]") {
    zcpool_test::faults refused;
    refused.fail_call(0, EPERM);
    CHECK(global_barrier::prepare().error() == std::errc::operation_not_permitted);
}

/// What the two sides of Dekker's protocol write, on lines of their own.
struct barrier_page {
    alignas(64) std::atomic<int> often{0};
    alignas(64) std::atomic<int> rarely{0};
    alignas(64) std::atomic<int> round{0};
    alignas(64) std::atomic<int> done{0};
    alignas(64) std::atomic<int> often_saw{0};
};

// Without heavy() both sides miss each other within a few thousand rounds on any x86.
TEST_CASE("global_barrier: of two processes that announce and look, one sees the other",
          "[sys][.stress]") {
    if (!global_barrier::prepare()) {
        SKIP("MEMBARRIER_CMD_GLOBAL_EXPEDITED needs Linux 4.16");
    }
    void* const memory = ::mmap(nullptr, sizeof(barrier_page), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    barrier_page& page = *::new (memory) barrier_page;
    constexpr int rounds = 100'000;
    zcpool_test::child owner{[&] {
        if (!global_barrier::prepare()) {
            return 1;
        }
        for (int i = 1; i <= rounds; ++i) {
            while (page.round.load(std::memory_order_acquire) != i) {
            }
            page.often.store(1, std::memory_order_relaxed);
            global_barrier::light();
            page.often_saw.store(page.rarely.load(std::memory_order_relaxed),
                                 std::memory_order_relaxed);
            page.done.store(i, std::memory_order_release);
        }
        return 0;
    }};
    int missed = 0;
    for (int i = 1; i <= rounds; ++i) {
        page.often.store(0);
        page.rarely.store(0);
        page.round.store(i, std::memory_order_release);
        // As long as the other one takes to see it, more or less.
        for (int spins = i % 128; spins > 0; --spins) {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
        page.rarely.store(1, std::memory_order_relaxed);
        global_barrier::heavy();
        const int rarely_saw = page.often.load(std::memory_order_relaxed);
        while (page.done.load(std::memory_order_acquire) != i) {
        }
        missed += rarely_saw == 0 && page.often_saw.load(std::memory_order_relaxed) == 0 ? 1 : 0;
    }
    CHECK(owner.status() == 0);
    CHECK(missed == 0);
    ::munmap(memory, sizeof(barrier_page));
}

}  // namespace
