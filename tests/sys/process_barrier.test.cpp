// SPDX-License-Identifier: MIT
#include <atomic>
#include <cerrno>
#include <thread>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <zcpool/sys/process_barrier.hpp>

namespace {

using zcpool::sys::process_barrier;

TEST_CASE("process_barrier: can be prepared again and again", "[sys]") {
    CHECK(process_barrier::prepare().has_value());
    CHECK(process_barrier::prepare().has_value());
}

TEST_CASE("process_barrier: says why it cannot be prepared", "[sys]") {
    zcpool_test::faults refused;
    refused.fail_call(0, EPERM);
    CHECK(process_barrier::prepare().error() == std::errc::operation_not_permitted);
}

// Dekker's protocol, whose one side has no barrier of the processor's: without heavy() both sides
// miss each other within a few thousand rounds on any x86.
TEST_CASE("process_barrier: of two sides that announce and look, one sees the other",
          "[sys][.stress]") {
    REQUIRE(process_barrier::prepare().has_value());
    std::atomic<int> often{0};
    std::atomic<int> rarely{0};
    std::atomic<int> round{0};
    std::atomic<int> done{0};
    std::atomic<int> often_saw{0};
    constexpr int rounds = 20'000;
    std::thread owner{[&] {
        for (int i = 1; i <= rounds; ++i) {
            while (round.load(std::memory_order_acquire) != i) {
            }
            often.store(1, std::memory_order_relaxed);
            process_barrier::light();
            often_saw.store(rarely.load(std::memory_order_relaxed), std::memory_order_relaxed);
            done.store(i, std::memory_order_release);
        }
    }};
    int missed = 0;
    for (int i = 1; i <= rounds; ++i) {
        often.store(0);
        rarely.store(0);
        round.store(i, std::memory_order_release);
        rarely.store(1, std::memory_order_relaxed);
        process_barrier::heavy();
        const int rarely_saw = often.load(std::memory_order_relaxed);
        while (done.load(std::memory_order_acquire) != i) {
        }
        missed += rarely_saw == 0 && often_saw.load(std::memory_order_relaxed) == 0 ? 1 : 0;
    }
    owner.join();
    CHECK(missed == 0);
}

}  // namespace
