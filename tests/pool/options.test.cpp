// SPDX-License-Identifier: MIT
#include <cstring>
#include <string>

#include <support/catch.hpp>
#include <zcpool/pool/options.hpp>

namespace {

using namespace zcpool;

TEST_CASE("options: the defaults lend nothing and lock as far as the system lets them", "[pool]") {
    const pool_options options;
    CHECK(options.lending == lending::never);
    CHECK(options.arenas == arena_backing::anonymous);  // which needs no privilege
    CHECK(options.locking == lock_policy::best_effort);
    CHECK(options.lent_budget_permille == 250);
    CHECK(pool_policy{}.spill == spill_policy::never);
    CHECK(pool_policy{}.checking == checking::none);
    CHECK(options.zeroing == zeroing::never);
    CHECK(options.core_dump == core_dump::included);
    CHECK(options.on_misuse == nullptr);
}

TEST_CASE("options: a report's text is cut off, not overrun", "[pool]") {
    creation_report report;
    report.explain("%s", std::string(1000, 'x').c_str());
    CHECK(std::strlen(report.text) == sizeof report.text - 1);
    report.arenas.explain("%s", std::string(1000, 'x').c_str());
    CHECK(std::strlen(report.arenas.text) == sizeof report.arenas.text - 1);
}

}  // namespace
