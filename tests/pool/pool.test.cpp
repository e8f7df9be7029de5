// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/pool/pool.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;

TEST_CASE("pool: gives the smallest class that fits", "[pool]") {
    const auto pool = make_pool({.slots = {2, 2}});
    CHECK(pool.try_acquire(0).capacity() == 4096);
    CHECK(pool.try_acquire(1).capacity() == 4096);
    CHECK(pool.try_acquire(4096).capacity() == 4096);
    CHECK(pool.try_acquire(4097).capacity() == 65536);
    CHECK(pool.try_acquire(65536).capacity() == 65536);
}

TEST_CASE("pool: says why there is no buffer", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    CHECK(pool.acquire(65537).error() == errc::too_large);
    CHECK(pool.acquire(SIZE_MAX).error() == errc::too_large);
    CHECK(pool.acquire_for(65537, 1s).error() == errc::too_large);
    CHECK_FALSE(pool.try_acquire(65537));
    const auto held = pool.acquire(1);
    REQUIRE(held.has_value());
    CHECK(pool.acquire(1).error() == errc::exhausted);
    CHECK(pool.acquire_for(1, 1ms).error() == errc::timed_out);
    pool.close();
    CHECK(pool.acquire(5000).error() == errc::closed);
    CHECK(pool.acquire_for(5000, 1s).error() == errc::closed);
    CHECK(pool.is_closed());
}

TEST_CASE("pool: every slot is there, again and again", "[pool]") {
    const auto pool = make_pool({.slots = {100, 3}});
    for (int round = 0; round < 3; ++round) {
        std::array<buffer, 101> all;
        CHECK(pool.acquire_many(1, all) == 100);
        CHECK_FALSE(all[100]);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("pool: a view of any pool acquires without knowing its classes", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const zcpool::pool_view view = pool;
    CHECK(view.largest() == 65536);
    CHECK(view.try_acquire(5000).capacity() == 65536);
    CHECK(view.acquire(65537).error() == errc::too_large);
}

TEST_CASE("pool: a full class spills only where the policy says so, and it is counted", "[pool]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                  zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;
    const auto pool = make_pool<spilling>({.slots = {1, 1}});
    const auto first = pool.try_acquire(1);
    const auto second = pool.try_acquire(1);
    CHECK(second.capacity() == 65536);
    CHECK(pool.acquire(1).error() == errc::exhausted);
    CHECK(pool.stats()[1].spilled == 1);
}

TEST_CASE("pool: a waiter for a class that may spill is woken by the larger one", "[pool]") {
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

TEST_CASE("pool: waiters get what is released, and closing wakes them", "[pool]") {
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

TEST_CASE("pool: a waiter gets a slot that rests for the budget when its time has come", "[pool]") {
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

TEST_CASE("pool: a waiter that takes from another class than it was woken for wakes the next",
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

TEST_CASE("pool: a waiter that gives up hands its wake-up on", "[pool]") {
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

TEST_CASE("pool: who looked while a slot was being renewed is woken when it is free", "[pool]") {
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

TEST_CASE("pool: a slot whose renewal failed behind a sweep's back is found again", "[pool]") {
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

TEST_CASE("pool: a waiter finds a slot that could not be renewed when it can be", "[pool]") {
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

TEST_CASE("pool: destroyed while a thread waits, it lets that thread go first", "[pool]") {
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

TEST_CASE("pool: acquire_many leaves alone what it cannot replace", "[pool]") {
    const auto pool = make_pool({.slots = {3, 1}});
    std::array<buffer, 3> all;
    REQUIRE(pool.acquire_many(1, std::span{all}.first(2)) == 2);
    auto* const kept = all[1].data();
    const auto third = pool.try_acquire(1);
    CHECK(pool.acquire_many(1, all) == 0);
    CHECK(all[1].data() == kept);
    CHECK(slots_in_use(pool) == 3);
}

TEST_CASE("pool: waiting for ever is a duration like any other", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto only = pool.try_acquire(1);
    std::thread releaser{[&] {
        while (pool.stats()[0].waited == 0) {
            std::this_thread::yield();
        }
        only.reset();
    }};
    CHECK(pool.acquire_for(1, std::chrono::hours::max()).has_value());
    releaser.join();
    CHECK(pool.acquire_for(65537, std::chrono::nanoseconds::max()).error() == errc::too_large);
}

TEST_CASE("pool: outlived by its buffers and slices, the memory goes with the last of them",
          "[pool]") {
    const held before;
    {
        buffer survivor;
        zcpool::slice shared;
        {
            const auto pool = make_pool({.slots = {2, 1}});
            survivor = pool.try_acquire(1);
            shared = make_slice(pool, 5000, 3);
        }
        std::memset(survivor.data(), 1, survivor.capacity());
        CHECK(std::vector(shared.bytes().begin(), shared.bytes().end()) == pattern(5000, 3));
        shared = {};
        CHECK(pool_mappings() > before.mappings);
    }
    CHECK(before == held{});
}

TEST_CASE("pool: moves, and closes the one that it replaces", "[pool]") {
    const held before;
    {
        auto first = make_pool({.slots = {1, 1}});
        const auto kept = first.try_acquire(1);
        auto second{std::move(first)};
        CHECK(second.acquire(1).error() == errc::exhausted);
        second = make_pool({.slots = {1, 1}});
        CHECK(second.try_acquire(1));
    }
    CHECK(before == held{});
}

TEST_CASE("pool: a forked child's copies of handles do nothing, and it cannot acquire", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    buffer mine = pool.try_acquire(1);
    mine.commit(1);
    auto shared = make_slice(pool, 5000, 1);
    const connection link = unix_pair();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool refused = !pool.try_acquire(1) && pool.acquire(1).error() == errc::closed;
        pool.close();
        zcpool::sink::write out{link.ours.get()};
        out.push(shared);  // the parent may use the slot for something else at any time
        const bool kept = out.flush() == zcpool::sink::state::failed;
        mine.reset();
        shared = {};
        ::_exit(refused && kept ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK_FALSE(pool.is_closed());
    CHECK(slots_in_use(pool) == 2);
    const auto other = pool.try_acquire(1);
    REQUIRE(other);
    CHECK(other.data() != mine.data());
}

TEST_CASE("pool: threads that fill and check slots never meet in one", "[pool][.stress]") {
    for (const std::uint32_t slots : {1U, 2U, 5U, 64U}) {
        const auto pool = make_pool({.slots = {slots, 1}});
        std::atomic<long> mismatches{0};
        std::atomic<long> rounds{0};
        std::vector<std::thread> threads;
        for (std::uint64_t t = 0; t < 8; ++t) {
            threads.emplace_back([&, t] {
                for (std::uint64_t i = 0; i < 20'000; ++i) {
                    buffer taken = pool.try_acquire(64);
                    if (!taken) {
                        continue;
                    }
                    const std::uint64_t stamp = t << 32 | i;
                    auto* words = reinterpret_cast<volatile std::uint64_t*>(taken.data());
                    for (int w = 0; w < 8; ++w) {
                        words[w] = stamp;
                    }
                    for (int w = 0; w < 8; ++w) {
                        mismatches += words[w] != stamp ? 1 : 0;
                    }
                    ++rounds;
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(mismatches == 0);
        CHECK(rounds > 0);
        const auto stats = pool.stats();
        CHECK(stats[0].acquired == static_cast<std::uint64_t>(rounds.load()));
        CHECK(stats[0].in_use == 0);
        CHECK(stats[0].high_water <= slots);
        std::vector<buffer> all(slots);
        CHECK(pool.acquire_many(1, all) == slots);  // none was lost
    }
}

TEST_CASE("pool: with more threads than slots nobody waits for ever", "[pool][.stress]") {
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
