// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>

#include <support/catch.hpp>
#include <zcpool/pool/arena_cursor.hpp>

// All schedules of it, with slot words and renewal, are tests/model/arenas.cpp.

namespace {

using namespace zcpool;

/// Arenas of two slots, but for the last one, which has one.
struct arena_cursor_fixture {
    arena_cursor_fixture() { tested.open(debts, 5, 2); }

    std::array<arena_cursor::debt, 3> debts;
    arena_cursor tested;
};

TEST_CASE("arena_cursor: knows which slots are whose", "[pool]") {
    const arena_cursor_fixture f;
    CHECK(f.tested.arenas() == 3);
    CHECK(f.tested.slots_in(0) == 2);
    CHECK(f.tested.slots_in(2) == 1);
    CHECK(f.tested.first_of(2) == 4);
    CHECK(f.tested.arena_of(3) == 1);
}

TEST_CASE("arena_cursor: hands out the slots of an arena that was started, in order", "[pool]") {
    arena_cursor_fixture f;
    CHECK(f.tested.take() == no_index);
    REQUIRE(f.tested.win(1));
    CHECK(f.tested.take() == no_index);
    REQUIRE(f.tested.start(1));
    CHECK(f.tested.take() == 2);
    CHECK(f.tested.take() == 3);
    CHECK(f.tested.take() == no_index);
    REQUIRE((f.tested.win(2) && f.tested.start(2)));
    CHECK(f.tested.take() == 4);
    CHECK(f.tested.take() == no_index);
}

TEST_CASE("arena_cursor: only a retired arena can be won, by one", "[pool]") {
    arena_cursor_fixture f;
    CHECK_FALSE(f.tested.win(3));
    CHECK_FALSE(f.tested.win(no_index));
    REQUIRE(f.tested.win(0));
    CHECK_FALSE(f.tested.win(0));
    CHECK_FALSE(f.tested.was_in_use(0));
    f.tested.lose(0);
    REQUIRE((f.tested.win(0) && f.tested.start(0)));
    CHECK(f.tested.was_in_use(0));
    CHECK_FALSE(f.tested.win(0));
}

TEST_CASE("arena_cursor: the last slot to come back retires its arena, in whatever order",
          "[pool]") {
    arena_cursor_fixture f;
    REQUIRE((f.tested.win(0) && f.tested.start(0)));
    REQUIRE(f.tested.take() == 0);
    CHECK_FALSE(f.tested.come_back(0));
    CHECK_FALSE(f.tested.win(0));  // it has a slot to hand out
    REQUIRE(f.tested.take() == 1);
    CHECK(f.tested.come_back(0));
    CHECK(f.tested.win(0));
}

TEST_CASE("arena_cursor: while an arena has slots left no other is started", "[pool]") {
    arena_cursor_fixture f;
    REQUIRE((f.tested.win(0) && f.tested.start(0)));
    REQUIRE(f.tested.win(1));
    CHECK_FALSE(f.tested.start(1));
    CHECK(f.tested.win(1));  // it is retired again
    CHECK(f.tested.take() == 0);
}

TEST_CASE("arena_cursor: a slot that is taken out of order has to come back as well", "[pool]") {
    arena_cursor_fixture f;
    CHECK_FALSE(f.tested.borrow(0));
    REQUIRE(f.tested.win(0));
    CHECK_FALSE(f.tested.borrow(0));
    REQUIRE(f.tested.start(0));
    REQUIRE(f.tested.borrow(0));
    CHECK_FALSE(f.tested.come_back(0, 2));
    CHECK(f.tested.was_in_use(0));
    CHECK(f.tested.come_back(0));
    CHECK_FALSE(f.tested.borrow(0));
}

}  // namespace
