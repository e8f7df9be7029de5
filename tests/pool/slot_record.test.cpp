// SPDX-License-Identifier: MIT
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace {

using namespace zcpool;

TEST_CASE("slot_record: is a slot's owner, alone on its cache line", "[pool]") {
    const std::vector<slot_record> records(2);
    CHECK(records[0].what == slice_owner::kind::slot);
    CHECK(reinterpret_cast<std::uintptr_t>(&records[1]) % cache_line == 0);
    CHECK(records[0].references.load(std::memory_order_relaxed) == 0);
}

}  // namespace
