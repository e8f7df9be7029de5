// SPDX-License-Identifier: MIT
#include <cstddef>
#include <utility>
#include <vector>

#include <support/misuse.hpp>
#include <support/pools.hpp>
#include <zcpool/pool/slot_address.hpp>

namespace {

using namespace zcpool;
using namespace zcpool_test;

template <class Pool>
void check_all_slots(const Pool& pool) {
    pool_core& core = pool_sharing::core_of(pool);
    std::vector<std::byte*> left;
    for (const std::size_t size : {4_KiB, 64_KiB}) {
        while (buffer next = pool.try_acquire(size)) {
            left.push_back(slot_address::leave(std::move(next)));
        }
    }
    REQUIRE(left.size() == 5);
    CHECK(slots_in_use(pool) == 5);
    for (std::size_t i = 0; i < left.size(); ++i) {
        const std::size_t bytes = i < 3 ? 4_KiB : 64_KiB;
        CHECK(slot_address::is_in(core, left[i] + bytes - 1));
        buffer again = slot_address::take(core, left[i] + (i % 2 == 0 ? 0 : bytes - 1));
        CHECK(again.capacity() == bytes);
        CHECK(again.data() == left[i]);
        CHECK(again.size() == 0);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("slot_address: every address of a slot leads back to it", "[pool]") {
    check_all_slots(make_pool({.slots = {3, 2}}));
    check_all_slots(make_pool<full_pool>({.slots = {3, 2}}));
}

TEST_CASE("slot_address: a checked pool finds out who takes a slot that was released", "[pool]") {
    static int found;
    found = 0;
    const auto pool = make_pool<full_pool>(
        {.slots = {1, 1}, .on_misuse = [](const misuse_report& report) noexcept {
             found += report.what == misuse::released_twice ? 1 : 0;
         }});
    pool_core& core = pool_sharing::core_of(pool);
    std::byte* const left = slot_address::leave(pool.try_acquire(1));
    slot_address::take(core, left).reset();
    CHECK(found == 0);
    slot_address::take(core, left).reset();
    CHECK(found == 1);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("slot_address: what lies beside the pool is not in it", "[pool]") {
    const auto pool = make_pool({.slots = {3, 2}});
    pool_core& core = pool_sharing::core_of(pool);
    const std::byte* const begin = core.memory().data();
    CHECK(slot_address::is_in(core, begin));
    CHECK_FALSE(slot_address::is_in(core, begin - 1));
    CHECK_FALSE(slot_address::is_in(core, begin + core.memory().size()));
    CHECK_FALSE(slot_address::is_in(core, nullptr));
    CHECK(slot_address::leave(buffer{}) == nullptr);
}

}  // namespace
