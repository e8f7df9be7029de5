// SPDX-License-Identifier: MIT
#include <optional>
#include <thread>
#include <vector>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/cache_owner.hpp>

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::cache_owner;

/// Acquires and releases a slot, so that the thread has a cache of the pool.
void use(zcpool::pool_view pool) { REQUIRE(pool.try_acquire(1)); }

TEST_CASE("cache_owner: a thread finds its cache of each pool, and has one of each", "[pool]") {
    const auto first = make_pool({.slots = {64, 1}});
    const auto second = make_pool({.slots = {64, 1}});
    use(first);
    const auto* of_first = zcpool::current_cache;
    REQUIRE(of_first != nullptr);
    use(second);
    const auto* of_second = zcpool::current_cache;
    CHECK(of_first != of_second);
    use(first);
    CHECK(zcpool::current_cache == of_first);
    std::thread{[&] {
        CHECK(zcpool::current_cache == nullptr);
        use(first);
        CHECK(zcpool::current_cache != of_first);
    }}.join();
}

TEST_CASE("cache_owner: forgets caches of pools that have gone, also when one comes to their place",
          "[pool]") {
    const long before = cache_mappings();
    for (int i = 0; i < 20; ++i) {
        const auto pool = make_pool({.slots = {64, 1}});
        use(pool);
        CHECK(pool.stats()[0].cached > 0);
    }
    const auto last = make_pool({.slots = {64, 1}});
    use(last);
    CHECK(cache_mappings() <= before + 2);
}

TEST_CASE("cache_owner: a thread that ends leaves nothing in its cache, which the next one gets",
          "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const zcpool::thread_cache* had = nullptr;
    std::thread{[&] {
        use(pool);
        had = zcpool::current_cache;
        CHECK(pool.stats()[0].cached > 0);
    }}.join();
    CHECK(pool.stats()[0].cached == 0);
    CHECK(pool.stats()[0].acquired == 1);
    CHECK(pool.stats()[0].in_use == 0);
    std::thread{[&] {
        use(pool);
        CHECK(zcpool::current_cache == had);
    }}.join();
}

TEST_CASE("cache_owner: the pool may end before the thread, and the thread before the pool",
          "[pool]") {
    const long before = cache_mappings();
    std::optional pool{make_pool({.slots = {64, 1}})};
    std::thread{[&] {
        use(*pool);
        pool.reset();
        CHECK(zcpool::current_cache != nullptr);  // the thread's side of it is still there
    }}.join();
    CHECK(cache_mappings() == before);
    pool.emplace(make_pool({.slots = {64, 1}}));
    std::thread{[&] { use(*pool); }}.join();
    pool.reset();
    CHECK(cache_mappings() == before);
}

/// Releases its buffer when its thread ends, behind what was made after it.
struct late_release {
    buffer held;
};

TEST_CASE("cache_owner: slots released by a thread's last objects come back", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    std::thread{[&] {
        thread_local late_release late;  // made before the cache, so it ends after it
        use(pool);
        late.held = pool.try_acquire(1);
        REQUIRE(late.held);
    }}.join();
    CHECK(pool.stats()[0].in_use == 0);
    CHECK(pool.stats()[0].cached == 0);
}

}  // namespace
