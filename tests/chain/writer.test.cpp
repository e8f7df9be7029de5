// SPDX-License-Identifier: MIT
#include <vector>

#include <support/pools.hpp>
#include <zcpool/chain/writer.hpp>

namespace {

using namespace zcpool_test;
using zcpool::writer;

TEST_CASE("writer: what is written comes out in order, across buffers", "[chain]") {
    const auto pool = make_pool({.slots = {10, 1}});
    writer tested{pool, 4096};
    const auto bytes = pattern(20'000, 1);
    CHECK(tested.write(bytes) == bytes.size());
    CHECK(tested.size() == bytes.size());
    const auto made = tested.finish();
    CHECK(flatten(made) == bytes);
    CHECK(made.slice_count() == 5);
    CHECK(tested.size() == 0);
}

TEST_CASE("writer: writes stop short when the pool is empty, and nothing is lost", "[chain]") {
    const auto pool = make_pool({.slots = {2, 1}});
    const auto large = pool.try_acquire(65536);
    writer tested{pool, 4096};
    const auto bytes = pattern(10'000, 2);
    CHECK(tested.write(bytes) == 8192);
    CHECK(tested.write(bytes) == 0);
    CHECK(tested.space().empty());
    const auto made = tested.finish();
    CHECK(flatten(made) == std::vector(bytes.begin(), bytes.begin() + 8192));
}

TEST_CASE("writer: asks for blocks, and takes smaller ones when there are none", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    writer tested{pool};
    CHECK(tested.space(10).size() == 65536);
    tested.commit(65536);
    CHECK(tested.space(10).size() == 4096);
    CHECK(tested.space(5000).empty());
    CHECK(tested.space(70'000).empty());
    CHECK(tested.size() == 65536);
}

TEST_CASE("writer: space that was asked for is contiguous", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    writer tested{pool, 4096};
    tested.space()[0] = std::byte{1};
    tested.commit(1);
    const auto room = tested.space(4096);  // more than is left in the first buffer
    REQUIRE(room.size() == 4096);
    room[0] = std::byte{2};
    tested.commit(1);
    CHECK(flatten(tested.finish()) == std::vector{std::byte{1}, std::byte{2}});
}

TEST_CASE("writer: shared slices keep their place between written bytes", "[chain]") {
    const auto pool = make_pool({.slots = {8, 1}});
    const auto body = make_slice(pool, 1000, 3);
    writer tested{pool, 4096};
    const auto head = pattern(10, 4);
    const auto tail = pattern(20, 5);
    CHECK(tested.write(head) == 10);
    CHECK(tested.append(body));
    CHECK(tested.write(tail) == 20);
    const auto made = tested.finish();
    auto wanted = head;
    const auto middle = pattern(1000, 3);
    wanted.insert(wanted.end(), middle.begin(), middle.end());
    wanted.insert(wanted.end(), tail.begin(), tail.end());
    CHECK(flatten(made) == wanted);
    CHECK(made.begin()[1].data() == body.data());  // shared, not copied
}

TEST_CASE("writer: dropped in the middle it gives everything back", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    {
        writer tested{pool, 4096};
        CHECK(tested.write(pattern(10'000, 6)) == 10'000);
    }
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
