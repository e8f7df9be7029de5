// SPDX-License-Identifier: MIT
#include <array>
#include <utility>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/pool/give_back.hpp>
#include <zcpool/pool/pool.hpp>

// Where a slot goes when its last handle does; what the thread caches do with it is in
// thread_caches.test.cpp.

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::creation_report;
using zcpool::pool_core;
using zcpool::slot_state;

/// A core of one class, closed when it goes.
struct fixture {
    explicit fixture(const zcpool::pool_options& options, zcpool::pool_policy policy = {}) {
        const std::array<zcpool::class_spec, 1> classes{{{4_KiB, options.slots[0]}}};
        core = pool_core::create(classes, options, policy, report).value();
    }
    ~fixture() { core->end(); }

    creation_report report;
    pool_core* core = nullptr;
};

TEST_CASE("give_back: without thread caches the slot is free when the call returns", "[pool]") {
    const fixture f{{.slots = {64}}, {.cache = zcpool::cache_policy::none}};
    zcpool::slot_record* record = f.core->take(0).value();
    f.core->give_back(*record);
    CHECK(f.core->was(*record).state == slot_state::free);
    CHECK(f.core->was(*record).generation == 1);
    CHECK(f.core->stats()[0].released == 1);
}

TEST_CASE("give_back: with thread caches the process keeps the slot", "[pool]") {
    const fixture f{{.slots = {64}}};
    zcpool::slot_record* record = f.core->take(0).value();
    f.core->give_back(*record);
    CHECK(f.core->was(*record).state == slot_state::owned);
    CHECK(f.core->stats()[0].in_use == 0);
}

TEST_CASE("give_back: what was lent rests, whatever caches there are", "[pool]") {
    const fixture f{lending_options(64, 0)};
    zcpool::slot_record* record = f.core->take(0).value();
    REQUIRE(f.core->lend(*record));
    f.core->give_back(*record);
    CHECK(zcpool::slot_word::is_resting(f.core->was(*record)));
}

TEST_CASE("give_back: a slot that the reserve lacks goes there first", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}, .reserve = {1}});
    buffer normal = pool.try_acquire(1);
    buffer urgent = pool.acquire(1, zcpool::priority::urgent).value();
    CHECK(pool.stats()[0].reserved == 0);
    normal.reset();
    CHECK(pool.stats()[0].reserved == 1);
    CHECK_FALSE(pool.try_acquire(1));
    urgent.reset();
    CHECK(pool.try_acquire(1));
}

TEST_CASE("give_back: a forked child gives nothing back", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    buffer taken = pool.try_acquire(1);
    CHECK(status_of([&] {
              taken.reset();
              return 0;
          }) == 0);
    CHECK(slots_in_use(pool) == 1);
    CHECK_FALSE(pool.try_acquire(1));
}

}  // namespace
