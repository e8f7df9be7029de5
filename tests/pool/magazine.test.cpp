// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/magazine.hpp>

namespace {

using namespace zcpool;

struct magazine_fixture {
    explicit magazine_fixture(std::uint32_t capacity) {
        pair.open(magazines[0], magazines[1], capacity);
    }

    /// Releases the records from the `first` up to, not including, the `last`.
    void release(std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            REQUIRE(pair.release(records[i]));
        }
    }
    /// What is taken out at once.
    [[nodiscard]] std::vector<slot_record*> take_out() {
        std::array<slot_record*, magazine_capacity> into{};
        const std::size_t count = pair.take_out(into);
        return {into.begin(), into.begin() + static_cast<std::ptrdiff_t>(count)};
    }
    [[nodiscard]] std::vector<slot_record*> pointers(std::size_t first, std::size_t last) {
        std::vector<slot_record*> made;
        for (std::size_t i = first; i < last; ++i) {
            made.push_back(&records[i]);
        }
        return made;
    }

    std::array<magazine, 3> magazines;
    std::vector<slot_record> records = std::vector<slot_record>(100);
    magazine_pair pair;
};

TEST_CASE("magazine_pair: without magazines it has nothing to give and no room", "[pool]") {
    magazine_pair pair;
    slot_record record;
    CHECK(pair.acquire() == nullptr);
    CHECK_FALSE(pair.release(record));
    CHECK_FALSE(pair.swap_for_full());
    CHECK_FALSE(pair.swap_for_empty());
    CHECK(pair.acquire_from_spare() == nullptr);
    CHECK_FALSE(pair.release_to_spare(record));
    CHECK(pair.capacity() == 0);
    CHECK(pair.count() == 0);
    CHECK(pair.handed_out() == 0);
}

TEST_CASE("magazine_pair: the slot that was released last is handed out first", "[pool]") {
    for (const std::uint32_t capacity : {1U, 4U, 31U}) {
        magazine_fixture f{capacity};
        CHECK(f.pair.acquire() == nullptr);
        f.release(0, capacity);
        CHECK_FALSE(f.pair.release(f.records[50]));
        CHECK(f.pair.count() == capacity);
        CHECK(f.pair.acquire() == &f.records[capacity - 1]);
        CHECK(f.pair.release(f.records[90]));
        for (std::size_t i = capacity; i-- > 0;) {
            CHECK(f.pair.acquire() == &f.records[i == capacity - 1 ? 90 : i]);
        }
        CHECK(f.pair.acquire() == nullptr);
        CHECK(f.pair.count() == 0);
    }
}

TEST_CASE("magazine_pair: works on with the spare one where that is full, or empty", "[pool]") {
    magazine_fixture f{3};
    CHECK_FALSE(f.pair.swap_for_full());
    f.release(0, 3);
    CHECK(f.pair.swap_for_empty());
    CHECK(f.pair.count() == 3);
    f.release(3, 6);
    CHECK(f.pair.count() == 6);
    CHECK_FALSE(f.pair.swap_for_empty());
    CHECK_FALSE(f.pair.release_to_spare(f.records[6]));
    for (std::size_t i = 6; i-- > 3;) {
        CHECK(f.pair.acquire() == &f.records[i]);
    }
    CHECK(f.pair.acquire() == nullptr);
    CHECK(f.pair.acquire_from_spare() == &f.records[2]);
    CHECK(f.pair.acquire() == &f.records[1]);
    CHECK(f.pair.acquire() == &f.records[0]);
    CHECK(f.pair.acquire_from_spare() == nullptr);
    CHECK(f.pair.handed_out() == 0);
    CHECK(f.pair.acquired() == 6);
    CHECK(f.pair.released() == 6);
}

TEST_CASE("magazine_pair: full and empty magazines come from elsewhere and go there", "[pool]") {
    magazine_fixture f{2};
    f.release(0, 2);
    REQUIRE(f.pair.swap_for_empty());
    f.release(2, 4);
    magazine& full = f.pair.spare();
    CHECK(&full == &f.magazines[0]);
    f.pair.load_empty(f.magazines[2]);
    CHECK(f.pair.count() == 2);  // 2 and 3, in what is the spare one now
    CHECK(f.pair.handed_out() == -4);
    f.release(4, 5);
    CHECK(f.pair.acquire() == &f.records[4]);
    CHECK(f.pair.acquire_from_spare() == &f.records[3]);
    CHECK(f.pair.acquire() == &f.records[2]);
    CHECK(&f.pair.spare() == &f.magazines[2]);
    f.pair.load_full(full);
    CHECK(&f.pair.spare() == &f.magazines[1]);
    CHECK(f.pair.acquire() == &f.records[1]);
    CHECK(f.pair.acquire() == &f.records[0]);
    CHECK(f.pair.acquire() == nullptr);
    CHECK(f.pair.handed_out() == 0);
}

TEST_CASE("magazine_pair: takes out the spare one first, and then the rest", "[pool]") {
    magazine_fixture f{3};
    f.release(0, 3);
    REQUIRE(f.pair.swap_for_empty());
    f.release(3, 5);
    CHECK(f.take_out() == f.pointers(0, 3));
    CHECK(f.pair.count() == 2);
    CHECK(f.take_out() == f.pointers(3, 5));
    CHECK(f.take_out().empty());
    CHECK(f.pair.count() == 0);
    CHECK(f.pair.acquire() == nullptr);
    f.release(5, 8);
    CHECK(f.take_out() == f.pointers(5, 8));
}

TEST_CASE("magazine_pair: counts what users were given and gave back, not what was moved",
          "[pool]") {
    magazine_fixture f{8};
    f.pair.fill(f.pointers(0, 3));
    CHECK(f.pair.acquired() == 0);
    CHECK(f.pair.released() == 0);
    CHECK(f.pair.handed_out() == 0);
    REQUIRE(f.pair.acquire() == &f.records[2]);
    REQUIRE(f.pair.acquire() == &f.records[1]);
    CHECK(f.pair.handed_out() == 2);
    REQUIRE(f.pair.release(f.records[1]));
    CHECK(f.take_out().size() == 2);
    CHECK(f.pair.acquired() == 2);
    CHECK(f.pair.released() == 1);
    CHECK(f.pair.handed_out() == 1);
    f.release(10, 13);  // that other threads acquired
    CHECK(f.pair.handed_out() == -2);
    CHECK(f.pair.released() == 4);
}

}  // namespace
