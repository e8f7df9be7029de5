// SPDX-License-Identifier: MIT
#include <string>

#include <support/pools.hpp>
#include <support/texts.hpp>
#include <zcpool/adapt/appender.hpp>
#include <zcpool/adapt/format_to.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::writer;
using zcpool::adapt::appender;

TEST_CASE("format_to: a text is formatted where it lies", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    writer out{pool, 4_KiB};
    const auto* const begin = out.space().data();
    CHECK(zcpool::adapt::format_to(out, "{} {:.1f}", "frame", 4.25).value() == 9);
    CHECK(out.space().data() == begin + 9);
    CHECK(zcpool::adapt::format_to(out, "{}", "").value() == 0);
    CHECK(text_of(out.finish()) == "frame 4.2");
}

TEST_CASE(
    "format_to: a text that does not fit into the rest goes into the next buffer in one piece",
    "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    writer out{pool, 4_KiB};
    CHECK(zcpool::adapt::format_to(out, "{:x>4000}", "").value() == 4000);
    CHECK(zcpool::adapt::format_to(out, "{:y>100}", "").value() == 100);
    const auto made = out.finish();
    REQUIRE(made.slice_count() == 2);
    CHECK(made.slices()[0].size() == 4000);
    CHECK(text_of(made) == std::string(4000, 'x') + std::string(100, 'y'));
}

TEST_CASE("format_to: without room nothing is written, and the answer says why", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto large = pool.try_acquire(64_KiB);
    writer out{pool, 4_KiB};
    CHECK(zcpool::adapt::format_to(out, "{:x>4000}", "").has_value());
    CHECK(zcpool::adapt::format_to(out, "{:y>97}", "").error() == errc::exhausted);
    CHECK(zcpool::adapt::format_to(out, "{:y>65537}", "").error() == errc::too_large);
    CHECK(out.lost() == 0);
    CHECK(zcpool::adapt::format_to(out, "{:z>96}", "").has_value());
    CHECK(zcpool::adapt::format_to(out, "z").error() == errc::exhausted);
    pool.close();
    CHECK(zcpool::adapt::format_to(out, "z").error() == errc::closed);
    CHECK(text_of(out.finish()) == std::string(4000, 'x') + std::string(96, 'z'));
}

TEST_CASE("format_to: fmt's own goes through an appender, over as many slots as it takes",
          "[adapt]") {
    const auto pool = make_pool({.slots = {3, 1}});
    const auto large = pool.try_acquire(64_KiB);
    writer out{pool, 4_KiB};
    CHECK_FALSE(fmt::format_to(appender{out}, "{:>8192}|{}", 1, 2).failed());
    CHECK(out.size() == 8194);
    CHECK(fmt::format_to(appender{out}, "{:x>5000}", "").failed());
    CHECK(out.lost() == 5000 - (3 * 4096 - 8194));
    CHECK(text_of(out.finish()).substr(8190, 5) == " 1|2x");
}

}  // namespace
