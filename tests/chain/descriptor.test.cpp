// SPDX-License-Identifier: MIT
#include <cstdint>

#include <support/catch.hpp>
#include <zcpool/chain/descriptor.hpp>

namespace {

using zcpool::descriptor;

TEST_CASE("descriptor: every field keeps its value in 16 bytes", "[chain]") {
    const descriptor largest{0xF'FFFF, 15, 0x7FF'FFFF, INT32_MAX, UINT32_MAX, true};
    for (const descriptor& each :
         {descriptor{}, largest, descriptor{0xF'FFFF, 0, 0, 0, 0}, descriptor{0, 15, 0, 0, 0},
          descriptor{0, 0, 0x7FF'FFFF, 0, 0}, descriptor{0, 0, 0, INT32_MAX, 0},
          descriptor{0, 0, 0, 0, 0, true}, descriptor{0, 0, 0, 0, UINT32_MAX}}) {
        CHECK(descriptor::of(each.to_message()) == each);
    }
    CHECK(largest.to_message().first >> 51 == 0);  // those bits are the ring's
}

}  // namespace
