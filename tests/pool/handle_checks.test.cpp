// SPDX-License-Identifier: MIT
#include <array>
#include <source_location>

#include <support/misuse.hpp>
#include <support/pools.hpp>
#include <zcpool/pool/handle_checks.hpp>

namespace {

using namespace zcpool_test;
using zcpool::misuse;
using zcpool::pool_core;

int found = 0;
void count_misuse(const zcpool::misuse_report&) noexcept { ++found; }

struct handle_checks_fixture {
    explicit handle_checks_fixture(zcpool::checking checks) {
        const std::array<zcpool::class_spec, 1> classes{{{4_KiB, 1}}};
        core = pool_core::create(classes, {.slots = {1}, .on_misuse = count_misuse},
                                 {.checking = checks}, report)
                   .value();
        found = 0;
    }
    ~handle_checks_fixture() { core->end(); }

    zcpool::creation_report report;
    pool_core* core = nullptr;
};

TEST_CASE("handle_checks: handles of a pool that is not checked carry nothing", "[pool]") {
    const handle_checks_fixture f{zcpool::checking::none};
    zcpool::slot_record* const record = f.core->take(0).value();
    CHECK(f.core->begin_life(*record, {}) == 0);
    f.core->give_back(*record);
}

TEST_CASE("handle_checks: a handle is good until its slot is given back with its life", "[pool]") {
    const handle_checks_fixture f{zcpool::checking::full};
    zcpool::slot_record* const record = f.core->take(0).value();
    const zcpool::slot_life life = f.core->begin_life(*record, std::source_location::current());
    CHECK(life != 0);
    CHECK(f.core->allows(*record, life, misuse::used_after_release));
    f.core->give_back_elsewhere(*record, life + 2, {});
    CHECK(found == 1);
    CHECK(f.core->was(*record).state == zcpool::slot_state::owned);
    f.core->give_back_elsewhere(*record, life, {});
    CHECK(found == 1);
    CHECK(f.core->was(*record).state == zcpool::slot_state::free);
    CHECK_FALSE(f.core->allows(*record, life, misuse::used_after_release));
    CHECK(found == 2);
}

TEST_CASE("handle_checks: in a forked child a use is misuse, a release is nothing", "[pool]") {
    const handle_checks_fixture f{zcpool::checking::full};
    zcpool::slot_record* const record = f.core->take(0).value();
    const zcpool::slot_life life = f.core->begin_life(*record, {});
    CHECK(status_of([&] {
              const bool used = f.core->allows(*record, life, misuse::used_after_release);
              const bool released = f.core->allows(*record, life, misuse::released_twice);
              return !used && !released && found == 1 ? 0 : 1;
          }) == 0);
    f.core->give_back_elsewhere(*record, life, {});
}

}  // namespace
