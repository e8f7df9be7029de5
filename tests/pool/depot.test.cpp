// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/depot.hpp>

namespace {

using namespace zcpool;

/// Two threads' magazines of three slots, and two between them.
struct depot_fixture {
    depot_fixture() {
        REQUIRE(tested.open(2, 2, 3).has_value());
        REQUIRE(tested.equip(first));
        REQUIRE(tested.equip(second));
    }

    /// Releases three slots from the `from` on to a pair, whatever that takes.
    void release(magazine_pair& to, std::size_t from) {
        for (std::size_t i = from; i < from + 3; ++i) {
            if (!to.release(records[i])) {
                REQUIRE((to.swap_for_empty() || tested.relieve(to)));
                REQUIRE(to.release(records[i]));
            }
        }
    }

    std::vector<slot_record> records = std::vector<slot_record>(100);
    depot tested;
    magazine_pair first;
    magazine_pair second;
};

TEST_CASE("depot: a pair for each thread there may be, and none for more", "[pool]") {
    depot_fixture f;
    magazine_pair third;
    CHECK_FALSE(f.tested.equip(third));
    CHECK(third.capacity() == 0);
    CHECK(f.first.capacity() == 3);
    CHECK(&f.first.spare() != &f.second.spare());
    depot none;
    CHECK_FALSE(none.equip(third));
    CHECK(none.slots() == 0);
}

TEST_CASE("depot: gives out the magazine that was left last, whole, without a copy", "[pool]") {
    depot_fixture f;
    CHECK_FALSE(f.tested.refill(f.second));
    for (std::size_t from = 0; from < 12; from += 3) {
        f.release(f.first, from);
    }
    CHECK(f.tested.slots() == 6);
    CHECK(f.first.count() == 6);
    REQUIRE(f.tested.refill(f.second));
    CHECK(f.tested.slots() == 3);
    for (std::size_t i = 6; i-- > 3;) {
        CHECK(f.second.acquire() == &f.records[i]);
    }
    CHECK(f.second.acquire() == nullptr);
    REQUIRE(f.tested.refill(f.second));
    CHECK(f.second.acquire() == &f.records[2]);
    CHECK(f.tested.slots() == 0);
    CHECK(f.second.count() == 2);
}

TEST_CASE("depot: without room a magazine stays where it is; there is room again later", "[pool]") {
    depot_fixture f;
    for (int round = 0; round < 3; ++round) {
        for (std::size_t from = 0; from < 12; from += 3) {
            f.release(f.first, from);
        }
        CHECK_FALSE(f.tested.relieve(f.first));
        CHECK(f.first.count() == 6);
        CHECK(f.tested.slots() == 6);
        std::array<slot_record*, magazine_capacity> into{};
        for (std::size_t from : {3U, 0U}) {
            REQUIRE(f.tested.take_out(into) == 3);
            for (std::size_t i = 0; i < 3; ++i) {
                CHECK(into[i] == &f.records[from + 2 - i]);
            }
        }
        CHECK(f.tested.take_out(into) == 0);
        CHECK(f.first.take_out(into) == 3);
        CHECK(f.first.take_out(into) == 3);
    }
}

TEST_CASE("depot: no magazine is lost when they go round", "[pool]") {
    depot_fixture f;
    for (int round = 0; round < 10; ++round) {
        for (std::size_t from = 0; from < 12; from += 3) {
            f.release(f.first, from);
        }
        for (int i = 0; i < 2; ++i) {
            REQUIRE(f.tested.refill(f.second));
            for (int slots = 0; slots < 3; ++slots) {
                REQUIRE(f.second.acquire() != nullptr);
            }
        }
        CHECK_FALSE(f.tested.refill(f.second));
        std::array<slot_record*, magazine_capacity> into{};
        CHECK(f.first.take_out(into) + f.first.take_out(into) == 6);
    }
}

}  // namespace
