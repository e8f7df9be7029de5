// SPDX-License-Identifier: MIT
#include <csignal>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#include <support/allocations.hpp>
#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/chain/chain.hpp>

namespace {

using namespace zcpool_test;
using zcpool::chain;
using zcpool::errc;
using zcpool::slice;

static_assert(!std::is_copy_constructible_v<chain>);
static_assert(std::is_nothrow_move_constructible_v<chain>);

TEST_CASE("chain: an empty one has no slices, and empty slices are left out", "[chain]") {
    chain tested;
    CHECK(tested.empty());
    CHECK(tested.append(slice{}));
    CHECK(tested.slice_count() == 0);
    tested.consume(0);
    CHECK(tested.subchain(0, 0)->empty());
    CHECK(tested.subchain(0, 1).error() == errc::out_of_range);
    CHECK(tested.subchain(1, 0).error() == errc::out_of_range);
}

TEST_CASE("chain: what cannot grow keeps what it has, and the caller keeps the rest", "[chain]") {
    const auto pool = make_pool({.slots = {64, 1}});
    const slice one = make_slice(pool, 100, 1);
    const long failed = fail_each_allocation([&]() -> std::error_code {
        chain tested;
        for (std::size_t i = 0; i < 64; ++i) {
            if (!tested.append(one)) {
                CHECK(tested.slice_count() == i);
                CHECK(flatten(tested).size() == i * 100);
                return errc::out_of_memory;
            }
        }
        return error_of(tested.subchain(50, 6'000));
    });
    CHECK(failed >= 3);
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("chain: slices stay in order, over the inline room and beyond", "[chain]") {
    const auto pool = make_pool({.slots = {64, 1}});
    chain tested;
    std::vector<std::byte> model;
    for (std::uint64_t i = 0; i < 64; ++i) {
        REQUIRE(tested.append(make_slice(pool, 10 + i, i)));
        const auto part = pattern(10 + i, i);
        model.insert(model.end(), part.begin(), part.end());
        REQUIRE(flatten(tested) == model);
    }
    CHECK(tested.size() == model.size());
    CHECK(tested.slice_count() == 64);
    tested.clear();
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("chain: consuming frees each slot when its last byte goes", "[chain]") {
    const auto pool = make_pool({.slots = {3, 1}});
    chain tested;
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE(tested.append(make_slice(pool, 100, i)));
    }
    tested.consume(99);
    CHECK(slots_in_use(pool) == 3);
    tested.consume(1);
    CHECK(slots_in_use(pool) == 2);
    tested.consume(150);
    CHECK(slots_in_use(pool) == 1);
    CHECK(tested.size() == 50);
    tested.consume(50);
    CHECK(tested.empty());
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("chain: moved from, it is empty and may be used again", "[chain]") {
    const auto pool = make_pool({.slots = {40, 1}});
    for (const std::uint64_t slices : {1U, 8U, 9U, 30U}) {
        chain first;
        for (std::uint64_t i = 0; i < slices; ++i) {
            REQUIRE(first.append(make_slice(pool, 10, i)));
        }
        first.consume(5);
        const auto bytes = flatten(first);
        chain second{std::move(first)};
        CHECK(first.empty());  // NOLINT(bugprone-use-after-move): empty by promise
        CHECK(flatten(second) == bytes);
        std::vector<std::byte> wanted;
        for (std::uint64_t i = 0; i < 9; ++i) {  // one more than lie in the object itself
            REQUIRE(first.append(make_slice(pool, 7, 99 + i)));
            const auto part = pattern(7, 99 + i);
            wanted.insert(wanted.end(), part.begin(), part.end());
        }
        CHECK(flatten(first) == wanted);
        first = std::move(second);
        CHECK(flatten(first) == bytes);
        CHECK(first.append(chain{}));
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("chain: appended to itself it stays as it is, and absurd room is refused", "[chain]") {
    const auto pool = make_pool({.slots = {4, 1}});
    chain tested;
    REQUIRE(tested.append(make_slice(pool, 100, 1)));
    chain& same = tested;
    CHECK(tested.append(std::move(same)));
    CHECK(flatten(tested) == pattern(100, 1));
    REQUIRE(tested.append(make_slice(pool, 100, 2)));
    tested.consume(100);
    CHECK_FALSE(tested.reserve(SIZE_MAX));
    CHECK_FALSE(tested.reserve(SIZE_MAX / sizeof(slice)));
    CHECK(flatten(tested) == pattern(100, 2));
}

TEST_CASE("chain: as a queue it closes its gaps and needs no room of its own", "[chain]") {
    const auto pool = make_pool({.slots = {8, 1}});
    chain tested;
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        REQUIRE(tested.append(make_slice(pool, 4, i)));
        REQUIRE(tested.append(make_slice(pool, 4, i + 1)));
        CHECK(flatten(tested).size() == 8);
        tested.consume(8);
    }
    // Room for ever more slices would move them off their first place, in this object.
    REQUIRE(tested.append(make_slice(pool, 4, 0)));
    const auto* const place = reinterpret_cast<const std::byte*>(&tested.front());
    const auto* const object = reinterpret_cast<const std::byte*>(&tested);
    CHECK((place >= object && place < object + sizeof tested));
}

TEST_CASE("chain: random edits read as the same edits of plain bytes", "[chain]") {
    const auto pool = make_pool({.slots = {200, 1}});
    std::mt19937_64 random{42};
    const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
    for (int run = 0; run < 50; ++run) {
        chain tested;
        std::vector<std::byte> model;
        for (int step = 0; step < 200; ++step) {
            switch (random() % 6) {
                case 0:
                case 1: {
                    if (slots_in_use(pool) < 190) {
                        const std::size_t count = 1 + below(50);
                        const auto seed = random();
                        const slice whole = make_slice(pool, count, seed);
                        const std::size_t offset = below(count);
                        REQUIRE(tested.append(whole.subslice(offset)));
                        const auto bytes = pattern(count, seed);
                        model.insert(model.end(), bytes.begin() + static_cast<long>(offset),
                                     bytes.end());
                    }
                    break;
                }
                case 2: {
                    const std::size_t count = below(model.size() + 1);
                    tested.consume(count);
                    model.erase(model.begin(), model.begin() + static_cast<long>(count));
                    break;
                }
                case 3: {
                    const std::size_t offset = below(model.size() + 1);
                    const std::size_t count = below(model.size() - offset + 1);
                    auto part = tested.subchain(offset, count);
                    REQUIRE(part.has_value());
                    const std::vector<std::byte> wanted{
                        model.begin() + static_cast<long>(offset),
                        model.begin() + static_cast<long>(offset + count)};
                    REQUIRE(flatten(*part) == wanted);
                    if (wanted.size() < 500 && tested.slice_count() < 300) {
                        REQUIRE(tested.append(std::move(*part)));
                        model.insert(model.end(), wanted.begin(), wanted.end());
                    }
                    break;
                }
                case 4: {
                    chain other{std::move(tested)};
                    tested = std::move(other);
                    break;
                }
                default: break;
            }
            REQUIRE(tested.size() == model.size());
            REQUIRE(flatten(tested) == model);
        }
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("chain: what it is given by another is gone there, and what it held before is let go",
          "[chain]") {
    const auto pool = make_pool({.slots = {8, 1}});
    chain first;
    chain second;
    for (std::uint64_t i = 0; i < 3; ++i) {
        REQUIRE(first.append(make_slice(pool, 100, i)));
    }
    REQUIRE(second.append(make_slice(pool, 50, 9)));
    REQUIRE(first.append(std::move(second)));
    CHECK(second.empty());  // NOLINT(bugprone-use-after-move): it is empty by promise
    CHECK(second.slice_count() == 0);
    CHECK(first.size() == 350);
    chain third;
    REQUIRE(third.append(make_slice(pool, 10, 5)));
    first = std::move(third);
    CHECK(slots_in_use(pool) == 1);
    CHECK(flatten(first) == pattern(10, 5));
}

TEST_CASE("misuse: chain: consuming more bytes than it has aborts", "[chain]") {
    CHECK(status_of([] {
              const auto pool = small_pool::create({.slots = {2, 1}});
              chain tested;
              static_cast<void>(tested.append(make_slice(*pool, 10, 1)));
              tested.consume(11);
              return 0;
          }) == -SIGABRT);
}

}  // namespace
