// SPDX-License-Identifier: MIT
#include <array>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/depot.hpp>

namespace {

using namespace zcpool;

struct fixture {
    explicit fixture(std::uint32_t magazines) { REQUIRE(tested.open(magazines).has_value()); }

    /// Pointers to `count` records from the `first` on.
    [[nodiscard]] std::vector<slot_record*> slots(std::size_t first, std::size_t count) {
        std::vector<slot_record*> made;
        for (std::size_t i = first; i < first + count; ++i) {
            made.push_back(&records[i]);
        }
        return made;
    }

    std::vector<slot_record> records = std::vector<slot_record>(100);
    std::array<slot_record*, magazine_capacity> into{};
    depot tested;
};

TEST_CASE("depot: gives out the magazine that was left last, whole", "[pool]") {
    fixture f{3};
    CHECK(f.tested.was_empty());
    CHECK(f.tested.take(f.into) == 0);
    CHECK(f.tested.put(f.slots(0, 31)));
    CHECK(f.tested.put(f.slots(31, 2)));
    CHECK(f.tested.slots() == 33);
    CHECK_FALSE(f.tested.was_empty());
    REQUIRE(f.tested.take(f.into) == 2);
    CHECK(f.into[0] == &f.records[31]);
    CHECK(f.into[1] == &f.records[32]);
    REQUIRE(f.tested.take(f.into) == 31);
    CHECK(f.into[30] == &f.records[30]);
    CHECK(f.tested.slots() == 0);
    CHECK(f.tested.take(f.into) == 0);
}

TEST_CASE("depot: takes all of a magazine or, without room, nothing, and has room again later",
          "[pool]") {
    fixture f{2};
    for (int round = 0; round < 3; ++round) {
        CHECK(f.tested.put(f.slots(0, 4)));
        CHECK(f.tested.put(f.slots(4, 4)));
        CHECK_FALSE(f.tested.put(f.slots(8, 4)));
        CHECK(f.tested.slots() == 8);
        CHECK(f.tested.take(f.into) == 4);
        CHECK(f.tested.take(f.into) == 4);
    }
}

}  // namespace
