// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <future>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/reserve.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;
using zcpool::no_index;
using zcpool::priority;

/// As many buffers as a caller of this priority gets.
std::vector<buffer> take_all(zcpool::pool_view pool, priority who) {
    std::vector<buffer> all;
    while (auto next = pool.acquire(1, who)) {
        all.push_back(std::move(*next));
    }
    return all;
}

TEST_CASE("reserve: what is taken is missing until as much was put back", "[pool]") {
    zcpool::slot_reserve tested;
    CHECK(tested.was_full());
    CHECK(tested.take().slot == no_index);  // there is none
    REQUIRE(tested.open(8).has_value());
    tested.add(3);
    tested.add(5);
    CHECK(tested.was_left() == 2);
    CHECK(tested.put_back(1).slot == no_index);  // nothing is missing
    const auto first = tested.take();
    CHECK((first.slot == 5 && first.first));
    const auto second = tested.take();
    CHECK((second.slot == 3 && !second.first));
    CHECK(tested.take().slot == no_index);
    CHECK(tested.was_left() == 0);
    CHECK_FALSE(tested.was_full());
    CHECK_FALSE(tested.put_back(1).first);
    CHECK(tested.put_back(5).first);  // the last that was missing
    CHECK(tested.was_full());
    CHECK(tested.take().slot == 5);
}

TEST_CASE("reserve: normal callers do not get the last slots, urgent ones do", "[pool]") {
    const auto pool = make_pool({.slots = {5, 2}, .reserve = {2, 1}});
    CHECK(pool.stats()[0].reserved == 2);
    auto normal = take_all(pool, priority::normal);
    CHECK(normal.size() == 3);
    CHECK(pool.acquire(1).error() == errc::exhausted);
    CHECK(pool.acquire_for(1, 1ms).error() == errc::timed_out);
    CHECK(pool.stats()[0].in_use == 3);
    auto urgent = take_all(pool, priority::urgent);
    CHECK(urgent.size() == 2);
    CHECK(pool.stats()[0].in_use == 5);
    CHECK(pool.stats()[0].reserved == 0);
}

TEST_CASE("reserve: what is released goes to the reserve first", "[pool]") {
    const auto pool = make_pool({.slots = {4, 1}, .reserve = {2}});
    auto normal = take_all(pool, priority::normal);
    auto urgent = take_all(pool, priority::urgent);
    REQUIRE((normal.size() == 2 && urgent.size() == 2));
    normal.clear();  // into the reserve, although they were not taken from it
    CHECK(pool.stats()[0].reserved == 2);
    CHECK_FALSE(pool.try_acquire(1));
    CHECK(pool.acquire(1, priority::urgent).has_value());
    urgent.clear();
    CHECK(take_all(pool, priority::normal).size() == 2);
    CHECK(pool.stats()[0].in_use == 0);
}

TEST_CASE("reserve: is filled from slots that rest, before a normal caller gets one", "[pool]") {
    auto options = lending_options(3, 1);
    options.reserve = {1};
    const auto pool = make_pool(options);
    auto lent = make_slice(pool, 100, 1);
    REQUIRE(lent.lend().has_value());
    auto other = pool.try_acquire(1);
    auto last = pool.acquire(1, priority::urgent);
    REQUIRE((other && last.has_value()));
    lent = {};  // rests: not in the reserve yet
    CHECK(pool.stats()[0].reserved == 0);
    CHECK_FALSE(pool.try_acquire(1));
    CHECK(pool.stats()[0].reserved == 1);
    CHECK(pool.stats()[0].renewed == 1);
    other.reset();
    CHECK(pool.try_acquire(1));
}

TEST_CASE("reserve: while some of it is out the thread caches are closed, and open again later",
          "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}, .reserve = {4}});
    {
        const auto used = pool.try_acquire(1);
    }
    CHECK(pool.stats()[0].cached > 0);
    auto normal = take_all(pool, priority::normal);
    CHECK(normal.size() == 60);
    auto urgent = take_all(pool, priority::urgent);
    CHECK(urgent.size() == 4);
    normal.erase(normal.begin() + 10, normal.end());
    CHECK(pool.stats()[0].reserved == 4);
    normal.clear();
    urgent.clear();
    {
        const auto used = pool.try_acquire(1);
    }
    CHECK(pool.stats()[0].cached > 0);
    CHECK(take_all(pool, priority::normal).size() == 60);
}

TEST_CASE("reserve: an urgent waiter is woken by what goes to the reserve, a normal one is not",
          "[pool]") {
    const auto pool = make_pool({.slots = {3, 1}, .reserve = {1}});
    auto normal = take_all(pool, priority::normal);
    auto urgent = take_all(pool, priority::urgent);
    auto waiting_as = [&pool, waited = 0U](priority who) mutable {
        auto waiter =
            std::async(std::launch::async, [&pool, who] { return pool.acquire_for(1, 1h, who); });
        ++waited;
        while (pool.stats()[0].waited < waited) {
            std::this_thread::yield();
        }
        std::this_thread::sleep_for(20ms);
        return waiter;
    };
    auto first = waiting_as(priority::normal);
    auto second = waiting_as(priority::urgent);
    normal.pop_back();
    REQUIRE(second.wait_for(10s) == std::future_status::ready);
    CHECK(first.wait_for(0s) == std::future_status::timeout);
    second.get().value().reset();  // fills the reserve
    CHECK(first.wait_for(20ms) == std::future_status::timeout);
    normal.clear();
    CHECK(first.wait_for(10s) == std::future_status::ready);
    pool.close();
}

TEST_CASE("reserve: more than a class can spare is refused with the value and the limit",
          "[pool]") {
    zcpool::creation_report report;
    CHECK(small_pool::create({.slots = {4, 1}, .reserve = {4}}, &report).error() ==
          errc::invalid_options);
    CHECK(std::string_view{report.text}.find("4 slots of class 0") != std::string_view::npos);
    CHECK(small_pool::create({.slots = {4, 1}, .reserve = {0, 0, 1}}, &report).error() ==
          errc::invalid_options);
    CHECK(small_pool::create({.slots = {4, 1}, .reserve = {3}}).has_value());
}

TEST_CASE(
    "reserve: with threads of both kinds no slot is lost and normal callers leave the reserve",
    "[pool][.stress]") {
    const auto pool = make_pool({.slots = {32, 1}, .reserve = {4}});
    std::vector<std::thread> threads;
    std::atomic<long> taken{0};
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            const auto who = t == 0 ? priority::urgent : priority::normal;
            const long rounds = scaled(3'000);
            for (long i = 0; i < rounds; ++i) {
                std::vector<buffer> mine;
                for (unsigned n = 0; n < 12; ++n) {
                    if (auto next = pool.acquire(1, who)) {
                        mine.push_back(std::move(*next));
                        ++taken;
                    }
                }
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(taken > 0);
    CHECK(pool.stats()[0].in_use == 0);
    CHECK(take_all(pool, priority::normal).size() == 28);
    CHECK(pool.stats()[0].reserved == 4);
    CHECK(take_all(pool, priority::urgent).size() == 32);
}

}  // namespace
