// SPDX-License-Identifier: MIT
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <support/catch.hpp>
#include <zcpool/adapt/names.hpp>

namespace {

using namespace zcpool;

/// The names of the first `count` numbers; the one behind them has none.
template <class Enum>
std::set<std::string> names(std::uint8_t count) {
    std::set<std::string> all;
    for (std::uint8_t i = 0; i < count; ++i) {
        all.insert(std::string{adapt::name_of(static_cast<Enum>(i))});
    }
    CHECK(all.size() == count);
    CHECK(adapt::name_of(static_cast<Enum>(count)) == "unknown");
    return all;
}

TEST_CASE("names: every enumerator has its own", "[adapt]") {
    using set = std::set<std::string>;
    CHECK(names<lending>(3) == set{"never", "cached", "arena"});
    CHECK(names<arena_backing>(3) == set{"anonymous", "memfd", "hugetlb"});
    CHECK(names<cache_policy>(2) == set{"none", "thread"});
    CHECK(names<checking>(3) == set{"none", "full", "guarded"});
    CHECK(names<zeroing>(2) == set{"never", "on_release"});
    CHECK(names<core_dump>(2) == set{"included", "excluded"});
    CHECK(names<lock_policy>(3) == set{"none", "best_effort", "required"});
    CHECK(names<misuse>(5) == set{"released_twice", "used_after_release", "foreign",
                                  "written_outside", "written_after_release"});
    CHECK(names<sink::state>(4) == set{"done", "blocked", "pending", "failed"});
    CHECK(names<sink::interest>(4) == set{"none", "writable", "error_queue", "completion"});
    CHECK(names<sink::receipt>(3) == set{"copied", "notified", "none"});
    CHECK(names<sink::route>(3) == set{"copy", "lend", "refer"});
    CHECK(names<sink::peer_path>(3) == set{"unknown", "copies", "refers"});
    CHECK(names<source::state>(6) ==
          set{"data", "blocked", "exhausted", "full", "ended", "failed"});
    CHECK(names<source::interest>(5) == set{"none", "readable", "writable", "slot", "completion"});
}

TEST_CASE("names: one of each is the one that is meant", "[adapt]") {
    CHECK(adapt::name_of(lending::cached) == "cached");
    CHECK(adapt::name_of(sink::state::blocked) == "blocked");
    CHECK(adapt::name_of(sink::peer_path::refers) == "refers");
    CHECK(adapt::name_of(source::interest::slot) == "slot");
    CHECK(adapt::name_of(feature::io_uring) == "io_uring");
    CHECK(adapt::name_of(finding_status::degraded) == "degraded");
}

}  // namespace
