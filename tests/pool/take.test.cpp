// SPDX-License-Identifier: MIT

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/take.hpp>

// Finding a slot where there is none at hand: spilling, waiting, and what rests or failed.

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;

TEST_CASE("take: a full class spills only where the policy says so, and it is counted", "[pool]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                  zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;
    const auto pool = make_pool<spilling>({.slots = {1, 1}});
    const auto first = pool.try_acquire(1);
    const auto second = pool.try_acquire(1);
    CHECK(second.capacity() == 65536);
    CHECK(pool.acquire(1).error() == errc::exhausted);
    CHECK(pool.stats()[1].spilled == 1);
}

TEST_CASE("take: a waiter for a class that may spill is woken by the larger one", "[pool]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                  zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;
    const auto pool = make_pool<spilling>({.slots = {1, 1}});
    const auto small = pool.try_acquire(1);
    auto large = pool.try_acquire(65536);
    std::thread releaser{[&] {
        while (pool.stats()[0].waited == 0) {
            std::this_thread::yield();
        }
        large.reset();
    }};
    const auto got = pool.acquire_for(1, 60s);
    releaser.join();
    REQUIRE(got.has_value());
    CHECK(got->capacity() == 65536);
}

TEST_CASE("take: waiters get what is released, and closing wakes them", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    std::optional<buffer> held = pool.try_acquire(1);
    std::atomic<int> served{0};
    std::atomic<int> closed{0};
    std::vector<std::thread> waiters;
    for (int i = 0; i < 4; ++i) {
        waiters.emplace_back([&] {
            for (;;) {
                const auto got = pool.acquire_for(1, 60s);
                if (!got) {
                    closed += got.error() == errc::closed ? 1 : 100;
                    return;
                }
                ++served;
            }
        });
    }
    while (pool.stats()[0].waited < 4) {
        std::this_thread::yield();
    }
    held.reset();
    while (served < 1000) {
        std::this_thread::yield();
    }
    pool.close();
    for (auto& each : waiters) {
        each.join();
    }
    CHECK(closed == 4);
}

TEST_CASE("take: closing wakes everybody who sleeps, whatever for", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto small = pool.try_acquire(1);
    auto large = pool.try_acquire(5000);
    std::array<std::future<zcpool::result<buffer>>, 3> waiters;
    for (std::size_t i = 0; i < waiters.size(); ++i) {
        waiters[i] = std::async(std::launch::async, [&pool, bytes = i == 0 ? 5000U : 1U] {
            return pool.acquire_for(bytes, 1h);
        });
    }
    while (pool.stats()[0].waited + pool.stats()[1].waited < 3) {
        std::this_thread::yield();
    }
    std::this_thread::sleep_for(20ms);  // by now they sleep; if not, the test is only weaker
    pool.close();
    for (auto& each : waiters) {
        CHECK(each.wait_for(10s) == std::future_status::ready);
    }
    small.reset();  // for those that were not woken
    large.reset();
    for (auto& each : waiters) {
        CHECK(each.get().error() == errc::closed);
    }
}

TEST_CASE("take: a release wakes a waiter that can use the slot, not one before it that cannot",
          "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto small = pool.try_acquire(1);
    auto large = pool.try_acquire(5000);
    const auto waiting_for = [&pool](std::size_t bytes, std::size_t index) {
        auto waiter =
            std::async(std::launch::async, [&pool, bytes] { return pool.acquire_for(bytes, 1h); });
        while (pool.stats()[index].waited == 0) {
            std::this_thread::yield();
        }
        std::this_thread::sleep_for(20ms);  // asleep, in this order
        return waiter;
    };
    auto first = waiting_for(1, 0);
    auto second = waiting_for(5000, 1);
    large.reset();
    CHECK(second.wait_for(10s) == std::future_status::ready);
    small.reset();
    CHECK(first.wait_for(10s) == std::future_status::ready);
    pool.close();  // for those that were not woken
}

TEST_CASE("take: a waiter for a class that may spill is woken by its own class, too", "[pool]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                  zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;
    const auto pool = make_pool<spilling>({.slots = {1, 1}});
    auto small = pool.try_acquire(1);
    const auto large = pool.try_acquire(65536);
    auto waiter = std::async(std::launch::async, [&] { return pool.acquire_for(1, 1h); });
    while (pool.stats()[0].waited == 0) {
        std::this_thread::yield();
    }
    std::this_thread::sleep_for(20ms);
    small.reset();
    CHECK(waiter.wait_for(10s) == std::future_status::ready);
    pool.close();
}

TEST_CASE("take: one look for a slot tries one of those that could not be renewed", "[pool]") {
    const auto pool = make_pool(lending_options(4, 1));
    {
        std::array<buffer, 4> all;
        REQUIRE(pool.acquire_many(1, all) == 4);
        for (buffer& each : all) {
            each.commit(1);
            REQUIRE(std::move(each).freeze().lend().has_value());
        }
    }
    const faults broken;
    faults::fail_punches(EPERM);
    CHECK_FALSE(pool.try_acquire(1));  // each of the four is tried once
    const auto before = pool.stats()[0].quarantined;
    CHECK_FALSE(pool.try_acquire(1));
    CHECK(pool.stats()[0].quarantined == before + 1);
}

TEST_CASE("take: a waiter gets a slot that rests for the budget when its time has come", "[pool]") {
    auto options = lending_options(1, 1);
    options.lent_settle_time = 50ms;
    options.lent_budget_permille = 0;
    const auto pool = make_pool(options);
    {
        // The budget of nothing forbids lending. What another process lent, or this one before a
        // budget was used up, is in the same state as this.
        auto slice = make_slice(pool, 100, 1);
        CHECK_FALSE(slice.lend().has_value());
    }
    options.lent_budget_permille = 1000;
    const auto other = make_pool(options);
    for (int round = 0; round < 40; ++round) {
        auto got = other.acquire_for(65536, 10s);
        REQUIRE(got.has_value());
        got->commit(65536);
        const auto slice = std::move(*got).freeze();
        static_cast<void>(slice.lend());
    }
    CHECK(other.stats().lent_detached_bytes <= other.stats().lent_budget_bytes);
}

/// Runs work in a thread and waits until somebody waits for a slot of class 0, and a moment more to
/// be asleep.
template <class Pool, class Work>
std::thread waiting_thread(const Pool& pool, std::uint64_t waited_before, Work work) {
    std::thread made{std::move(work)};
    while (pool.stats()[0].waited + pool.stats()[1].waited == waited_before) {
        std::this_thread::yield();
    }
    std::this_thread::sleep_for(10ms);
    return made;
}

TEST_CASE("take: a waiter that takes from another class than it was woken for wakes the next",
          "[pool]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                  zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;
    for (int round = 0; round < 5; ++round) {
        const auto pool = make_pool<spilling>({.slots = {1, 1}});
        auto small = pool.try_acquire(1);
        auto large = pool.try_acquire(65536);
        zcpool::result<buffer> first;
        zcpool::result<buffer> second;
        std::thread either = waiting_thread(pool, 0, [&] { first = pool.acquire_for(1, 30s); });
        std::thread only_large =
            waiting_thread(pool, 1, [&] { second = pool.acquire_for(65536, 30s); });
        large.reset();  // wakes the one that could use either
        small.reset();
        either.join();
        if (first.has_value() && first->capacity() == 65536) {
            first->reset();
        }
        only_large.join();
        CHECK(second.has_value());
    }
}

TEST_CASE("take: a waiter that gives up hands its wake-up on", "[pool]") {
    using pages = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;
    auto options = lending_options(4, 1);
    options.lent_budget_permille = 60;  // of 80 KiB: one page
    options.lent_settle_time = 300ms;
    const auto pool = make_pool<pages>(options);
    std::array<buffer, 4> all;
    REQUIRE(pool.acquire_many(1, all) == 4);
    all[0].commit(1);
    all[1].commit(1);
    auto a = std::move(all[0]).freeze();
    auto b = std::move(all[1]).freeze();
    REQUIRE((a.lend() && b.lend()));
    a = {};
    const auto again = pool.try_acquire(1);  // with which the budget is used up
    REQUIRE(again);
    zcpool::result<buffer> impatient;
    zcpool::result<buffer> patient;
    std::thread first = waiting_thread(pool, 0, [&] { impatient = pool.acquire_for(1, 60ms); });
    std::thread second = waiting_thread(pool, 1, [&] { patient = pool.acquire_for(1, 30s); });
    b = {};  // rests over the budget, and wakes one of them
    first.join();
    second.join();
    CHECK(patient.has_value());
}

TEST_CASE("take: who looked while a slot was being renewed is woken when it is free", "[pool]") {
    const auto pool = make_pool(lending_options(1, 1));
    {
        const auto lent = make_slice(pool, 100, 1);
        REQUIRE(lent.lend().has_value());
    }
    const faults held_up;
    faults::hold_punches();
    std::thread renewer{[&] { static_cast<void>(pool.renew_resting(1)); }};
    while (faults::held_punches() == 0) {
        std::this_thread::yield();
    }
    zcpool::result<buffer> got;
    std::thread waiter = waiting_thread(pool, 0, [&] { got = pool.acquire_for(1, 30s); });
    faults::resume_punches();
    renewer.join();
    waiter.join();
    CHECK(got.has_value());
}

TEST_CASE("take: a slot whose renewal failed behind a sweep's back is found again", "[pool]") {
    const auto pool = make_pool(lending_options(1, 1));
    {
        const auto lent = make_slice(pool, 100, 1);
        REQUIRE(lent.lend().has_value());
    }
    {
        const faults broken;
        faults::hold_punches();
        faults::fail_punches(ENOMEM);
        std::thread unlucky{[&] { static_cast<void>(pool.renew_resting(1)); }};
        while (faults::held_punches() == 0) {
            std::this_thread::yield();
        }
        CHECK_FALSE(pool.try_acquire(1));  // swept while the slot was neither free nor in use
        faults::resume_punches();
        unlucky.join();
    }
    CHECK(pool.try_acquire(1));
}

TEST_CASE("take: a waiter finds a slot that could not be renewed when it can be", "[pool]") {
    const auto pool = make_pool(lending_options(1, 1));
    {
        const auto lent = make_slice(pool, 100, 1);
        REQUIRE(lent.lend().has_value());
    }
    zcpool::result<buffer> got;
    std::thread waiter;
    {
        const faults broken;
        faults::fail_populating(ENOMEM);
        waiter = waiting_thread(pool, 0, [&] { got = pool.acquire_for(1, 30s); });
    }
    waiter.join();
    CHECK(got.has_value());
}

TEST_CASE("take: destroyed while a thread waits, it lets that thread go first", "[pool]") {
    const held before;
    for (int round = 0; round < 20; ++round) {
        auto pool = std::make_optional(make_pool({.slots = {1, 1}}));
        auto last = pool->try_acquire(1);
        std::atomic<bool> about_to{false};
        zcpool::result<buffer> got;
        std::thread waiter{[&, view = zcpool::pool_view{*pool}] {
            about_to = true;
            got = view.acquire_for(1, 30s);
        }};
        while (!about_to || pool->stats()[0].waited == 0) {
            std::this_thread::yield();
        }
        pool.reset();
        last.reset();
        waiter.join();
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == errc::closed);
    }
    CHECK(before == held{});
}

TEST_CASE("take: with more threads than slots nobody waits for ever", "[pool][.stress]") {
    const auto pool = make_pool({.slots = {2, 1}});
    std::atomic<long> failures{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5'000; ++i) {
                auto taken = pool.acquire_for(1, 60s);
                failures += taken ? 0 : 1;
                if (i % 16 == 0) {
                    std::this_thread::yield();  // with the slot in hand, so that others do wait
                }
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(failures == 0);
}

}  // namespace
