// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <utility>

#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/gather.hpp>

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;

TEST_CASE("gather: one call copies just the slices that it is told", "[sink]") {
    const auto pool = make_pool({.slots = {4, 1}});
    connection link = unix_pair();
    zcpool::chain queue;
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE(queue.append(make_slice(pool, 100, i)));
    }
    CHECK(sink::copy_out(link.ours.get(), true, queue, 2) == 200U);
    const auto got = read_exactly(link.peer.get(), 200);
    CHECK(std::equal(got.begin(), got.begin() + 100, pattern(100, 0).begin()));
    CHECK(std::equal(got.begin() + 100, got.end(), pattern(100, 1).begin()));
    CHECK(queue.size() == 300);
}

}  // namespace
