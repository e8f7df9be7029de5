// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
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
struct give_back_fixture {
    explicit give_back_fixture(const zcpool::pool_options& options,
                               zcpool::pool_policy policy = {}) {
        const std::array<zcpool::class_spec, 1> classes{{{4_KiB, options.slots[0]}}};
        core = pool_core::create(classes, options, policy, report).value();
    }
    ~give_back_fixture() { core->end(); }

    creation_report report;
    pool_core* core = nullptr;
};

TEST_CASE("give_back: without thread caches the slot is free when the call returns", "[pool]") {
    const give_back_fixture f{{.slots = {64}}, {.cache = zcpool::cache_policy::none}};
    zcpool::slot_record* record = f.core->take(0).value();
    f.core->give_back(*record);
    CHECK(f.core->was(*record).state == slot_state::free);
    CHECK(f.core->was(*record).generation == 1);
    CHECK(f.core->stats()[0].released == 1);
}

TEST_CASE("give_back: with thread caches the process keeps the slot", "[pool]") {
    const give_back_fixture f{{.slots = {64}}};
    zcpool::slot_record* record = f.core->take(0).value();
    f.core->give_back(*record);
    CHECK(f.core->was(*record).state == slot_state::owned);
    CHECK(f.core->stats()[0].in_use == 0);
}

TEST_CASE("give_back: what was lent rests, whatever caches there are", "[pool]") {
    const give_back_fixture f{lending_options(64, 0)};
    zcpool::slot_record* record = f.core->take(0).value();
    REQUIRE(f.core->lend(*record));
    f.core->give_back(*record);
    CHECK(zcpool::slot_word::is_resting(f.core->was(*record)));
}

TEST_CASE("give_back: a pool that zeroes leaves nothing of what was in a slot", "[pool]") {
    const auto pool = make_pool(zeroing_options(1, 1));
    CHECK(pool.report().zeroing == zcpool::zeroing::on_release);
    const std::size_t bytes = GENERATE(4_KiB, 64_KiB);
    buffer held = pool.try_acquire(bytes);
    SECTION("committed or not") {
        spoil(held);
        held.reset();
    }
    SECTION("committed, and taken back") {
        spoil(held);
        held.clear();
        held = {};
    }
    SECTION("frozen without a byte") {
        spoil(held, 0);
        CHECK(std::move(held).freeze().empty());
    }
    SECTION("read by several") {
        spoil(held);
        zcpool::slice first = std::move(held).freeze();
        zcpool::slice second = first;
        first = {};
        CHECK(second.bytes()[0] == std::byte{0x5A});
        second = {};
    }
    SECTION("lent, and renewed by who takes it") {
        spoil(held);
        REQUIRE(std::move(held).freeze().lend());
    }
    SECTION("lent, and renewed before") {
        spoil(held);
        REQUIRE(std::move(held).freeze().lend());
        CHECK(pool.renew_resting(1) == 1);
    }
    SECTION("lent, and in quarantine for a while") {
        spoil(held);
        REQUIRE(std::move(held).freeze().lend());
        faults broken;
        faults::fail_punches(EIO);
        CHECK_FALSE(pool.try_acquire(bytes));
    }
    SECTION("trimmed") {
        spoil(held);
        held.reset();
        CHECK(pool.trim() >= bytes);
    }
    SECTION("whose pages the system did not take back") {
        spoil(held);
        held.reset();
        faults broken;
        faults::fail_punches(EIO);
        CHECK(pool.trim() == 0);
    }
    CHECK(is_zero(pool.try_acquire(bytes)));
}

TEST_CASE("give_back: a pool that zeroes has no thread caches, which would not", "[pool]") {
    auto options = zeroing_options(64, 16);
    options.lending = zcpool::lending::never;
    const auto pool = make_pool(options);
    CHECK(pool.report().cache == zcpool::cache_policy::none);
    for (int round = 0; round < 200; ++round) {
        buffer held = pool.try_acquire(round % 3 == 0 ? 64_KiB : 1);
        spoil(held);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("give_back: what goes to the reserve of a pool that zeroes is zero", "[pool]") {
    auto options = zeroing_options(2, 1);
    options.reserve = {1};
    const auto pool = make_pool(options);
    for (int round = 0; round < 3; ++round) {
        buffer normal = pool.try_acquire(1);
        spoil(normal);
        buffer urgent = pool.acquire(1, zcpool::priority::urgent).value();
        spoil(urgent);
        normal.reset();
        CHECK(pool.stats()[0].reserved == 1);
    }
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
