// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstdio>

#include <support/misuse.hpp>
#include <zcpool/pool/misuse.hpp>

// What is reported of which misuse is in tests/death.

namespace {

using namespace zcpool_test;

TEST_CASE("misuse: without a handler the report is printed and the process aborts", "[pool]") {
    const ending seen = ending_of([]() -> int {
        zcpool::misuse_report report;
        std::snprintf(report.text, sizeof report.text, "what was done\n");
        zcpool::abort_on_misuse(report);
    });
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.words == "what was done\n");
}

}  // namespace
