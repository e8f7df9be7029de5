// SPDX-License-Identifier: MIT
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

}  // namespace
