// SPDX-License-Identifier: MIT

// Nobody waits for a thread that was stopped, wherever that was: a victim works on and on, a signal
// stops it at whatever instruction it has reached, and the others must go on meanwhile. Half of the
// stops are at an instruction inside an operation that is counted to (stepping.hpp).

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

#include "stamp.hpp"
#include "stepping.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::bitmap_store;
using zcpool::buffer;
using zcpool::index_ring;
using zcpool::no_index;

constexpr unsigned others = 2;

/// A thread that a signal stops, and the others, of whom it must stop nobody.
template <class Operation>
class stop_test {
public:
    /// `operation(thread, random)` is what all of them do, and answers whether it got what it
    /// wanted.
    explicit stop_test(Operation operation) : operation_(std::move(operation)) {
        struct sigaction action{};
        action.sa_handler = [](int) { on_stop(nullptr); };
        sigemptyset(&action.sa_mask);
        REQUIRE(::sigaction(SIGUSR1, &action, &before_) == 0);
    }
    stop_test(const stop_test&) = delete;
    stop_test& operator=(const stop_test&) = delete;
    ~stop_test() { ::sigaction(SIGUSR1, &before_, nullptr); }

    /// Stops the victim so often. Returns: how often another got nothing done meanwhile.
    long stalls_of(long stops) {
        over_.store(false);
        resume_.store(true);
        std::thread victim{[this] { be_victim(); }};
        std::vector<std::thread> threads;
        for (unsigned n = 0; n < others; ++n) {
            threads.emplace_back([this, n] { work(n); });
        }
        dice random{static_cast<std::uint64_t>(stops)};
        long stalls = 0;
        for (long n = 0; n < stops && stalls < 3; ++n) {
            std::this_thread::sleep_for(std::chrono::microseconds{random.below(300)});
            resume_.store(false);
            if (can_step && n % 2 == 0) {
                step_.store(true);
            } else {
                ::pthread_kill(victim.native_handle(), SIGUSR1);
            }
            stalls += others_go_on() ? 0 : 1;
            resume_.store(true);
            while (stopped_.load()) {
                std::this_thread::yield();
            }
        }
        over_.store(true);
        victim.join();
        for (auto& each : threads) {
            each.join();
        }
        return stalls;
    }

private:
    /// Where a stopped thread stays. Only what a signal handler may call.
    static void on_stop(void*) {
        stopped_.store(true);
        while (!resume_.load()) {
            ::usleep(20);
        }
        stopped_.store(false);
    }

    /// Whether all others get a thing done, again and again, within ten seconds of the stop.
    bool others_go_on() {
        const auto limit = steady::now() + 10s;
        while (!stopped_.load()) {
            if (steady::now() > limit) {
                return false;  // the victim itself hangs
            }
            std::this_thread::yield();
        }
        for (auto& each : done_) {
            const long wanted = each.load() + 100;
            while (each.load() < wanted) {
                if (steady::now() > limit) {
                    return false;
                }
                std::this_thread::yield();
            }
        }
        return true;
    }

    void be_victim() {
        dice random{1};
        while (!over_.load(std::memory_order_relaxed)) {
            if (step_.load(std::memory_order_relaxed)) {
                stop_plan plan{random.below(1U << (3 + random.below(6))), &stop_test::on_stop};
                while (!plan.was_stopped) {
                    plan.after = random.below(plan.after + 1);
                    stepping::run(plan, [&] { operation_(others, random); });
                }
                step_.store(false);
            } else {
                operation_(others, random);
            }
        }
    }

    void work(unsigned number) {
        dice random{number + 2};
        while (!over_.load(std::memory_order_relaxed)) {
            if (operation_(number, random)) {
                done_[number].fetch_add(1, std::memory_order_relaxed);
            }
        }
    }

    inline static std::atomic<bool> stopped_{false};
    inline static std::atomic<bool> resume_{true};

    stepping handler_;
    struct sigaction before_{};
    Operation operation_;
    std::atomic<bool> over_{false};
    std::atomic<bool> step_{false};
    std::array<std::atomic<long>, others> done_{};
};

TEST_CASE("free_store: a thread stopped anywhere keeps nobody else from going on", "[stopped]") {
    for (const std::uint32_t capacity : {4U, 200U}) {
        std::vector<bitmap_store::word> memory(bitmap_store::words_for(capacity));
        bitmap_store store{memory, capacity};
        for (std::uint32_t i = 0; i < capacity; ++i) {
            store.push(i);
        }
        stop_test test{[&](unsigned, dice&) {
            const auto index = store.pop();
            if (index != no_index) {
                store.push(index);
            }
            return index != no_index;
        }};
        CHECK(test.stalls_of(scaled(50)) == 0);
    }
}

TEST_CASE("index_ring: a thread stopped anywhere keeps nobody else from going on", "[stopped]") {
    for (const std::uint32_t capacity : {8U, 256U}) {
        index_ring::counters counters;
        std::vector<index_ring::cell> cells(index_ring::cells_for(capacity));
        index_ring ring{counters, cells};
        for (std::uint32_t i = 0; i < capacity / 2; ++i) {
            REQUIRE(ring.push(i));
        }
        stop_test test{[&](unsigned, dice&) {
            const auto index = ring.pop();
            return index != no_index && ring.push(index);
        }};
        CHECK(test.stalls_of(scaled(50)) == 0);
    }
}

TEST_CASE("pool: a thread stopped anywhere keeps nobody else from getting slots", "[stopped]") {
    // The last: more slots than three threads hold, and fewer than they would cache.
    for (const std::uint32_t slots : {4096U, 64U, 4U}) {
        const auto pool = make_pool({.slots = {slots, 1}});
        std::atomic<long> mismatches{0};
        std::atomic<long> count{0};
        stop_test test{[&](unsigned thread, dice& random) {
            buffer held = pool.try_acquire(1);
            if (!held) {
                return false;
            }
            const auto mine = make_stamp(thread, random());
            put_stamp(held.space(), mine);
            mismatches += has_stamp(held.space(), mine) ? 0 : 1;
            count.fetch_add(1, std::memory_order_relaxed);
            return true;
        }};
        CAPTURE(slots);
        CHECK(test.stalls_of(scaled(50)) == 0);
        CHECK(mismatches == 0);
        CHECK(slots_in_use(pool) == 0);
        std::vector<buffer> all(slots + 1);
        CHECK(pool.acquire_many(1, all) == slots);
    }
}

TEST_CASE("pool: a thread stopped while it lends or renews keeps nobody from getting slots",
          "[stopped]") {
    const auto pool = make_pool(lending_options(8, 1));
    std::atomic<long> mismatches{0};
    stop_test test{[&](unsigned thread, dice& random) {
        buffer held = pool.try_acquire(1);
        if (!held) {
            return false;
        }
        const auto mine = make_stamp(thread, random());
        put_stamp(held.space(), mine);
        mismatches += has_stamp(held.space(), mine) ? 0 : 1;
        held.commit(4096);
        const zcpool::slice frozen = std::move(held).freeze();
        if (random.below(4) == 0) {
            static_cast<void>(frozen.lend());
        }
        mismatches += has_stamp(frozen.bytes(), mine) ? 0 : 1;
        return true;
    }};
    CHECK(test.stalls_of(scaled(50)) == 0);
    CHECK(mismatches == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("waiting: a thread stopped while it waits or wakes keeps nobody from getting slots",
          "[stopped]") {
    // The stopped thread holds at most two of four slots, so others can have the rest.
    const auto pool = make_pool({.slots = {4, 1}});
    stop_test test{[&](unsigned, dice& random) {
        std::array<buffer, 2> held;
        held[0] = pool.try_acquire(1);
        if (random.below(4) == 0) {
            held[1] = pool.acquire_for(1, std::chrono::microseconds{20}).value_or(buffer{});
        }
        return static_cast<bool>(held[0]) || static_cast<bool>(held[1]);
    }};
    CHECK(test.stalls_of(scaled(50)) == 0);
}

}  // namespace
