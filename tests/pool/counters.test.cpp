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
    add(counters.trimmed, 8);
    add(counters.refilled, 9);
    const class_stats now = counters.read();
    CHECK(now.trimmed == 8);
    CHECK(now.refilled == 9);
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
    counters.note_in_use(2);
    counters.note_in_use(1);
    CHECK(counters.read().high_water == 2);
}

TEST_CASE("counters: the highest of what threads note is kept", "[pool][.stress]") {
    class_counters counters;
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&counters, t] {
            for (std::uint64_t i = 0; i < 50'000; ++i) {
                counters.note_in_use(i * 4 + t);
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(counters.read().high_water == 49'999 * 4 + 3);
}

}  // namespace
