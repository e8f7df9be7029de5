// SPDX-License-Identifier: MIT
#include <support/pools.hpp>
#include <zcpool/pool/stats.hpp>

namespace {

using namespace zcpool_test;

TEST_CASE("stats: only the classes that there are", "[pool]") {
    zcpool::pool_stats stats;
    CHECK(stats.begin() == stats.end());
    stats.class_count = 2;
    CHECK(stats.size() == 2);
    CHECK(stats.end() - stats.begin() == 2);
    const auto pool = make_pool({.slots = {3, 1}});
    std::size_t classes = 0;
    for (const auto& each : pool.stats()) {
        classes += each.slots;
    }
    CHECK(classes == 4);
}

TEST_CASE("stats: every acquire, release and refusal is counted", "[pool]") {
    const auto pool = make_pool({.slots = {3, 1}});
    {
        auto a = pool.try_acquire(1);
        auto b = pool.try_acquire(1);
        auto large = pool.try_acquire(5000);
        CHECK_FALSE(pool.try_acquire(5000));
        b.reset();
        auto c = pool.try_acquire(1);
        const auto now = pool.stats();
        CHECK(now[0].in_use == 2);
        CHECK(now[1].in_use == 1);
    }
    const auto stats = pool.stats();
    const auto& small = stats[0];
    CHECK(small.slot_bytes == 4096);
    CHECK(small.slots == 3);
    CHECK(small.acquired == 3);
    CHECK(small.released == 3);
    CHECK(small.in_use == 0);
    CHECK(small.high_water == 2);
    CHECK(small.exhausted == 0);
    CHECK(stats[1].exhausted == 1);
    CHECK(stats[1].high_water == 1);
}

}  // namespace
