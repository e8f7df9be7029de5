// SPDX-License-Identifier: MIT
#include <utility>

#include <support/pools.hpp>
#include <zcpool/source/receive_line.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;

TEST_CASE("receive_line: goes with the last who refers to it", "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    {
        source::receive_line_ref first{new source::receive_line};
        first->keep(make_slice(pool, 10, 1));
        CHECK(first->bytes == 10);
        auto* const counted = first.share().release();
        CHECK(counted->holders == 2);
        first = source::receive_line_ref{};
        CHECK(slots_in_use(pool) == 1);
        const auto more = source::receive_line_ref::to(counted);
        CHECK(counted->holders == 2);
        const source::receive_line_ref last{counted};
        CHECK(slots_in_use(pool) == 1);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("receive_line: wants more until it is full, over, or nobody's", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    source::receive_line line;
    line.most_slots = 2;
    CHECK(line.wants_more());
    line.keep(make_slice(pool, 10, 1));
    CHECK(line.wants_more());
    line.keep(make_slice(pool, 10, 2));
    CHECK(line.is_full());
    CHECK_FALSE(line.wants_more());
    line.came.clear();
    CHECK(line.wants_more());
    line.has_ended = true;
    CHECK_FALSE(line.wants_more());
    line.has_ended = false;
    line.is_abandoned = true;
    CHECK_FALSE(line.wants_more());
    line.is_abandoned = false;
    line.error = zcpool::errc::closed;
    CHECK_FALSE(line.wants_more());
}

}  // namespace
