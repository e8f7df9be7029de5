// SPDX-License-Identifier: MIT
#include <array>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/thread_cache.hpp>

namespace {

using namespace zcpool;

struct fixture {
    explicit fixture(std::size_t capacity) : places(capacity), records(64) { pair.open(places); }

    std::vector<magazine_pair::place> places;
    std::vector<slot_record> records;
    magazine_pair pair;
};

TEST_CASE("magazine_pair: the slot that was released last is handed out first", "[pool]") {
    fixture f{4};
    CHECK(f.pair.acquire() == nullptr);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(f.pair.release(f.records[i]));
    }
    CHECK_FALSE(f.pair.release(f.records[4]));
    CHECK(f.pair.count() == 4);
    CHECK(f.pair.acquire() == &f.records[3]);
    CHECK(f.pair.release(f.records[9]));
    CHECK(f.pair.acquire() == &f.records[9]);
    CHECK(f.pair.acquire() == &f.records[2]);
}

TEST_CASE("magazine_pair: what was released longest ago is shed first", "[pool]") {
    fixture f{6};
    CHECK(f.pair.batch() == 3);
    for (std::size_t i = 0; i < 6; ++i) {
        REQUIRE(f.pair.release(f.records[i]));
    }
    std::array<slot_record*, 4> into{};
    CHECK(f.pair.shed(into) == 4);
    CHECK(into == std::array{&f.records[0], &f.records[1], &f.records[2], &f.records[3]});
    CHECK(f.pair.count() == 2);
    CHECK(f.pair.acquire() == &f.records[5]);
    CHECK(f.pair.acquire() == &f.records[4]);
    CHECK(f.pair.shed(into) == 0);
}

TEST_CASE("magazine_pair: counts what users were given and gave back, not what was moved",
          "[pool]") {
    fixture f{8};
    const std::array given{&f.records[0], &f.records[1], &f.records[2]};
    f.pair.fill(given);
    CHECK(f.pair.acquired() == 0);
    CHECK(f.pair.released() == 0);
    CHECK(f.pair.handed_out() == 0);
    REQUIRE(f.pair.acquire() == &f.records[2]);
    REQUIRE(f.pair.acquire() == &f.records[1]);
    CHECK(f.pair.handed_out() == 2);
    REQUIRE(f.pair.release(f.records[1]));
    std::array<slot_record*, 8> into{};
    CHECK(f.pair.shed(into) == 2);
    CHECK(f.pair.acquired() == 2);
    CHECK(f.pair.released() == 1);
    CHECK(f.pair.handed_out() == 1);
    for (std::size_t i = 10; i < 13; ++i) {  // that other threads acquired
        REQUIRE(f.pair.release(f.records[i]));
    }
    CHECK(f.pair.handed_out() == -2);
    CHECK(f.pair.released() == 4);
}

TEST_CASE("thread_cache: works for its pool only, and only while its gate is open", "[pool]") {
    std::vector<magazine_pair::place> places(2);
    std::vector<slot_record> records(2);
    thread_cache cache;
    cache.classes[0].open(places);
    const auto* pool = reinterpret_cast<const pool_core*>(&places);
    const auto* other = reinterpret_cast<const pool_core*>(&records);
    CHECK_FALSE(cache.release(pool, records[0]));  // closed
    cache.gate.release(thread_cache::key_of(pool));
    CHECK_FALSE(cache.release(other, records[0]));
    CHECK(cache.release(pool, records[0]));
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

}  // namespace
