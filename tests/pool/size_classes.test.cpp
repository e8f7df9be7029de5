// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/size_classes.hpp>

namespace {

using namespace zcpool;

using classes = size_classes<4_KiB, 64_KiB, 1_MiB>;

TEST_CASE("size_classes: the smallest class that holds the bytes is found", "[pool]") {
    STATIC_REQUIRE(classes::count == 3);
    STATIC_REQUIRE(classes::index_for(0) == 0);
    STATIC_REQUIRE(classes::index_for(1) == 0);
    STATIC_REQUIRE(classes::index_for(4_KiB) == 0);
    STATIC_REQUIRE(classes::index_for(4_KiB + 1) == 1);
    STATIC_REQUIRE(classes::index_for(64_KiB) == 1);
    STATIC_REQUIRE(classes::index_for(1_MiB) == 2);
}

TEST_CASE("size_classes: more than the largest class is no class", "[pool]") {
    STATIC_REQUIRE(classes::index_for(1_MiB + 1) == classes::count);
    STATIC_REQUIRE(classes::index_for(SIZE_MAX) == classes::count);
}

TEST_CASE("size_classes: a table finds what comparing with each class would, for any list",
          "[pool]") {
    const std::vector<std::vector<std::size_t>> lists{
        {4_KiB},
        {1_GiB},
        {4_KiB, 8_KiB, 12_KiB, 16_KiB, 20_KiB, 24_KiB, 28_KiB, 32_KiB},
        {64_KiB, 68_KiB, 1_MiB, 1_MiB + 4_KiB, 2_MiB - 4_KiB, 1_GiB},
        {4_KiB, 8_KiB, 16_KiB, 32_KiB, 64_KiB, 128_KiB, 256_KiB, 512_KiB, 1_MiB, 2_MiB, 4_MiB,
         8_MiB, 16_MiB, 32_MiB, 64_MiB, 128_MiB}};
    for (const auto& list : lists) {
        const class_lookup lookup{list};
        const auto naive = [&](std::size_t wanted) {
            return static_cast<std::size_t>(std::lower_bound(list.begin(), list.end(), wanted) -
                                            list.begin());
        };
        for (std::size_t wanted = 0; wanted < 300_KiB; wanted += 511) {
            REQUIRE(lookup(wanted) == naive(wanted));
        }
        for (const std::size_t size : list) {
            for (const std::size_t wanted : {size - 1, size, size + 1}) {
                REQUIRE(lookup(wanted) == naive(wanted));
            }
        }
        for (std::size_t bit = 1; bit != 0; bit <<= 1) {
            REQUIRE(lookup(bit - 1) == naive(bit - 1));
            REQUIRE(lookup(bit) == naive(bit));
            REQUIRE(lookup(bit + 1) == naive(bit + 1));
        }
        CHECK(lookup(SIZE_MAX) == list.size());
    }
    using many = size_classes<4_KiB, 8_KiB, 64_KiB, 256_KiB, 1_MiB>;
    STATIC_REQUIRE(many::index_for(8_KiB + 1) == 2);
    STATIC_REQUIRE(many::index_for(1_MiB + 1) == many::count);
    STATIC_REQUIRE(class_lookup{}(1) == 0);  // of no classes, the one behind the last
}

}  // namespace
