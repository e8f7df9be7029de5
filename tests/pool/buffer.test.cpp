// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/pool/buffer.hpp>

namespace {

using namespace zcpool_test;
using zcpool::buffer;

static_assert(!std::is_copy_constructible_v<buffer>);
static_assert(std::is_nothrow_move_constructible_v<buffer>);

TEST_CASE("buffer: an empty one has nothing and may be asked anything", "[pool]") {
    buffer empty;
    CHECK_FALSE(empty);
    CHECK(empty.space().empty());
    CHECK(empty.bytes().empty());
    CHECK(empty.data() == nullptr);
    CHECK(empty.capacity() == 0);
    empty.commit(0);
    empty.reset();
    CHECK(std::move(empty).freeze().empty());
}

TEST_CASE("buffer: is page-aligned and filled from the front", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    buffer tested = pool.try_acquire(100);
    REQUIRE(tested);
    CHECK(reinterpret_cast<std::uintptr_t>(tested.data()) % 4096 == 0);
    CHECK(tested.capacity() == 4096);
    CHECK(tested.space().size() == 4096);
    tested.space()[0] = std::byte{1};
    tested.commit(1);
    CHECK(tested.space().size() == 4095);
    CHECK(tested.space().data() == tested.data() + 1);
    CHECK(tested.bytes().size() == 1);
    tested.commit(4095);
    CHECK(tested.space().empty());
    tested.clear();
    CHECK(tested.space().size() == 4096);
}

TEST_CASE("buffer: moving hands the slot over and keeps what was committed", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    buffer first = pool.try_acquire(1);
    first.commit(10);
    buffer second{std::move(first)};
    CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): it is empty by promise
    CHECK(second.size() == 10);
    buffer third = pool.try_acquire(1);
    third = std::move(second);
    CHECK(third.size() == 10);
    CHECK(slots_in_use(pool) == 1);
    auto& itself = third;
    third = std::move(itself);
    CHECK(third.size() == 10);
    third.reset();
    CHECK(third.size() == 0);
    CHECK(third.bytes().empty());
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("buffer: frozen with nothing in it gives the slot back", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    CHECK(pool.try_acquire(1).operator bool());
    auto frozen = std::move(pool.try_acquire(1)).freeze();
    CHECK(frozen.empty());
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("buffer: frozen with nothing in it, it is empty and its slot free", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    buffer tested = pool.try_acquire(1);
    CHECK(std::move(tested).freeze().empty());
    CHECK_FALSE(tested);  // NOLINT(bugprone-use-after-move): it is empty by promise
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("misuse: buffer: committing more than there is space aborts", "[pool]") {
    CHECK(status_of([] {
              const auto own = small_pool::create({.slots = {1, 1}});
              buffer tested = own->try_acquire(1);
              tested.commit(4095);
              tested.commit(2);
              return 0;
          }) == -SIGABRT);
}

}  // namespace
