// SPDX-License-Identifier: MIT
#include <array>

#include <support/catch.hpp>
#include <zcpool/pool/thread_cache.hpp>

namespace {

using namespace zcpool;

TEST_CASE("thread_cache: works for its pool only, and only while its gate is open", "[pool]") {
    std::array<magazine, 2> magazines;
    std::array<slot_record, 3> records;
    thread_cache cache;
    cache.classes[0].open(magazines[0], magazines[1], 1);
    const auto* pool = reinterpret_cast<const pool_core*>(&magazines);
    const auto* other = reinterpret_cast<const pool_core*>(&records);
    const auto is_of = [](slot_record& record, const pool_core* of) {
        record.cache_key.store(thread_cache::key_of(of), memory_order_relaxed);
    };
    is_of(records[0], pool);
    is_of(records[1], other);
    CHECK_FALSE(cache.release(records[0]));  // closed
    cache.gate.release(thread_cache::key_of(pool));
    CHECK_FALSE(cache.release(records[1]));
    CHECK_FALSE(cache.release(records[2]));  // has to go by its word
    CHECK(cache.release(records[0]));
    CHECK(cache.slots(0, 1) == 1);
    CHECK(cache.slots(1, max_classes) == 0);
    CHECK(cache.acquire(other, 0) == nullptr);
    CHECK(cache.acquire(pool, max_classes) == nullptr);  // what "too large" looks like
    CHECK(cache.gate.was_left());
    static_cast<void>(cache.gate.claim());
    CHECK(cache.acquire(pool, 0) == nullptr);
    cache.gate.release(thread_cache::key_of(pool));
    CHECK(cache.acquire(pool, 0) == records.data());
    CHECK(cache.gate.was_left());
}

TEST_CASE("thread_cache: goes on with the spare magazine where that serves", "[pool]") {
    std::array<magazine, 2> magazines;
    std::array<slot_record, 5> records;
    thread_cache cache;
    cache.classes[0].open(magazines[0], magazines[1], 2);
    const auto* pool = reinterpret_cast<const pool_core*>(&magazines);
    cache.gate.release(thread_cache::key_of(pool));
    for (std::size_t i = 0; i < records.size(); ++i) {
        records[i].cache_key.store(thread_cache::key_of(pool), memory_order_relaxed);
        CHECK(cache.release(records[i]) == (i < 4));
    }
    CHECK(cache.slots(0, 1) == 4);
    for (std::size_t i = 4; i-- > 0;) {
        CHECK(cache.acquire(pool, 0) == &records[i]);
    }
    CHECK(cache.acquire(pool, 0) == nullptr);
    CHECK(cache.gate.was_left());
}

}  // namespace
