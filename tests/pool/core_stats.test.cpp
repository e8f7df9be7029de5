// SPDX-License-Identifier: MIT
#include <support/partners.hpp>
#include <zcpool/pool/core_stats.hpp>

namespace {

using namespace zcpool_test;

TEST_CASE("core_stats: what is in use in a shared pool is what its words say", "[pool]") {
    partners<> pair;
    auto& core = zcpool::pool_sharing::core_of(pair.here);
    const zcpool::buffer held = pair.there.view().try_acquire(1);
    // As a process leaves it that is killed between a release and its count.
    zcpool::pool_sharing::slots_of(core, 0).counters().acquired.fetch_add(
        3, zcpool::memory_order_relaxed);
    CHECK(core.stats()[0].in_use == 1);
    CHECK(core.stats()[0].acquired == 4);
    CHECK(core.stats()[1].in_use == 0);
}

TEST_CASE("core_stats: slots of the reserve are not in use", "[pool]") {
    auto options = zcpool::pool_options{.slots = {8, 2}};
    options.reserve = {2, 0};
    const partners<> pair{options};
    const auto stats = pair.here.stats();
    CHECK(stats[0].reserved == 2);
    CHECK(stats[0].in_use == 0);
}

}  // namespace
