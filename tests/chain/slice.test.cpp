// SPDX-License-Identifier: MIT
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <support/allocations.hpp>
#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/chain/slice.hpp>

namespace {

using namespace zcpool_test;
using zcpool::slice;

bool holds(const slice& tested, const std::vector<std::byte>& wanted) {
    return std::equal(tested.bytes().begin(), tested.bytes().end(), wanted.begin(), wanted.end());
}

TEST_CASE("slice: copies share the slot, and the last one frees it", "[chain]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slice first = make_slice(pool, 100, 1);
    {
        const slice second = first;
        first = {};
        CHECK(holds(second, pattern(100, 1)));
        CHECK(slots_in_use(pool) == 1);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("slice: an empty one holds nothing", "[chain]") {
    const slice empty;
    CHECK(empty.empty());
    CHECK_FALSE(empty.in_pool());
    CHECK_FALSE(empty.lend().has_value());
    const slice copy = empty;
    CHECK(copy.bytes().empty());
    empty.count_copied(1);
}

TEST_CASE("slice: parts keep the slot and see their bytes", "[chain]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slice whole = make_slice(pool, 1000, 2);
    const auto bytes = pattern(1000, 2);
    const slice middle = whole.subslice(100, 50);
    const slice tail = whole.subslice(990);
    const slice clipped = whole.subslice(990, 500);
    const slice nothing = whole.subslice(1000, 1);
    whole = {};
    CHECK(holds(middle, {bytes.begin() + 100, bytes.begin() + 150}));
    CHECK(holds(tail, {bytes.begin() + 990, bytes.end()}));
    CHECK(clipped.size() == 10);
    CHECK(nothing.empty());
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("slice: assignment to itself and from its own part changes nothing it should not",
          "[chain]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slice tested = make_slice(pool, 100, 3);
    const slice& alias = tested;
    tested = alias;
    CHECK(holds(tested, pattern(100, 3)));
    tested = tested.subslice(50);
    CHECK(tested.size() == 50);
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("slice: adopted memory lives as long as its slices, and no longer", "[chain]") {
    auto owner = std::make_shared<std::vector<std::byte>>(pattern(500, 4));
    const std::weak_ptr<std::vector<std::byte>> watched = owner;
    const std::span<const std::byte> bytes{*owner};
    auto adopted = slice::adopt(bytes, std::move(owner));
    REQUIRE(adopted.has_value());
    const slice part = adopted->subslice(100, 100);
    *adopted = {};
    CHECK_FALSE(watched.expired());
    CHECK(part.data() == bytes.data() + 100);
    CHECK_FALSE(part.in_pool());
    CHECK_FALSE(part.lend().has_value());
    const_cast<slice&>(part) = {};
    CHECK(watched.expired());
}

TEST_CASE("slice: adopts an owner that is itself the bytes", "[chain]") {
    auto from_vector = slice::adopt(pattern(500, 4));
    REQUIRE(from_vector.has_value());
    CHECK(holds(*from_vector, pattern(500, 4)));
    auto from_text =
        slice::adopt(std::string{"short"});  // whose bytes lie in the string object itself
    REQUIRE(from_text.has_value());
    CHECK(from_text->size() == 5);
    CHECK(from_text->data()[4] == static_cast<std::byte>('t'));
    auto whole = pattern(100, 5);
    auto in_one_expression = slice::adopt(std::span{whole}.subspan(10), std::move(whole));
    REQUIRE(in_one_expression.has_value());
    CHECK(in_one_expression->size() == 90);
}

TEST_CASE("slice: an owner that could not be adopted is as it was", "[chain]") {
    std::vector<std::byte> bytes(100);
    {
        const failing_allocation broken{0};
        CHECK(slice::adopt(bytes, std::move(bytes)).error() == zcpool::errc::out_of_memory);
        CHECK(broken.has_failed());
    }
    {
        const failing_allocation broken{0};
        CHECK(slice::adopt(std::move(bytes)).error() == zcpool::errc::out_of_memory);
        CHECK(broken.has_failed());
    }
    CHECK(bytes.size() == 100);
    CHECK(slice::adopt(std::move(bytes)).has_value());
}

TEST_CASE("slice: lending tells where the bytes lie, and the slot rests afterwards", "[chain]") {
    const auto pool = make_pool(lending_options(2, 1));
    slice first = make_slice(pool, 100, 5);
    const slice second = make_slice(pool, 100, 6);
    const auto where = second.subslice(10).lend();
    REQUIRE(where.has_value());
    CHECK(where->offset == 4096 + 10);
    std::byte got{};
    REQUIRE(::pread(where->fd, &got, 1, static_cast<off_t>(where->offset)) == 1);
    CHECK(got == second.bytes()[10]);
    CHECK((::pwrite(where->fd, &got, 1, 0) == -1 && errno == EBADF));  // it can only read
    CHECK(pool.stats()[0].lent == 1);
    CHECK(second.lend().has_value());  // again: the same slot, counted once
    CHECK(pool.stats()[0].lent == 1);
    first = {};
    CHECK(pool.stats()[0].renewed == 0);
}

TEST_CASE("slice: from a pool that never lends there is no way to the descriptor", "[chain]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const slice tested = make_slice(pool, 100, 7);
    CHECK_FALSE(tested.lend().has_value());
}

TEST_CASE("slice: threads that copy and drop shares free the slot exactly once",
          "[chain][.stress]") {
    const auto pool = make_pool({.slots = {4, 1}});
    std::atomic<int> wrong{0};
    for (std::uint64_t round = 0; round < 2'000; ++round) {
        const slice shared = make_slice(pool, 64, round);
        const auto wanted = pattern(64, round);
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([copy = shared, &wanted, &wrong] {
                std::vector<slice> many(20, copy);
                wrong += holds(many.back(), wanted) ? 0 : 1;
            });
        }
        for (auto& each : threads) {
            each.join();
        }
    }
    CHECK(wrong == 0);
    CHECK(slots_in_use(pool) == 0);
    CHECK(pool.stats()[0].released == 2'000);
}

TEST_CASE("misuse: slice: leaving out more bytes than it has aborts", "[chain]") {
    CHECK(status_of([] {
              const auto pool = small_pool::create({.slots = {2, 1}});
              auto tested = make_slice(*pool, 10, 1);
              tested.remove_prefix(11);
              return 0;
          }) == -SIGABRT);
    CHECK(status_of([] {
              const auto pool = small_pool::create({.slots = {2, 1}});
              const auto tested = make_slice(*pool, 10, 1);
              return tested.subslice(11).empty() ? 0 : 1;
          }) == -SIGABRT);
}

}  // namespace
