// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/base/atomic.hpp>

namespace {

using namespace zcpool;

// What memory that processes share asks of it.
static_assert(sizeof(atomic<std::uint64_t>) == 8 && alignof(atomic<std::uint64_t>) == 8);
static_assert(sizeof(atomic<std::uint32_t>) == 4 && alignof(atomic<std::uint32_t>) == 4);
static_assert(std::is_standard_layout_v<atomic<std::uint64_t>>);
static_assert(std::is_trivially_destructible_v<atomic<std::uint64_t>>);
static_assert(!std::is_copy_constructible_v<atomic<std::uint32_t>>);
static_assert(!std::is_copy_assignable_v<atomic<std::uint32_t>>);
static_assert(!std::is_convertible_v<std::uint32_t, atomic<std::uint32_t>>);

constexpr auto relaxed = memory_order_relaxed;

TEST_CASE("atomic: starts at zero, or where it is told", "[base]") {
    const atomic<std::uint64_t> zero;
    const atomic<std::uint64_t> seven{7};
    CHECK(zero.load(relaxed) == 0);
    CHECK(seven.load(relaxed) == 7);
}

TEST_CASE("atomic: its bytes in memory are those of the value", "[base]") {
    const std::uint64_t plain = 0x0123'4567'89AB'CDEF;
    const atomic<std::uint64_t> tested{plain};
    CHECK(std::memcmp(&tested, &plain, sizeof plain) == 0);
}

TEST_CASE("atomic: each operation does its arithmetic and gives what was there before", "[base]") {
    atomic<std::uint32_t> tested{0b1100};
    CHECK(tested.exchange(0b1010, relaxed) == 0b1100);
    CHECK(tested.fetch_or(0b0101, relaxed) == 0b1010);
    CHECK(tested.fetch_and(0b0111, relaxed) == 0b1111);
    CHECK(tested.fetch_add(5, relaxed) == 0b0111);
    CHECK(tested.fetch_sub(2, relaxed) == 12);
    CHECK(tested.load(relaxed) == 10);
    tested.store(1, relaxed);
    CHECK(tested.load(relaxed) == 1);
    CHECK(tested.fetch_sub(2, relaxed) == 1);
    CHECK(tested.load(relaxed) == UINT32_MAX);
}

TEST_CASE("atomic: a compare-exchange replaces what was expected, and tells what it found",
          "[base]") {
    atomic<std::uint32_t> tested{1};
    std::uint32_t expected = 2;
    CHECK_FALSE(tested.compare_exchange_strong(expected, 3, memory_order_acq_rel, relaxed));
    CHECK(expected == 1);
    CHECK(tested.load(relaxed) == 1);
    CHECK(tested.compare_exchange_strong(expected, 3, memory_order_acq_rel, relaxed));
    CHECK(expected == 1);
    CHECK(tested.load(relaxed) == 3);

    CHECK_FALSE(tested.compare_exchange_weak(expected, 4, memory_order_acq_rel, relaxed));
    CHECK(expected == 3);
    while (!tested.compare_exchange_weak(expected, 4, memory_order_acq_rel, relaxed)) {
        REQUIRE(expected == 3);
    }
    CHECK(tested.load(relaxed) == 4);
}

TEST_CASE("atomic: no increment of many threads is lost", "[base]") {
    constexpr std::uint32_t each = 400'000;
    atomic<std::uint32_t> ready{0};
    atomic<std::uint32_t> sum{0};
    atomic<std::uint32_t> swapped{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            ready.fetch_or(1U << t, relaxed);
            while (ready.load(relaxed) != 0b1111) {  // so that they do meet
                std::this_thread::yield();
            }
            for (std::uint32_t i = 0; i < each; ++i) {
                sum.fetch_add(1, relaxed);
                std::uint32_t seen = swapped.load(relaxed);
                while (!swapped.compare_exchange_weak(seen, seen + 1, relaxed, relaxed)) {
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(sum.load(relaxed) == 4 * each);
    CHECK(swapped.load(relaxed) == 4 * each);
}

// ThreadSanitizer sees it when an operation passes on a weaker order than it was given.
TEST_CASE("atomic: what was written before a release is there after the acquire", "[base]") {
    atomic<std::uint32_t> turn{0};
    std::uint32_t plain = 0;
    // Sleeps, since a thread that spins drives its older accesses out of the sanitizer's memory.
    const auto wait_for = [&](std::uint32_t wanted) {
        while (turn.load(memory_order_acquire) != wanted) {
            std::this_thread::sleep_for(std::chrono::microseconds{100});
        }
    };
    std::thread other{[&] {
        wait_for(1);
        plain += 1;
        turn.store(2, memory_order_release);
        std::uint32_t expected = 3;
        while (!turn.compare_exchange_weak(expected, 4, memory_order_acq_rel, relaxed)) {
            std::this_thread::sleep_for(std::chrono::microseconds{100});
            expected = 3;
        }
        plain += 1;
        turn.fetch_add(1, memory_order_release);
    }};
    plain = 40;
    CHECK(turn.exchange(1, memory_order_release) == 0);
    wait_for(2);
    CHECK(plain == 41);
    plain = 50;
    std::uint32_t expected = 2;
    CHECK(turn.compare_exchange_strong(expected, 3, memory_order_release, relaxed));
    wait_for(5);
    CHECK(plain == 51);
    other.join();
}

}  // namespace
