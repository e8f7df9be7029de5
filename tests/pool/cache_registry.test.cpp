// SPDX-License-Identifier: MIT
#include <array>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/cache_registry.hpp>

namespace {

using namespace zcpool;

/// A registry of caches with places in class 0.
struct cache_registry_fixture {
    cache_registry_fixture() { REQUIRE(sys::process_barrier::prepare().has_value()); }
    ~cache_registry_fixture() {
        registry.suspend();
        static_cast<void>(cache_owner::find(nullptr));
    }

    [[nodiscard]] thread_cache* make() {
        thread_cache* const made = map_cache();
        REQUIRE(made != nullptr);
        made->home = pool;
        made->classes[0].open(magazines[0], magazines[1], 2);
        for (slot_record& each : records) {
            each.cache_key.store(thread_cache::key_of(pool), memory_order_relaxed);
        }
        return made;
    }
    [[nodiscard]] thread_cache* enter() {
        return registry.enter(pool, [this] { return make(); });
    }

    std::array<slot_record, 2> records;
    std::array<magazine, 2> magazines;
    pool_core* pool = reinterpret_cast<pool_core*>(this);
    cache_registry registry;
};

TEST_CASE("cache_registry: a thread enters the same cache each time", "[pool]") {
    cache_registry_fixture f;
    thread_cache* const first = f.enter();
    REQUIRE(first != nullptr);
    CHECK_FALSE(first->gate.was_left());
    first->gate.leave();
    CHECK(f.enter() == first);
    first->gate.leave();
    CHECK(current_cache == first);
}

TEST_CASE("cache_registry: while it is suspended nobody enters, and nobody has to make one",
          "[pool]") {
    cache_registry_fixture f;
    f.registry.suspend();
    CHECK(f.enter() == nullptr);
    f.registry.suspend();
    f.registry.resume();
    CHECK(f.enter() == nullptr);
    f.registry.resume();
    thread_cache* const cache = f.enter();
    REQUIRE(cache != nullptr);
    cache->gate.leave();
    f.registry.suspend();
    CHECK(f.enter() == nullptr);
    CHECK(f.registry.may_be_filled(*cache));  // its gate is open still
    CHECK(f.registry.take_over(
        [&](const thread_cache& each) { return f.registry.may_be_filled(each); },
        [](thread_cache&) {}));
    CHECK_FALSE(f.registry.may_be_filled(*cache));
    CHECK_FALSE(cache->release(f.records[0]));
    f.registry.resume();
    REQUIRE(f.enter() == cache);  // reopened by its owner
    cache->gate.leave();
    CHECK(cache->release(f.records[0]));
    CHECK(cache->acquire(f.pool, 0) == f.records.data());
}

TEST_CASE("cache_registry: takes over what is worth it, and lets it go as it was", "[pool]") {
    cache_registry_fixture f;
    thread_cache* const cache = f.enter();
    REQUIRE(cache != nullptr);
    REQUIRE(cache->classes[0].release(f.records[1]));
    cache->gate.leave();
    int emptied = 0;
    const auto empty = [&](thread_cache& each) {
        CHECK(&each == cache);
        CHECK(each.gate.was() == owner_gate::claimed);
        ++emptied;
    };
    CHECK(f.registry.take_over([](const thread_cache&) { return false; }, empty));
    CHECK(emptied == 0);
    CHECK(f.registry.take_over([](const thread_cache&) { return true; }, empty));
    CHECK(emptied == 1);
    CHECK(cache->acquire(f.pool, 0) == &f.records[1]);  // open again
}

TEST_CASE("cache_registry: says so when an owner is inside and does not leave", "[pool]") {
    cache_registry_fixture f;
    thread_cache* const cache = f.enter();
    REQUIRE(cache != nullptr);
    bool emptied = false;
    const auto take_over = [&] {
        return f.registry.take_over([](const thread_cache&) { return true; },
                                    [&](thread_cache&) { emptied = true; });
    };
    CHECK_FALSE(take_over());  // we are inside
    CHECK_FALSE(emptied);
    cache->gate.leave();
    CHECK(take_over());
    CHECK(emptied);
    static_cast<void>(cache->gate.claim());  // as another thread would
    emptied = false;
    CHECK_FALSE(take_over());
    CHECK_FALSE(emptied);
    cache->gate.release(owner_gate::closed);
}

}  // namespace
