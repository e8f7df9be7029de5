// SPDX-License-Identifier: MIT
#include <array>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/give_back.hpp>

namespace {

using namespace zcpool_test;
using zcpool::class_spec;
using zcpool::creation_report;
using zcpool::pool_core;

TEST_CASE("core: lives until its last reference, in whatever order they go", "[pool]") {
    const held before;
    const std::array<class_spec, 1> classes{{{4096, 2}}};
    creation_report report;
    pool_core* core = pool_core::create(classes, {.slots = {2}}, {}, report).value();
    zcpool::slot_record* first = core->take(0).value();
    zcpool::slot_record* second = core->take(0).value();
    core->end();
    core->give_back(*second);
    CHECK(pool_mappings() == before.mappings + 2);
    core->give_back(*first);
    CHECK(before == held{});
}

TEST_CASE("core: finds a class at run time as the list does at compile time", "[pool]") {
    using classes = zcpool::size_classes<4_KiB, 64_KiB, 256_KiB>;
    const std::array<class_spec, 3> specs{{{4_KiB, 1}, {64_KiB, 1}, {256_KiB, 1}}};
    creation_report report;
    pool_core* core = pool_core::create(specs, {.slots = {1, 1, 1}}, {}, report).value();
    for (const std::size_t bytes :
         {0UL, 1UL, 4095UL, 4096UL, 4097UL, 65536UL, 65537UL, 262144UL, 262145UL, SIZE_MAX}) {
        CHECK(core->class_for(bytes) == classes::index_for(bytes));
    }
    core->end();
}

TEST_CASE("core: a slot's word follows it through its life", "[pool]") {
    const std::array<class_spec, 1> specs{{{4_KiB, 1}}};
    creation_report report;
    auto options = lending_options(1, 0);
    pool_core* core = pool_core::create(specs, options, {}, report).value();
    zcpool::slot_record* record = core->take(0).value();
    CHECK(core->was(*record).state == zcpool::slot_state::owned);
    REQUIRE(core->lend(*record));
    CHECK(core->was(*record).state == zcpool::slot_state::published);
    CHECK((core->was(*record).holders & zcpool::kernel_holder) != 0);
    CHECK(core->offset_of(record->data) == 0);
    core->give_back(*record);
    CHECK(zcpool::slot_word::is_resting(core->was(*record)));
    core->end();
}

}  // namespace
