// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <random>

#include <support/catch.hpp>
#include <zcpool/base/align.hpp>

namespace {

using namespace zcpool;

constexpr std::size_t top = SIZE_MAX;

TEST_CASE("align: the literals count in steps of 1024", "[base]") {
    STATIC_REQUIRE(0_KiB == 0);
    STATIC_REQUIRE(1_KiB == 1024);
    STATIC_REQUIRE(3_MiB == 3072_KiB);
    STATIC_REQUIRE(5_GiB == 5120_MiB);
    STATIC_REQUIRE(5_GiB == 5'368'709'120);  // does not fit 32 bits
}

TEST_CASE("align: rounding up leaves multiples alone and takes the rest to the next", "[base]") {
    STATIC_REQUIRE(align_up(0, 4096) == 0);
    STATIC_REQUIRE(align_up(1, 4096) == 4096);
    STATIC_REQUIRE(align_up(4095, 4096) == 4096);
    STATIC_REQUIRE(align_up(4096, 4096) == 4096);
    STATIC_REQUIRE(align_up(4097, 4096) == 8192);
    STATIC_REQUIRE(align_up(17, 1) == 17);
    // The largest value that the contract allows.
    STATIC_REQUIRE(align_up(top - 4095, 4096) == top - 4095);
}

TEST_CASE("align: rounding up gives the smallest multiple that is not below", "[base]") {
    std::mt19937_64 random{1};
    for (int i = 0; i < 10'000; ++i) {
        const std::size_t alignment = std::size_t{1} << random() % 31;
        const std::size_t value = random() % (std::size_t{1} << 40);
        const std::size_t rounded = align_up(value, alignment);
        REQUIRE(rounded % alignment == 0);
        REQUIRE(rounded >= value);
        REQUIRE(rounded - value < alignment);
    }
}

TEST_CASE("align: a multiple of the alignment is aligned, its neighbours are not", "[base]") {
    STATIC_REQUIRE(is_aligned(0, 64));
    STATIC_REQUIRE(is_aligned(192, 64));
    STATIC_REQUIRE_FALSE(is_aligned(191, 64));
    STATIC_REQUIRE_FALSE(is_aligned(193, 64));
    STATIC_REQUIRE_FALSE(is_aligned(96, 64));
    STATIC_REQUIRE(is_aligned(7, 1));
}

TEST_CASE("align: arithmetic that fits gives the result, up to the last value", "[base]") {
    std::size_t answer = 0;
    CHECK((checked_multiply(top / 3, 3, answer) && answer == top / 3 * 3));
    CHECK((checked_multiply(top, 1, answer) && answer == top));
    CHECK((checked_multiply(0, top, answer) && answer == 0));
    CHECK((checked_add(top - 1, 1, answer) && answer == top));
    CHECK((checked_add(0, 0, answer) && answer == 0));
}

TEST_CASE("align: arithmetic that does not fit says so", "[base]") {
    std::size_t answer = 0;
    CHECK_FALSE(checked_multiply(top / 2 + 1, 2, answer));
    CHECK_FALSE(checked_multiply(std::size_t{1} << 32, std::size_t{1} << 32, answer));
    CHECK_FALSE(checked_multiply(top, top, answer));
    CHECK_FALSE(checked_add(top, 1, answer));
    CHECK_FALSE(checked_add(top, top, answer));
}

}  // namespace
