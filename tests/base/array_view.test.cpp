// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/base/array_view.hpp>

namespace {

using zcpool::array_view;

TEST_CASE("array_view: refers to what has elements in a row", "[base]") {
    int plain[3] = {1, 2, 3};
    std::array<int, 3> array{1, 2, 3};
    std::vector<int> vector{1, 2, 3};
    CHECK(array_view{plain}.data() == plain);
    CHECK(array_view{array}.data() == array.data());
    CHECK(array_view<int>{vector}.data() == vector.data());
    CHECK(array_view<int>{std::span{vector}.subspan(1)}.size() == 2);
    const array_view<const int> view = array_view{plain};
    CHECK(view.data() == plain);
    CHECK(view.size() == 3);
    CHECK(view.size_bytes() == sizeof plain);
    CHECK(array_view<int>{}.empty());
    CHECK_FALSE(view.empty());

    // As a function takes it; never away from const.
    static_assert(std::is_convertible_v<std::span<int>, array_view<const int>>);
    static_assert(!std::is_convertible_v<std::span<const int>, array_view<int>>);
    static_assert(!std::is_convertible_v<const std::array<int, 3>&, array_view<int>>);
    static_assert(!std::is_convertible_v<std::array<long, 3>&, array_view<int>>);
    static_assert(std::is_same_v<decltype(array_view{array}), array_view<int>>);
    static_assert(std::is_trivially_copyable_v<array_view<int>>);
}

TEST_CASE("array_view: its elements, from the front and from a place on", "[base]") {
    std::array<int, 4> four{1, 2, 3, 4};
    const array_view view{four};
    view[1] = 20;
    CHECK(four[1] == 20);
    int sum = 0;
    for (const int each : view.first(3)) {
        sum += each;
    }
    CHECK(sum == 24);
    CHECK(view.first(0).empty());
    CHECK(view.subspan(1).data() == &four[1]);
    CHECK(view.subspan(1).size() == 3);
    CHECK(view.subspan(4).empty());
    CHECK(view.subspan(1, 2).data() == &four[1]);
    CHECK(view.subspan(1, 2).size() == 2);
}

}  // namespace
