// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/huge_pages.hpp>
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

TEST_CASE("pool: renewing replaces the pages of the slot, all of them and no others", "[pool]") {
    const auto pool = make_pool(lending_options(2, 2));
    const auto before = make_slice(pool, 4096, 1);
    const auto between = make_slice(pool, 65536, 2);
    for (const std::size_t bytes : {4096UL, 65536UL}) {
        for (int life = 0; life < 3; ++life) {  // in each of its lives it rests, and is renewed
            {
                const auto lent = make_slice(pool, bytes, 3);
                REQUIRE(lent.lend().has_value());
            }
            auto again = pool.try_acquire(bytes);
            REQUIRE(again);
            const auto is_zero = [](std::byte each) { return each == std::byte{0}; };
            CHECK(std::all_of(again.data(), again.data() + bytes, is_zero));
        }
    }
    CHECK(pool.stats()[0].renewed == 3);
    CHECK(pool.stats()[1].renewed == 3);
    const auto first = pattern(4096, 1);
    const auto second = pattern(65536, 2);
    CHECK(std::equal(first.begin(), first.end(), before.data()));
    CHECK(std::equal(second.begin(), second.end(), between.data()));
}

TEST_CASE("pool: renews ahead no more slots than it is asked to, over all classes", "[pool]") {
    const auto pool = make_pool(lending_options(2, 2));
    for (const std::size_t bytes : {1UL, 1UL, 5000UL, 5000UL}) {
        const auto held = pool.try_acquire(bytes);  // another one each time
        const auto lent = make_slice(pool, bytes, 1);
        REQUIRE(lent.lend().has_value());
    }
    const auto resting = [&] { return pool.stats()[0].renewed + pool.stats()[1].renewed; };
    const auto before = resting();
    CHECK(pool.renew_resting(1) == 1);
    CHECK(resting() == before + 1);
}

TEST_CASE("pool: trimmed, it holds no memory for free slots, and takes it again on demand",
          "[pool]") {
    for (const auto lending : {zcpool::lending::never, zcpool::lending::cached}) {
        auto options = lending_options(64, 8);
        options.lending = lending;
        const auto pool = make_pool(options);
        const auto held = make_slice(pool, 65536, 1);
        {
            const auto cached = pool.try_acquire(1);
        }
        CHECK(pool.stats()[0].cached > 0);
        CHECK(pool.trim(2) == 62 * 4096 + 5 * 65536);
        CHECK(pool.stats()[0].cached == 0);
        CHECK(pool.stats()[0].trimmed == 62);
        CHECK(pool.stats()[1].trimmed == 5);
        CHECK(pool.trim() == 2 * 4096 + 2 * 65536);
        CHECK(pool.trim() == 0);
        std::vector<buffer> all;
        while (auto next = pool.try_acquire(65536)) {
            fill(next.space(), all.size());
            all.push_back(std::move(next));
        }
        CHECK(all.size() == 7);
        CHECK(pool.stats()[1].refilled == 7);
        CHECK(pool.stats()[1].renewed == 0);
        const auto kept = pattern(65536, 1);
        CHECK(std::equal(kept.begin(), kept.end(), held.data()));
    }
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
    std::optional pool_object{make_pool(lending_options(2, 1))};
    const auto& pool = *pool_object;
    buffer mine = pool.try_acquire(1);
    mine.commit(1);
    auto shared = make_slice(pool, 5000, 1);
    const connection link = unix_pair();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool refused = !pool.try_acquire(1) && pool.acquire(1).error() == errc::closed;
        pool.close();
        pool_object.reset();
        zcpool::sink::write out{link.ours.get()};
        out.push(shared);  // the parent may use the slot for something else at any time
        const bool kept = out.flush() == zcpool::sink::state::failed;
        const bool not_lent = !shared.lend();
        const long mapped = pool_mappings();
        mine.reset();
        shared = {};
        const bool left = pool_mappings() == mapped;  // to the process's own end
        ::_exit(refused && kept && not_lent && left ? 0 : 1);
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

TEST_CASE("pool: says how much of its arenas lies in huge pages, also after they were renewed",
          "[pool]") {
    CHECK(make_pool({.slots = {2, 2}}).huge_bytes() == 0);
    if (!has_huge_pages()) {
        SKIP("no huge pages are to be had");
    }
    const auto pool = make_pool(arena_options(0x200, 0x20));  // an arena of each class
    CHECK(pool.huge_bytes() == 2 * zcpool::huge_page_size);
    const auto lend_one = [&] {
        std::array<buffer, 0x20> all;  // else the arena is not retired
        REQUIRE(pool.acquire_many(60'000, std::span{all}.subspan(1)) == all.size() - 1);
        const auto part = make_slice(pool, 60'000, 1);
        REQUIRE(part.lend_memory());
        return reinterpret_cast<std::uintptr_t>(part.data());
    };
    const auto address = lend_one();
    CHECK(pool.renew_resting(1) == 0x20);
    CHECK(pool.huge_bytes() == 2 * zcpool::huge_page_size);
    // As when there are none left.
    auto* const arena = reinterpret_cast<void*>(address & ~(zcpool::huge_page_size - 1));
    REQUIRE(::madvise(arena, zcpool::huge_page_size, MADV_NOHUGEPAGE) == 0);
    lend_one();
    CHECK(pool.renew_resting(1) == 0x20);
    CHECK(pool.huge_bytes() == zcpool::huge_page_size);
}

}  // namespace
