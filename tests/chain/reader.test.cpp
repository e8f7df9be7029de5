// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/chain/reader.hpp>

namespace {

using namespace zcpool_test;
using zcpool::chain;
using zcpool::errc;
using zcpool::reader;

/// The bytes 0, 1, 2 ... cut into slices of these sizes.
chain counting_chain(zcpool::pool_view pool, const std::vector<std::size_t>& sizes) {
    chain made;
    std::uint8_t next = 0;
    for (const std::size_t size : sizes) {
        auto into = pool.try_acquire(size);
        for (std::size_t i = 0; i < size; ++i) {
            into.space()[i] = static_cast<std::byte>(next++);
        }
        into.commit(size);
        REQUIRE(made.append(std::move(into).freeze()));
    }
    return made;
}

TEST_CASE("reader: numbers come in network order, wherever the slices are cut", "[chain]") {
    const auto pool = make_pool({.slots = {20, 1}});
    for (const auto& sizes :
         {std::vector<std::size_t>{15}, {1, 2, 3, 4, 5}, std::vector<std::size_t>(15, 1)}) {
        const auto source = counting_chain(pool, sizes);
        reader tested{source};
        CHECK(tested.read<std::uint8_t>() == 0x00);
        CHECK(tested.read<std::uint16_t>() == 0x0102);
        CHECK(tested.read<std::uint32_t>() == 0x03040506U);
        CHECK(tested.read<std::uint64_t>() == 0x0708090A0B0C0D0EU);
        CHECK(tested.remaining() == 0);
        CHECK(tested.contiguous().empty());
    }
}

TEST_CASE("reader: past the end nothing happens", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const auto source = counting_chain(pool, {2, 1});
    reader tested{source};
    std::array<std::byte, 4> into{};
    CHECK(tested.read<std::uint32_t>().error() == errc::out_of_range);
    CHECK_FALSE(tested.copy(into));
    CHECK_FALSE(tested.skip(4));
    CHECK(tested.take(4).error() == errc::out_of_range);
    CHECK(tested.position() == 0);
    CHECK(tested.skip(3));
    CHECK(tested.skip(0));
    CHECK_FALSE(tested.skip(1));
}

TEST_CASE("reader: takes parts that share the memory", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const auto source = counting_chain(pool, {10, 10, 10});
    reader tested{source};
    REQUIRE(tested.skip(5));
    const auto part = tested.take(10);
    REQUIRE(part.has_value());
    CHECK(part->slices()[0].data() == source.slices()[0].data() + 5);
    CHECK(tested.position() == 15);
    CHECK(tested.read<std::uint8_t>() == 15);
    CHECK(slots_in_use(pool) == 3);
}

TEST_CASE("reader: random steps read what plain bytes have at that place", "[chain]") {
    const auto pool = make_pool({.slots = {60, 1}});
    std::mt19937 random{9};
    for (int run = 0; run < 200; ++run) {
        std::vector<std::size_t> sizes(1 + random() % 50);
        std::generate(sizes.begin(), sizes.end(), [&] { return 1 + random() % 7; });
        const auto source = counting_chain(pool, sizes);
        const auto bytes = flatten(source);
        reader tested{source};
        std::size_t at = 0;
        while (at < bytes.size()) {
            const auto here = tested.contiguous();
            REQUIRE(std::equal(here.begin(), here.end(), bytes.begin() + static_cast<long>(at)));
            const std::size_t step = random() % 12;
            std::vector<std::byte> got(step);
            const bool there = step <= bytes.size() - at;
            REQUIRE(tested.copy(got) == there);
            if (!there) {
                REQUIRE(tested.remaining() == bytes.size() - at);
                break;
            }
            REQUIRE(std::equal(got.begin(), got.end(), bytes.begin() + static_cast<long>(at)));
            at += step;
            REQUIRE(tested.position() == at);
        }
    }
}

TEST_CASE("reader: one step may go over many slices", "[chain]") {
    const auto pool = make_pool({.slots = {20, 1}});
    const auto source = counting_chain(pool, {1, 1, 1, 1, 5, 1});
    reader tested{source};
    CHECK(tested.skip(5));
    CHECK(tested.contiguous().size() == 4);
    CHECK(tested.read<std::uint8_t>() == 5);
    CHECK(tested.skip(3));
    CHECK(tested.read<std::uint8_t>() == 9);
    CHECK(tested.contiguous().empty());
}

}  // namespace
