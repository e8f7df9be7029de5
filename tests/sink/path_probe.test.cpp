// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>

#include <support/catch.hpp>
#include <zcpool/sink/path_probe.hpp>

namespace {

using zcpool::sink::path_probe;
using zcpool::sink::peer_path;

/// Large sends that are copied until the next trial.
std::uint32_t pause_of(path_probe& probe) {
    std::uint32_t count = 0;
    for (; !probe.wants_reference(); ++count) {
        probe.passed_over();
    }
    return count;
}

TEST_CASE("path_probe: one send is tried, and the others wait for what becomes of it", "[sink]") {
    path_probe probe;
    CHECK(probe.path() == peer_path::unknown);
    CHECK(probe.wants_reference());
    probe.referred();
    CHECK_FALSE(probe.wants_reference());
    probe.passed_over();
    CHECK_FALSE(probe.wants_reference());
    probe.confirmed(false);
    CHECK(probe.path() == peer_path::refers);
    CHECK(probe.wants_reference());
    probe.referred();
    CHECK(probe.wants_reference());  // as many as there are
}

TEST_CASE("path_probe: a way that copies is tried again, ever more seldom", "[sink]") {
    path_probe probe;
    for (std::uint32_t pause = path_probe::first_pause; pause < path_probe::longest_pause;
         pause *= 2) {
        REQUIRE(probe.wants_reference());
        probe.referred();
        probe.confirmed(true);
        CHECK(probe.path() == peer_path::copies);
        CHECK(probe.pause_left() == pause);
        CHECK(pause_of(probe) == pause);
    }
    for (int i = 0; i < 2; ++i) {
        probe.referred();
        CHECK_FALSE(probe.wants_reference());  // still one at a time
        probe.confirmed(true);
        CHECK(pause_of(probe) == path_probe::longest_pause);
    }
}

TEST_CASE("path_probe: a way that stops copying is used, and one that begins to is left",
          "[sink]") {
    path_probe probe;
    probe.referred();
    probe.confirmed(true);
    REQUIRE(pause_of(probe) == path_probe::first_pause);
    probe.referred();
    probe.confirmed(false);
    CHECK(probe.wants_reference());
    probe.referred();
    probe.confirmed(true);
    CHECK(pause_of(probe) == path_probe::first_pause);  // as if for the first time
}

TEST_CASE("path_probe: what is refused is not tried again at once", "[sink]") {
    path_probe probe;
    probe.referred();
    probe.confirmed(false);
    probe.refused();
    CHECK(probe.path() == peer_path::refers);
    CHECK(pause_of(probe) == path_probe::first_pause);
    probe.refused();
    CHECK(pause_of(probe) == 2 * path_probe::first_pause);
}

}  // namespace
