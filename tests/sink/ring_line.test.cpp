// SPDX-License-Identifier: MIT
#include <utility>

#include <support/pools.hpp>
#include <zcpool/sink/ring_line.hpp>

namespace {

namespace sink = zcpool::sink;

TEST_CASE("ring_line: goes with the last of its references", "[sink]") {
    sink::ring_line_ref first{new sink::ring_line};
    CHECK(first->holders == 1);
    {
        const sink::ring_line_ref second = first.share();
        CHECK(first->holders == 2);
        sink::ring_line_ref third = second.share();
        sink::ring_line_ref fourth = std::move(third);
        CHECK_FALSE(third);  // NOLINT(bugprone-use-after-move): what it is then is the test
        CHECK(fourth);
        CHECK(first->holders == 3);
        fourth = first.share();  // drops what it had
        CHECK(first->holders == 3);
    }
    CHECK(first->holders == 1);
    sink::ring_line* const raw = first.share().release();
    CHECK(first->holders == 2);
    first = sink::ring_line_ref{raw};
    CHECK(first->holders == 1);
}

}  // namespace
