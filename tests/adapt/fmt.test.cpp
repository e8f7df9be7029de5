// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/adapt/fmt.hpp>
#if __has_include(<liburing.h>)
#include <zcpool/sink/fixed_buffers.hpp>
#endif

namespace {

using namespace zcpool;
using namespace zcpool_test;

TEST_CASE("fmt: enumerators are their names, errors their messages", "[adapt]") {
    CHECK(fmt::format("{} {}", sink::state::blocked, source::state::ended) == "blocked ended");
    CHECK(fmt::format("{:>8}|{:<6}|", lending::cached, feature::pages) == "  cached|pages |");
    CHECK(fmt::format("{}", errc::exhausted) == "all slots that would fit are in use");
}

TEST_CASE("fmt: handles and chains say how much they hold", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    buffer held = pool.try_acquire(100);
    held.commit(100);
    CHECK(fmt::format("{}", held) == "buffer of 4096 bytes, 100 written");
    slice frozen = std::move(held).freeze();
    CHECK(fmt::format("{}", held) == "empty buffer");
    CHECK(fmt::format("{}", frozen) == "slice of 100 bytes");
    CHECK(fmt::format("{}", slice{}) == "empty slice");
    slice adopted = slice::adopt(std::vector<char>(3)).value();
    CHECK(fmt::format("{}", adopted) == "slice of 3 bytes, adopted");
    chain both;
    REQUIRE(both.append(frozen));
    REQUIRE(both.append(adopted));
    CHECK(fmt::format("{}", both) == "chain of 103 bytes in 2 slices");
    CHECK(fmt::format("{:.5}", both) == "chain");
}

TEST_CASE("fmt: statistics are a line, without what never happened", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto held = pool.try_acquire(1);
    CHECK_FALSE(pool.try_acquire(1));
    CHECK(fmt::format("{}", pool.stats()) ==
          "4 KiB: 1 of 1 in use, 1 at most, 1 acquired, 0 released, 1 times exhausted; "
          "64 KiB: 0 of 1 in use, 0 acquired, 0 released");
    pool_stats lent;
    lent.lent_detached_bytes = 5;
    lent.lent_budget_bytes = 10;
    CHECK(fmt::format("{}", lent) == "; 5 of 10 bytes detached");
    CHECK(fmt::format("{}", sink::stats{.calls = 2, .copied_bytes = 3, .lent_bytes = 4}) ==
          "2 calls, 3 bytes copied, 4 lent");
    CHECK(fmt::format("{}", source::stats{.calls = 2, .bytes = 3, .exhausted = 1}) ==
          "2 calls, 3 bytes, 1 times exhausted");
}

TEST_CASE("fmt: reports say what was granted, and why not more", "[adapt]") {
    creation_report report;
    report.data_bytes = 64_KiB;
    report.locking.refusal = std::make_error_code(std::errc::not_enough_memory);
    report.locking.bytes = 64_KiB;
    report.locking.soft_limit = 8_KiB;
    report.explain("raise %s", "it");
    CHECK(fmt::format("{}", report) ==
          "64 KiB of slots, not locked (Cannot allocate memory), 64 KiB wanted, limit 8 KiB, "
          "lending never, cache none, checking none, zeroing never, core dump included; raise it");
    report.locking.locked = true;
    report.arenas.bytes = 2_MiB;
    report.arenas.explain("no huge pages");
    report.text[0] = '\0';
    CHECK(fmt::format("{}", report) ==
          "64 KiB of slots, 64 KiB locked, lending never, cache none, checking none, zeroing "
          "never, core dump included; 0 bytes of 2 MiB in huge pages; no huge pages");
    sink::automatic_report chosen;
    chosen.last = sink::route::refer;
    chosen.referred.sent = 7;
    CHECK(fmt::format("{}", chosen) ==
          "last refer, path unknown, 0 bytes referred, 7 sends with a receipt");
    misuse_report misused;
    misused.text[0] = '!';
    CHECK(fmt::format("{}", misused) == "!");
}

TEST_CASE("fmt: preflight is a line for each feature", "[adapt]") {
    finding about;
    about.what = feature::io_uring;
    about.status = finding_status::missing;
    about.found.add("forbidden");
    about.remedy.add("allow it");
    CHECK(fmt::format("{}", about) == "io_uring missing: forbidden; remedy: allow it");
    preflight_report all;
    all.findings[0] = about;
    const std::string text = fmt::format("{}", all);
    CHECK(text.starts_with("io_uring missing: forbidden; remedy: allow it\n"));
    CHECK(std::count(text.begin(), text.end(), '\n') == feature_count - 1);
    CHECK(fmt::format("{}", unmet_requirement{feature::pages, all}) ==
          fmt::format("{}", all.findings[0]));
}

#if __has_include(<liburing.h>)
TEST_CASE("fmt: a registration report, where there is liburing", "[adapt]") {
    sink::registration_report report;
    report.bytes = 64_KiB;
    report.is_cloned = true;
    CHECK(fmt::format("{}", report) == "64 KiB registered, cloned");
}
#endif

}  // namespace
