// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/thread_caches.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;
using zcpool::magazine_slots;

/// A thread that acquires and releases, so that its cache has slots, and then stays.
class hoarder {
public:
    explicit hoarder(zcpool::pool_view pool) {
        std::promise<void> ready;
        auto is_ready = ready.get_future();
        thread_ = std::thread{[this, pool, &ready] {
            {
                const auto used = pool.try_acquire(1);
            }
            ready.set_value();
            while (!end_) {
                std::this_thread::sleep_for(1ms);
            }
        }};
        is_ready.wait();
    }
    ~hoarder() {
        end_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> end_{false};
    std::thread thread_;
};

/// As many buffers as the pool gives.
std::vector<buffer> take_all(zcpool::pool_view pool) {
    std::vector<buffer> all;
    while (auto next = pool.try_acquire(1)) {
        all.push_back(std::move(next));
    }
    return all;
}

TEST_CASE("thread_caches: a magazine is about 4 MiB, and no class is hoarded", "[pool]") {
    CHECK(magazine_slots(4_KiB, 1 << 20) == 31);
    CHECK(magazine_slots(64_KiB, 4096) == 31);
    CHECK(magazine_slots(256_KiB, 4096) == 16);
    CHECK(magazine_slots(1_MiB, 4096) == 4);
    CHECK(magazine_slots(8_MiB, 4096) == 1);
    CHECK(magazine_slots(4_KiB, 15) == 0);
    CHECK(magazine_slots(4_KiB, 64) == 4);
}

TEST_CASE("thread_caches: what a thread released it gets back, without a system call", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const std::byte* first = nullptr;
    {
        auto used = pool.try_acquire(1);
        first = used.data();
    }
    const faults counting;
    const long before = faults::calls();
    for (int i = 0; i < 1000; ++i) {
        auto again = pool.try_acquire(1);
        REQUIRE(again.data() == first);
    }
    CHECK(faults::calls() == before);
    CHECK(pool.stats()[0].acquired == 1001);
    CHECK(pool.stats()[0].released == 1001);
    CHECK(pool.stats()[0].in_use == 0);
    CHECK(pool.stats()[0].cached == 4);
    CHECK(pool.stats()[0].high_water == 1);
}

TEST_CASE("thread_caches: bursts go between cache and store, and every slot is there", "[pool]") {
    const auto pool = make_pool({.slots = {256, 1}});
    for (int round = 0; round < 5; ++round) {
        auto all = take_all(pool);
        REQUIRE(all.size() == 256);
        std::vector<const std::byte*> places;
        for (const buffer& each : all) {
            places.push_back(each.data());
        }
        std::sort(places.begin(), places.end());
        CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
        CHECK(pool.stats()[0].in_use == 256);
        CHECK(pool.stats()[0].cached == 0);
        CHECK(pool.stats()[0].high_water == 256);
    }
    // Two magazines of 16 in the cache, and a quarter of the slots in the depot.
    CHECK(pool.stats()[0].in_use == 0);
    CHECK(pool.stats()[0].cached <= 32 + 64);
}

TEST_CASE("thread_caches: what other threads cache is had before exhausted is the answer",
          "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const hoarder first{pool};
    const hoarder second{pool};
    CHECK(pool.stats()[0].cached >= 2);
    CHECK(take_all(pool).size() == 64);
}

TEST_CASE("thread_caches: a waiter gets what another thread caches", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const hoarder other{pool};
    const auto all = take_all(pool);  // of which the other one has none any more
    CHECK(all.size() == 64);
    CHECK(pool.acquire_for(1, 1ms).error() == errc::timed_out);
}

TEST_CASE("thread_caches: while somebody waits nothing released ends in a cache", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    auto all = take_all(pool);
    auto waiter = std::async(std::launch::async, [&] { return pool.acquire_for(1, 1h); });
    while (pool.stats()[0].waited == 0) {
        std::this_thread::yield();
    }
    std::this_thread::sleep_for(10ms);
    all.pop_back();
    REQUIRE(waiter.wait_for(10s) == std::future_status::ready);
    CHECK(waiter.get().has_value());
    // And with nobody waiting any more caches are at work again.
    all.clear();
    const auto before = pool.stats()[0].cached;
    CHECK(before > 0);
    CHECK(pool.try_acquire(1));
}

TEST_CASE("thread_caches: slots that were lent rest, and do not end in a cache", "[pool]") {
    const auto pool = make_pool(lending_options(64, 1));
    {
        const auto warm = pool.try_acquire(1);
    }
    const auto cached = pool.stats()[0].cached;
    {
        const auto lent = make_slice(pool, 100, 1);
        REQUIRE(lent.lend().has_value());
    }
    CHECK(pool.stats()[0].cached == cached - 1);
    CHECK(pool.stats()[0].in_use == 0);
    CHECK(take_all(pool).size() == 64);
    CHECK(pool.stats()[0].renewed == 1);
}

TEST_CASE("thread_caches: frozen slots that nobody else knew of come back to the cache", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const std::byte* place = nullptr;
    {
        const auto slice = make_slice(pool, 100, 1);
        const auto shared = slice;
        place = slice.data();
    }
    const auto again = pool.try_acquire(1);
    CHECK(again.data() == place);
}

TEST_CASE("thread_caches: a pool may end while caches are full and buffers out", "[pool]") {
    const held before;
    static_cast<void>(zcpool::cache_owner::find(nullptr));  // forgets those of other tests' pools
    const long caches = cache_mappings();
    {
        std::optional pool{make_pool({.slots = {64, 1}})};
        const hoarder other{*pool};
        auto mine = pool->try_acquire(1);
        auto elsewhere = pool->try_acquire(1);
        {
            const auto released = pool->try_acquire(1);
        }
        pool.reset();
        mine.reset();
        std::thread{[&] { elsewhere.reset(); }}.join();
        CHECK(before == held{});
    }
    {
        const auto another = make_pool({.slots = {64, 1}});
    }  // forgets the old cache
    static_cast<void>(zcpool::cache_owner::find(nullptr));
    CHECK(cache_mappings() == caches);
}

TEST_CASE("thread_caches: closing takes everything back", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const hoarder other{pool};
    auto mine = pool.try_acquire(1);
    CHECK(pool.stats()[0].cached > 0);
    pool.close();
    CHECK(pool.stats()[0].cached == 0);
    CHECK(pool.stats()[0].in_use == 1);
    CHECK(pool.acquire(1).error() == errc::closed);
    mine.reset();
    CHECK(pool.stats()[0].cached == 0);
    CHECK(pool.stats()[0].in_use == 0);
}

TEST_CASE("thread_caches: more threads than caches work without", "[pool]") {
    const auto pool = make_pool({.slots = {16, 1}});  // caches of two for four threads
    CHECK(take_all(pool).size() == 16);               // and four between them, filled by this
    CHECK(pool.stats()[0].cached == 6);
    std::vector<std::unique_ptr<hoarder>> many;
    for (int i = 0; i < 12; ++i) {
        many.push_back(std::make_unique<hoarder>(pool));
    }
    CHECK(pool.stats()[0].cached <= 12);
    std::thread{[&] { CHECK(take_all(pool).size() == 16); }}.join();
    CHECK(pool.stats()[0].in_use == 0);
}

TEST_CASE("thread_caches: a forked child sees none of them, and may have a pool of its own",
          "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    buffer mine = pool.try_acquire(1);
    {
        const auto cached = pool.try_acquire(1);
    }
    const int answer = status_of([&] {
        if (pool.try_acquire(1) || pool.acquire(1).error() != errc::closed) {
            return 1;
        }
        mine.reset();  // must not end in a cache
        auto own = small_pool::create({.slots = {64, 1}});
        if (!own) {
            return 2;
        }
        for (int i = 0; i < 100; ++i) {
            if (!own->try_acquire(1)) {
                return 3;
            }
        }
        return own->stats()[0].acquired == 100 && !pool.try_acquire(1) ? 0 : 4;
    });
    CHECK(answer == 0);
    CHECK(pool.stats()[0].in_use == 1);
    mine.reset();
    CHECK(take_all(pool).size() == 64);
}

TEST_CASE("thread_caches: where membarrier is refused a pool works without, and says so",
          "[pool]") {
    zcpool::creation_report report;
    std::optional<small_pool> pool;
    {
        const faults broken;
        faults::refuse_membarrier(EPERM);
        auto made = small_pool::create({.slots = {64, 1}}, &report);
        REQUIRE(made.has_value());
        pool.emplace(std::move(*made));
    }
    CHECK(report.cache == zcpool::cache_policy::none);
    CHECK(std::string_view{report.text}.find("membarrier") != std::string_view::npos);
    {
        const auto used = pool->try_acquire(1);
    }
    CHECK(pool->stats()[0].cached == 0);
    CHECK(take_all(*pool).size() == 64);
}

TEST_CASE("thread_caches: a policy can do without", "[pool]") {
    using plain = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                               zcpool::pool_policy{.cache = zcpool::cache_policy::none}>;
    const auto pool = make_pool<plain>({.slots = {64, 1}});
    CHECK(pool.report().cache == zcpool::cache_policy::none);
    {
        const auto used = pool.try_acquire(1);
    }
    CHECK(pool.stats()[0].cached == 0);
    CHECK(pool.stats()[0].acquired == 1);
    CHECK(make_pool({.slots = {64, 1}}).report().cache == zcpool::cache_policy::thread);
}

TEST_CASE("thread_caches: threads that hoard, wait, exchange and end lose no slot and share none",
          "[pool][.stress]") {
    for (const std::uint32_t slots : {16U, 32U, 64U, 256U}) {
        auto pool = std::make_optional(make_pool({.slots = {slots, 1}}));
        std::atomic<int> wrong{0};
        std::mutex mutex;
        std::vector<buffer> exchanged;
        std::vector<std::thread> threads;
        const long rounds = scaled(30'000);
        for (unsigned t = 0; t < 6; ++t) {
            threads.emplace_back([&, t] {
                std::uint32_t state = t + 1;
                const auto random = [&state] {
                    state = state * 1'664'525 + 1'013'904'223;
                    return state >> 8;
                };
                std::vector<buffer> mine;
                for (long i = 0; i < rounds; ++i) {
                    const auto what = random() % 100;
                    if (what < 48) {
                        auto next = what == 0 ? pool->acquire_for(1, 5ms).value_or(buffer{})
                                              : pool->try_acquire(1);
                        if (!next) {
                            mine.clear();
                            continue;
                        }
                        auto* words = reinterpret_cast<std::uint64_t*>(next.data());
                        const std::uint64_t stamp =
                            std::uint64_t{t} << 32 | static_cast<std::uint64_t>(i);
                        std::fill_n(words, 8, stamp);
                        wrong += std::count(words, words + 8, stamp) == 8 ? 0 : 1;
                        mine.push_back(std::move(next));
                    } else if (what < 85 && !mine.empty()) {
                        const auto* words = reinterpret_cast<std::uint64_t*>(mine.back().data());
                        wrong += std::count(words, words + 8, words[0]) == 8 ? 0 : 1;
                        mine.pop_back();
                    } else if (what < 92 && !mine.empty()) {
                        const std::lock_guard lock{mutex};
                        exchanged.push_back(std::move(mine.back()));
                        mine.pop_back();
                    } else if (what < 98) {
                        buffer other;
                        const std::lock_guard lock{mutex};
                        if (!exchanged.empty()) {
                            other = std::move(exchanged.back());
                            exchanged.pop_back();
                        }
                    } else if (random() % 50 == 0) {
                        std::thread{[&] { const auto used = pool->try_acquire(1); }}.join();
                    }
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(wrong == 0);
        CHECK(pool->stats()[0].in_use == exchanged.size());
        exchanged.clear();
        auto all = take_all(*pool);
        CHECK(all.size() == slots);
        pool.reset();  // with all of its slots out
    }
}

}  // namespace
