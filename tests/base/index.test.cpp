// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <support/catch.hpp>
#include <zcpool/base/index.hpp>

namespace {

using namespace zcpool;

// The two are neither numbers nor each other.
static_assert(!std::is_convertible_v<class_index, slot_index>);
static_assert(!std::is_convertible_v<slot_index, class_index>);
static_assert(!std::is_convertible_v<int, slot_index>);
static_assert(!std::is_convertible_v<slot_index, std::uint32_t>);

TEST_CASE("index: the plain number is the whole index", "[base]") {
    STATIC_REQUIRE(to_number(class_index{0}) == 0);
    STATIC_REQUIRE(to_number(class_index{255}) == 255);
    STATIC_REQUIRE(to_number(slot_index{0xFFFF'FFFF}) == 0xFFFF'FFFF);
}

TEST_CASE("index: every index, offset and length fits its bits of a descriptor", "[base]") {
    STATIC_REQUIRE(max_classes - 1 < 1U << 4);
    STATIC_REQUIRE(max_slots - 1 < 1U << 20);
    STATIC_REQUIRE(max_slot_bytes <= UINT32_MAX);
    // As offsets of pool memory are computed in 64 bits: all classes at their largest fit.
    STATIC_REQUIRE(max_slot_bytes <= SIZE_MAX / max_slots / max_classes);
}

}  // namespace
