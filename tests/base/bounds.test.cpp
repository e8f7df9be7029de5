// SPDX-License-Identifier: MIT
#include <cstddef>

#include <support/catch.hpp>
#include <zcpool/base/bounds.hpp>

namespace {

using zcpool::clamped;
using zcpool::larger_of;
using zcpool::smaller_of;

TEST_CASE("bounds: the smaller and the larger of two values", "[base]") {
    CHECK(smaller_of(1, 2) == 1);
    CHECK(smaller_of(2, 1) == 1);
    CHECK(larger_of(1, 2) == 2);
    CHECK(larger_of(2, 1) == 2);
    CHECK(smaller_of<std::size_t>(3, 3) == 3);
    static_assert(larger_of<std::size_t>(3, 3) == 3);
}

TEST_CASE("bounds: a value between two others, or the bound that it is beyond", "[base]") {
    CHECK(clamped(5, 2, 8) == 5);
    CHECK(clamped(1, 2, 8) == 2);
    CHECK(clamped(9, 2, 8) == 8);
    static_assert(clamped<long>(-3, 0, 0) == 0);
}

TEST_CASE("bounds: of values that are neither smaller nor larger the first", "[base]") {
    struct card {
        int rank = 0;
        char suit = ' ';
        bool operator<(const card& other) const { return rank < other.rank; }
    };
    CHECK(smaller_of(card{1, 'a'}, card{1, 'b'}).suit == 'a');
    CHECK(larger_of(card{1, 'a'}, card{1, 'b'}).suit == 'a');
    CHECK(clamped(card{1, 'a'}, card{1, 'b'}, card{1, 'c'}).suit == 'a');
}

}  // namespace
