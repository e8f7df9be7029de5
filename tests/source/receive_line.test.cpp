// SPDX-License-Identifier: MIT
#include <utility>

#include <support/pools.hpp>
#include <zcpool/source/receive_line.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;

/// Not inlined: g++ 12 cannot see that the count is not 0, and warns of what is used after it.
[[gnu::noinline]] void drop(source::receive_line_ref reference) { reference = {}; }

TEST_CASE("receive_line: goes with the last who refers to it", "[source]") {
    const auto pool = make_pool({.slots = {2, 1}});
    source::receive_line_ref first{new source::receive_line};
    first->keep(make_slice(pool, 10, 1));
    CHECK(first->bytes == 10);
    source::receive_line_ref second = first.share();
    CHECK(second->holders == 2);
    drop(std::move(first));
    CHECK(slots_in_use(pool) == 1);
    auto third = source::receive_line_ref::to(second.get());
    CHECK(third->holders == 2);
    drop(std::move(second));
    CHECK(third->holders == 1);
    source::receive_line_ref last{third.release()};
    CHECK_FALSE(third);
    CHECK(slots_in_use(pool) == 1);
    drop(std::move(last));
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
