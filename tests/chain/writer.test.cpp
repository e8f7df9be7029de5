// SPDX-License-Identifier: MIT
#include <cstdint>
#include <span>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/chain/reader.hpp>
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

TEST_CASE("writer: falls back one class at a time, and knows no block above the largest",
          "[chain]") {
    using three = zcpool::pool<zcpool::size_classes<4_KiB, 16_KiB, 64_KiB>>;
    const auto pool = make_pool<three>({.slots = {1, 1, 1}});
    writer tested{pool, 1_MiB};
    for (const std::size_t expected : {64_KiB, 16_KiB, 4_KiB}) {
        const auto room = tested.space();
        CHECK(room.size() == expected);
        tested.commit(room.size());
    }
    CHECK(tested.space().empty());
}

TEST_CASE("writer: a short text takes a small slot, whatever the block", "[chain]") {
    const auto pool = make_pool({.slots = {1, 1}});
    writer tested{pool};
    CHECK(tested.write("three") == 5);
    CHECK(pool.stats()[0].in_use == 1);
    CHECK(pool.stats()[1].in_use == 0);
}

TEST_CASE("writer: many small writes take ever larger slots", "[chain]") {
    const auto pool = make_pool({.slots = {16, 1}});
    writer tested{pool};
    const auto bytes = pattern(40'000, 8);
    for (std::size_t done = 0; done < bytes.size(); done += 100) {
        REQUIRE(tested.write(std::span{bytes}.subspan(done, 100)) == 100);
    }
    CHECK(pool.stats()[0].in_use == 2);  // two pages, and more than a page was written
    CHECK(pool.stats()[1].in_use == 1);
    CHECK(flatten(tested.finish()) == bytes);
}

TEST_CASE("writer: numbers are written as the reader reads them, whole or not at all", "[chain]") {
    const auto pool = make_pool({.slots = {2, 1}});
    const auto large = pool.try_acquire(65536);
    writer tested{pool, 4096};
    CHECK(tested.put(std::uint8_t{1}));
    CHECK(tested.put(std::uint16_t{0x0203}));
    CHECK(tested.put(std::uint32_t{0x0405'0607}));
    CHECK(tested.put(std::uint64_t{0x0809'0A0B'0C0D'0E0F}));
    CHECK(tested.write(pattern(2 * 4096 - 15 - 3, 1)) == 2 * 4096 - 15 - 3);
    CHECK_FALSE(tested.put(std::uint32_t{1}));
    CHECK(tested.size() == 2 * 4096 - 3);
    const auto made = tested.finish();
    zcpool::reader back{made};
    CHECK(back.read<std::uint8_t>() == 1);
    CHECK(back.read<std::uint16_t>() == 0x0203);
    CHECK(back.read<std::uint32_t>() == 0x0405'0607U);
    CHECK(back.read<std::uint64_t>() == 0x0809'0A0B'0C0D'0E0FU);
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
    CHECK(made.slices()[1].data() == body.data());  // shared, not copied
}

TEST_CASE("writer: dropped in the middle it gives everything back", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    {
        writer tested{pool, 4096};
        CHECK(tested.write(pattern(10'000, 6)) == 10'000);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("writer: growing space is as large as what was written, up to the block", "[chain]") {
    const auto pool = make_pool({.slots = {3, 2}});
    writer tested{pool};
    CHECK(tested.growing_space().size() == 4096);
    tested.commit(4096);
    CHECK(tested.growing_space().size() == 4096);
    tested.commit(4096);
    CHECK(tested.growing_space().size() == 65536);
    tested.commit(65536);
    CHECK(tested.growing_space().size() == 65536);
}

TEST_CASE("writer: what push_back() leaves out is counted, and nothing closes the gap", "[chain]") {
    const auto pool = make_pool({.slots = {2, 1}});
    auto held = pool.try_acquire(4096);
    writer tested{pool, 4096};
    for (int i = 0; i < 4100; ++i) {
        tested.push_back('x');
    }
    CHECK(tested.lost() == 4);
    CHECK(tested.size() == 4096);
    held.reset();
    CHECK(tested.space().empty());
    CHECK(tested.refusal() == zcpool::errc::exhausted);
    CHECK(tested.refusal(65537) == zcpool::errc::too_large);
    CHECK_FALSE(tested.append(zcpool::slice::adopt(std::vector<char>(1)).value()));
    CHECK(tested.finish().size() == 4096);
    CHECK(tested.lost() == 0);
    tested.push_back('x');
    CHECK(tested.size() == 1);
}

}  // namespace
