// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <zcpool/pool/slot_status.hpp>

namespace {

using namespace zcpool;

TEST_CASE("slot_status: encoding keeps every field", "[pool]") {
    const slot_status all{generation_limit - 1, slot_state::quarantine, ~holder_set{0}};
    CHECK(decode(encode(all)) == all);
    CHECK(encode({}) == 0);
    CHECK(decode(encode({generation_limit, slot_state::free, 0})).generation == 0);
}

TEST_CASE("slot_status: generations start over without harm", "[pool]") {
    CHECK(next_generation(generation_limit - 1) == 0);
    CHECK(next_generation(0) == 1);
}

}  // namespace
