// SPDX-License-Identifier: MIT
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/counters.hpp>

namespace {

using namespace zcpool;

TEST_CASE("counters: what is counted is read, each in its place", "[pool]") {
    class_counters counters;
    add(counters.exhausted, 1);
    add(counters.waited, 2);
    add(counters.spilled, 3);
    add(counters.lent, 4);
    add(counters.renewed, 5);
    add(counters.quarantined, 6);
    add(counters.copied_bytes, 7);
    const class_stats now = counters.read();
    CHECK(now.exhausted == 1);
    CHECK(now.waited == 2);
    CHECK(now.spilled == 3);
    CHECK(now.lent == 4);
    CHECK(now.renewed == 5);
    CHECK(now.quarantined == 6);
    CHECK(now.copied_bytes == 7);
    CHECK(now.in_use == 0);
}

TEST_CASE("counters: the high water stays when the tide goes out", "[pool]") {
    class_counters counters;
    counters.count_acquired(3);
    counters.count_acquired(3);
    add(counters.released, 2);
    counters.count_acquired(3);
    const class_stats now = counters.read();
    CHECK(now.in_use == 1);
    CHECK(now.high_water == 2);
}

TEST_CASE("counters: threads lose none, and the high water is no more than there are slots",
          "[pool][.stress]") {
    class_counters counters;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&counters] {
            for (int i = 0; i < 50'000; ++i) {
                counters.count_acquired(4);
                counters.released.fetch_add(1, memory_order_release);
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    const class_stats now = counters.read();
    CHECK(now.acquired == 200'000);
    CHECK(now.in_use == 0);
    CHECK((now.high_water >= 1 && now.high_water <= 4));
}

}  // namespace
