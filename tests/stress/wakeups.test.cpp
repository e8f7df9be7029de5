// SPDX-License-Identifier: MIT

// No waiter sleeps on beside a free slot. A lost wake-up is not seen in the answer, since a waiter
// looks once more when its time is up; it is seen in the time that the call took.

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/interrupts.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

#include "stepping.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::errc;
using zcpool::pool_view;

/// Whoever waits so long for a slot that was released was not woken.
constexpr auto watchdog = 20s;  // a loaded machine may keep a thread from running for seconds

/// Waits until so many of the threads with these numbers sleep; ten seconds at most.
bool wait_until_asleep(const std::vector<std::atomic<pid_t>>& threads) {
    const auto limit = steady::now() + 10s;
    for (const auto& each : threads) {
        while (each.load() == 0 || !was_asleep(each.load())) {
            if (steady::now() > limit) {
                return false;
            }
            std::this_thread::yield();
        }
    }
    return true;
}

TEST_CASE("waiting: two threads that hand slots to and fro are woken each time", "[wakeups]") {
    // Two classes of one slot each, on one futex word: each thread gives up what it has and waits
    // for what the other has.
    const auto pool = make_pool({.slots = {1, 1}});
    const std::array<std::size_t, 2> bytes{4_KiB, 64_KiB};
    const long rounds = scaled(50'000);
    std::atomic<long> hits{0};
    std::array<steady::duration, 2> longest{};
    std::array<buffer, 2> begin{pool.try_acquire(bytes[0]), pool.try_acquire(bytes[1])};
    REQUIRE((begin[0] && begin[1]));
    run_together(2, [&](unsigned number) {
        dice random{number + 5};
        buffer held = std::move(begin[number]);
        const auto handed_over = [&](std::size_t which) {
            const auto from = steady::now();
            auto got = pool.acquire_for(bytes[which], watchdog);
            const auto took = steady::now() - from;
            longest[number] = std::max(longest[number], took);
            hits += took >= watchdog ? 1 : 0;
            return got ? std::move(*got) : buffer{};
        };
        for (long n = 0; n < rounds && hits == 0; ++n) {
            // The slot that comes; which of the two changes hands with each round.
            const auto which = static_cast<std::size_t>(n + 1 + number) % 2;
            if (number == 0) {
                spin_for(std::chrono::nanoseconds{random.below(50'000)});
                held.reset();
                held = handed_over(which);
            } else {
                buffer next = handed_over(which);
                spin_for(std::chrono::nanoseconds{random.below(50'000)});
                held.reset();
                held = std::move(next);
            }
            if (!held) {
                ++hits;
            }
        }
    });
    std::printf("%ld rounds, longest wait %ld and %ld us\n", rounds, longest[0] / 1us,
                longest[1] / 1us);
    CHECK(hits == 0);
}

/// Where one of two threads is, in a wait or a release that is stopped inside.
struct meeting {
    std::atomic<bool> stopped{false};
    std::atomic<bool> resume{false};
    std::atomic<pid_t> waiter{0};
    std::atomic<bool> waited{false};

    static void on_stop(void* self) {
        auto& here = *static_cast<meeting*>(self);
        here.stopped.store(true);
        while (!here.resume.load()) {
            ::sched_yield();
        }
    }
    [[nodiscard]] bool waiter_sleeps() const {
        return waiter.load() != 0 && was_asleep(waiter.load());
    }
};

/// More instructions than a wait or a release has.
constexpr unsigned most_steps = 50'000;

/// From one instruction at which a call is stopped to the next: each, but at a small scale, where
/// sanitizers add many of their own, not.
unsigned stride() { return scaled(10) >= 10 ? 1 : 29; }

TEST_CASE("waiting: a release between any two instructions of a wait wakes the waiter",
          "[wakeups]") {
    const stepping handler;
    const auto pool = make_pool({.slots = {1, 1}});
    unsigned after = 0;
    for (bool reached = true; reached && after < most_steps; after += stride()) {
        buffer held = pool.try_acquire(1);
        REQUIRE(held);
        meeting here;
        steady::duration took{};
        bool got = false;
        std::thread waiter{[&] {
            stop_plan plan{after, &meeting::on_stop, &here};
            here.waiter.store(thread_number());
            const auto from = steady::now();
            stepping::run(plan, [&] { got = pool.acquire_for(1, watchdog).has_value(); });
            took = steady::now() - from;
        }};
        while (!here.stopped.load() && !here.waiter_sleeps()) {
            std::this_thread::yield();
        }
        reached = here.stopped.load();
        held.reset();
        here.resume.store(true);
        waiter.join();
        CAPTURE(after, reached);
        REQUIRE(got);
        REQUIRE(took < watchdog);
    }
    std::printf("a wait was stopped at every %u. of its %u instructions\n", stride(), after);
    CHECK((!can_step || after > 50));
}

TEST_CASE("waiting: a wait that begins between any two instructions of a release ends with it",
          "[wakeups]") {
    const stepping handler;
    const auto pool = make_pool({.slots = {1, 1}});
    unsigned after = 0;
    for (bool reached = true; reached && after < most_steps; after += stride()) {
        buffer held = pool.try_acquire(1);
        REQUIRE(held);
        meeting here;
        std::thread releaser{[&] {
            stop_plan plan{after, &meeting::on_stop, &here};
            stepping::run(plan, [&] { held.reset(); });
            reached = plan.was_stopped;
            here.stopped.store(true);
        }};
        while (!here.stopped.load()) {
            std::this_thread::yield();
        }
        steady::duration took{};
        bool got = false;
        std::thread waiter{[&] {
            here.waiter.store(thread_number());
            const auto from = steady::now();
            got = pool.acquire_for(1, watchdog).has_value();
            took = steady::now() - from;
            here.waited.store(true);
        }};
        while (!here.waited.load() && !here.waiter_sleeps()) {
            std::this_thread::yield();
        }
        here.resume.store(true);
        releaser.join();
        waiter.join();
        CAPTURE(after, reached);
        REQUIRE(got);
        REQUIRE(took < watchdog);
    }
    std::printf("a release was stopped at every %u. of its %u instructions\n", stride(), after);
    CHECK((!can_step || after > 20));
}

TEST_CASE("waiting: closing or destroying a pool wakes all who wait", "[wakeups]") {
    for (long round = 0; round < scaled(20); ++round) {
        auto pool = std::make_unique<small_pool>(make_pool({.slots = {1, 1}}));
        buffer small = pool->try_acquire(4_KiB);
        buffer large = pool->try_acquire(64_KiB);
        REQUIRE((small && large));
        const pool_view view = *pool;
        std::vector<std::atomic<pid_t>> numbers(40);
        std::atomic<long> closed{0};
        std::atomic<long> late{0};
        std::atomic<steady::rep> closed_at{0};
        std::vector<std::thread> threads;
        for (std::size_t n = 0; n < numbers.size(); ++n) {
            threads.emplace_back([&, n] {
                numbers[n].store(thread_number());
                const auto got = view.acquire_for(n % 2 == 0 ? 4_KiB : 64_KiB, 20s);
                const auto now = steady::now().time_since_epoch().count();
                closed += !got && got.error() == errc::closed ? 1 : 0;
                late += steady::duration{now - closed_at.load()} >= watchdog ? 1 : 0;
            });
        }
        // Half of the rounds begin while the threads are still on their way to sleep. A pool is
        // destroyed only when they have arrived: its view is good for no more than that.
        const bool all_asleep = round % 2 == 1 || wait_until_asleep(numbers);
        closed_at.store(steady::now().time_since_epoch().count());
        if (round % 4 == 0 && all_asleep) {
            pool.reset();
        } else {
            pool->close();
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(all_asleep);
        CHECK(closed == static_cast<long>(numbers.size()));
        CHECK(late == 0);
    }
}

TEST_CASE("waiting: a release wakes a waiter of any class that can use it", "[wakeups]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 8_KiB, 64_KiB>,
                                  zcpool::pool_policy{zcpool::spill_policy::next_class}>;
    constexpr std::array<std::size_t, 3> bytes{4_KiB, 8_KiB, 64_KiB};
    for (long round = 0; round < scaled(100); ++round) {
        const auto pool = make_pool<spilling>({.slots = {1, 1, 1}});
        dice random{static_cast<std::uint64_t>(round) + 1};
        std::vector<buffer> held;
        for (const std::size_t each : bytes) {
            held.push_back(pool.try_acquire(each));
            REQUIRE(held.back());
        }
        std::vector<std::atomic<pid_t>> numbers(6);
        std::atomic<long> late{0};
        std::vector<std::thread> threads;
        std::atomic<steady::rep> released_at{0};
        for (std::size_t n = 0; n < numbers.size(); ++n) {
            threads.emplace_back([&, n] {
                numbers[n].store(thread_number());
                const auto got = pool.acquire_for(bytes[n % 3], 20s);
                const auto now = steady::now().time_since_epoch().count();
                late += !got || steady::duration{now - released_at.load()} >= watchdog ? 1 : 0;
            });
        }
        // The largest class alone can serve all of them, one after the other: each gives its slot
        // back at once. The others come back too, or do not, at random.
        const bool all_asleep = round % 2 == 0 || wait_until_asleep(numbers);
        released_at.store(steady::now().time_since_epoch().count());
        const bool smaller_too = random.below(2) == 0;
        if (smaller_too && random.below(2) == 0) {
            held[random.below(2)].reset();
        }
        held[2].reset();
        if (smaller_too) {
            held[0].reset();
            held[1].reset();
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(all_asleep);
        CHECK(late == 0);
    }
}

/// How the slots of a pool were shared among threads that all want one.
void measure_fairness(unsigned threads, std::uint32_t slots) {
    const auto pool = make_pool({.slots = {slots, 1}});
    constexpr auto deadline = 5s;
    const auto over = steady::now() + scaled_time(1'000);
    struct outcome {
        long served = 0;
        long starved = 0;
        std::vector<std::int64_t> waits;
    };
    std::vector<outcome> outcomes(threads);
    run_together(threads, [&](unsigned number) {
        outcome& own = outcomes[number];
        dice random{number + 11};
        do {
            const auto from = steady::now();
            const auto got = pool.acquire_for(1, deadline);
            own.waits.push_back((steady::now() - from) / 1us);
            (got ? own.served : own.starved) += 1;
            spin_for(std::chrono::nanoseconds{random.below(20'000)});
        } while (steady::now() < over);
    });
    std::vector<std::int64_t> waits;
    long fewest = outcomes[0].served;
    long most = 0;
    long starved = 0;
    for (const outcome& each : outcomes) {
        waits.insert(waits.end(), each.waits.begin(), each.waits.end());
        fewest = std::min(fewest, each.served);
        most = std::max(most, each.served);
        starved += each.starved;
    }
    std::sort(waits.begin(), waits.end());
    std::printf(
        "%2u threads, %u slots: served %ld..%ld times each; waited %ld us in the middle, "
        "%ld at 99 %%, %ld at most; %ld starved\n",
        threads, slots, fewest, most, waits[waits.size() / 2], waits[waits.size() * 99 / 100],
        waits.back(), starved);
    CHECK(starved == 0);
    CHECK(fewest >= 1);
}

TEST_CASE("waiting: of more threads than slots none starves for its whole deadline", "[wakeups]") {
    measure_fairness(4, 1);
    measure_fairness(16, 2);
    measure_fairness(64, 4);
}

}  // namespace
