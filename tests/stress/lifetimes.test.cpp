// SPDX-License-Identifier: MIT

// Pools, threads and processes that end in any order: what a thread keeps of a pool must outlive
// neither, and what a pool keeps of a thread neither.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/zcpool.hpp>

#include "stamp.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::errc;
using zcpool::pool_view;
using zcpool::slice;

/// A buffer and the stamp that is in it.
struct stamped {
    buffer held;
    std::uint64_t stamp = 0;

    static stamped from(pool_view pool, unsigned thread, std::uint64_t count) {
        stamped made{pool.try_acquire(1), make_stamp(thread, count)};
        if (made.held) {
            put_stamp(made.held.space(), made.stamp);
        }
        return made;
    }
    [[nodiscard]] bool is_right() { return !held || has_stamp(held.space(), stamp); }
};

/// What a forked child does. Returns: 0, or which step went wrong.
int live_in_child(const small_pool& parents, buffer& held, slice& frozen) {
    ::alarm(60);  // ends the child if it hangs
    const auto refused = parents.acquire(1);
    if (refused || refused.error() != errc::closed) {
        return 1;
    }
    const auto waited = parents.acquire_for(1, 10ms);
    if (waited || waited.error() != errc::closed) {
        return 2;
    }
    held.reset();
    frozen = {};
    auto own = small_pool::create({.slots = {4, 1}});
    if (!own) {
        return 3;
    }
    for (unsigned n = 0; n < 1'000; ++n) {
        std::array<stamped, 4> all;
        for (stamped& each : all) {
            each = stamped::from(*own, 0, n);
            if (!each.held || !each.is_right()) {
                return 4;
            }
        }
        if (own->try_acquire(1)) {
            return 5;
        }
    }
    if (slots_in_use(*own) != 0 || own->stats()[0].acquired != 4'000) {
        return 6;
    }
    return 0;
}

TEST_CASE("fork: a child forked while others use the pool ends well and has its own",
          "[lifetimes]") {
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer does not follow forks of a process with threads");
#endif
    for (const std::uint32_t slots : {4U, 256U}) {
        const auto pool = make_pool({.slots = {slots, 1}});
        std::atomic<bool> over{false};
        std::atomic<long> mismatches{0};
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < 3; ++t) {
            threads.emplace_back([&, t] {
                for (std::uint64_t n = 0; !over.load(std::memory_order_relaxed); ++n) {
                    auto mine = stamped::from(pool, t, n);
                    mismatches += mine.is_right() ? 0 : 1;
                    if (n % 8 == 0) {
                        static_cast<void>(pool.acquire_for(1, 50us));
                    }
                }
            });
        }
        int status = 0;
        for (long n = 0; n < scaled(40) && status == 0; ++n) {
            buffer held = pool.try_acquire(1);
            slice frozen;
            if (buffer other = pool.try_acquire(1)) {
                other.commit(1);
                frozen = std::move(other).freeze();
            }
            child forked{[&] {
                const int step = live_in_child(pool, held, frozen);
#if !ZCPOOL_ADDRESS_SANITIZER
                // The way a program ends, with the destructors of this thread and of the program.
                // LeakSanitizer would take what only the parent's threads knew for lost.
                std::exit(step);
#endif
                return step;
            }};
            status = forked.status();
        }
        over.store(true);
        for (auto& each : threads) {
            each.join();
        }
        CHECK(status == 0);  // or the step of live_in_child() that went wrong
        CHECK(mismatches == 0);
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("pool: a thread that uses many pools keeps them apart", "[lifetimes]") {
    const held before;
    {
        std::vector<small_pool> pools;
        for (std::uint32_t n = 0; n < 40; ++n) {
            pools.push_back(make_pool({.slots = {1 + n % 7, 1}}));
        }
        std::atomic<long> mismatches{0};
        std::atomic<long> had{0};
        run_together(4, [&](unsigned number) {
            dice random{number + 1};
            std::array<stamped, 16> mine;
            for (std::uint64_t n = 0, all = static_cast<std::uint64_t>(scaled(50'000)); n < all;
                 ++n) {
                stamped& place = mine[random.below(16)];
                mismatches += place.is_right() ? 0 : 1;
                place = stamped::from(pools[random.below(40)], number, n);
                had += place.held ? 1 : 0;
            }
        });
        CHECK(mismatches == 0);
        CHECK(had > 0);
        for (const auto& each : pools) {
            CHECK(slots_in_use(each) == 0);
            std::vector<buffer> all(8);
            CHECK(each.acquire_many(1, all) == each.stats()[0].slots);
        }
    }
    CHECK(before == held{});
}

TEST_CASE("pool: pools that come and go under threads that stay leave nothing behind",
          "[lifetimes]") {
    const held before;
    std::mutex mutex;
    std::vector<std::optional<small_pool>> pools(6);
    std::atomic<long> mismatches{0};
    // What is still held when its pool goes, and released by whoever comes by.
    std::mutex left_mutex;
    std::vector<stamped> left;
    run_together(4, [&](unsigned number) {
        dice random{number + 1};
        for (std::uint64_t n = 0, all = static_cast<std::uint64_t>(scaled(3'000)); n < all; ++n) {
            std::vector<stamped> mine;
            {
                // Held only to find the pool and to change the list: acquiring needs no lock, but a
                // view is good only while its pool lives.
                const std::lock_guard hold{mutex};
                auto& place = pools[random.below(6)];
                if (!place || random.below(32) == 0) {
                    auto made = small_pool::create({.slots = {1 + random.below(40), 1}});
                    mismatches += made ? 0 : 1;
                    place = made ? std::optional{std::move(*made)} : std::nullopt;
                }
                for (unsigned k = random.below(8); place && k != 0; --k) {
                    mine.push_back(stamped::from(*place, number, n * 8 + k));
                }
            }
            for (stamped& each : mine) {
                mismatches += each.is_right() ? 0 : 1;
            }
            const std::lock_guard hold{left_mutex};
            while (!mine.empty() && random.below(2) == 0) {
                left.push_back(std::move(mine.back()));
                mine.pop_back();
            }
            while (left.size() > 20 || (!left.empty() && random.below(2) == 0)) {
                std::swap(left[random.below(static_cast<std::uint32_t>(left.size()))], left.back());
                mismatches += left.back().is_right() ? 0 : 1;
                left.pop_back();
            }
        }
    });
    CHECK(mismatches == 0);
    pools.clear();
    for (stamped& each : left) {
        CHECK(each.is_right());
    }
    left.clear();
    CHECK(before == held{});
}

TEST_CASE("pool: threads that end leave their buffers valid and lose no slot", "[lifetimes]") {
    for (const std::uint32_t slots : {1U, 8U, 512U}) {
        const auto pool = make_pool({.slots = {slots, 1}});
        std::atomic<long> mismatches{0};
        for (long round = 0; round < scaled(100); ++round) {
            std::mutex mutex;
            std::vector<stamped> left;
            run_together(4, [&](unsigned number) {
                dice random{number + 1};
                std::vector<stamped> mine;
                for (std::uint64_t n = 0; n < 40; ++n) {
                    auto next = stamped::from(pool, number, n);
                    mismatches += next.is_right() ? 0 : 1;
                    if (random.below(2) == 0) {
                        mine.push_back(std::move(next));
                    }
                }
                const std::lock_guard hold{mutex};
                std::move(mine.begin(), mine.end(), std::back_inserter(left));
            });
            for (stamped& each : left) {
                mismatches += each.is_right() ? 0 : 1;
            }
            left.clear();
            // Whatever the threads kept for themselves has come back with their end.
            std::vector<buffer> all(slots + 1);
            REQUIRE(pool.acquire_many(1, all) == slots);
        }
        CHECK(mismatches == 0);
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("pool: its memory goes with the last buffer that other threads release", "[lifetimes]") {
    const held before;
    for (long round = 0; round < scaled(100); ++round) {
        std::optional<small_pool> pool = make_pool({.slots = {64, 1}});
        std::atomic<long> mismatches{0};
        std::atomic<bool> destroyed{false};
        std::array<std::vector<stamped>, 4> handed;
        std::array<slice, 4> shared;
        for (std::size_t n = 0; n < 48; ++n) {
            handed[n % 4].push_back(stamped::from(*pool, static_cast<unsigned>(n), n));
        }
        shared.fill(make_slice(*pool, 4096, 7));
        std::latch acquired{5};
        std::thread destroyer{[&] {
            acquired.arrive_and_wait();
            pool.reset();
            destroyed.store(true);
        }};
        run_together(4, [&](unsigned number) {
            auto& mine = handed[number];
            // Slots of its own too, so that this thread has used the pool before it goes.
            for (std::uint64_t n = 0; n < 4; ++n) {
                mine.push_back(stamped::from(*pool, number, n));
                mine.push_back(stamped::from(*pool, number, n));
                mine.pop_back();
            }
            acquired.arrive_and_wait();
            // Half of the buffers around the moment of the end, and half behind it for certain.
            for (std::size_t n = mine.size(); n != 0; --n) {
                while (n == mine.size() / 2 && !destroyed.load()) {
                    std::this_thread::yield();
                }
                mismatches += mine.back().is_right() ? 0 : 1;
                mine.pop_back();
            }
            mismatches += std::ranges::equal(shared[number].bytes(), pattern(4096, 7)) ? 0 : 1;
            shared[number] = {};
        });
        destroyer.join();
        REQUIRE(mismatches == 0);
        REQUIRE(before == held{});
    }
}

}  // namespace
