// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <semaphore>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/slot_watch.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;
using zcpool::priority;
using zcpool::slot_watch;

using spilling_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                   zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;

/// A watch that counts its notifications.
struct counted_watch {
    explicit counted_watch(zcpool::pool_view pool, std::size_t bytes = 1,
                           priority who = priority::normal)
        : watch(
              pool, bytes, [](void* self) noexcept { ++static_cast<counted_watch*>(self)->calls; },
              this, who) {}

    /// Tries, and expects to wait.
    void wait() {
        const auto got = watch.try_again();
        REQUIRE_FALSE(got.has_value());
        REQUIRE(got.error() == errc::exhausted);
        REQUIRE(watch.is_waiting());
    }

    std::atomic<int> calls{0};
    slot_watch watch;
};

TEST_CASE("slot_watch: takes what is there, and waits for nothing then", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    counted_watch tested{pool};
    CHECK_FALSE(tested.watch.is_waiting());
    auto got = tested.watch.try_again();
    REQUIRE(got.has_value());
    CHECK(got->capacity() == 4096);
    CHECK_FALSE(tested.watch.is_waiting());
    got->reset();
    CHECK(tested.calls == 0);
    CHECK(counted_watch{pool, 65537}.watch.try_again().error() == errc::too_large);
}

TEST_CASE("slot_watch: a release notifies once, and the next try gets the slot", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    auto first = pool.try_acquire(1);
    auto second = pool.try_acquire(1);
    counted_watch tested{pool};
    tested.wait();
    CHECK(pool.stats()[0].waited == 1);
    CHECK(tested.calls == 0);
    first.reset();
    CHECK(tested.calls == 1);
    second.reset();  // it was told already
    CHECK(tested.calls == 1);
    auto got = tested.watch.try_again();
    REQUIRE(got.has_value());
    CHECK_FALSE(tested.watch.is_waiting());
    got->reset();
    CHECK(tested.calls == 1);
    CHECK(pool.stats()[0].waited == 1);
}

TEST_CASE("slot_watch: in a pool that zeroes, who was notified finds zeroes", "[pool]") {
    const auto pool = make_pool(zeroing_options(1, 1));
    auto held = pool.try_acquire(1);
    counted_watch tested{pool};
    for (int round = 0; round < 3; ++round) {
        tested.wait();
        spoil(held);
        held.reset();
        REQUIRE(tested.calls == round + 1);
        held = tested.watch.try_again().value();
    }
    CHECK(is_zero(held));
}

TEST_CASE("slot_watch: who finds that another was faster waits on", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto held = pool.try_acquire(1);
    counted_watch tested{pool};
    tested.wait();
    for (int round = 1; round <= 3; ++round) {
        held.reset();
        CHECK(tested.calls == round);
        held = pool.try_acquire(1);
        REQUIRE(held);
        tested.wait();
    }
    CHECK(pool.stats()[0].waited == 1);
}

TEST_CASE("slot_watch: while it waits the thread caches are empty and closed", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    std::vector<buffer> all(64);
    REQUIRE(pool.acquire_many(1, all) == 64);
    std::binary_semaphore filled{0};
    std::binary_semaphore over{0};
    std::binary_semaphore released{0};
    std::binary_semaphore seen{0};
    auto other = std::move(all.back());
    all.pop_back();
    std::thread hoarder{[&] {
        auto mine = std::move(all.back());
        all.pop_back();
        mine.reset();  // into this thread's cache
        filled.release();
        over.acquire();
        other.reset();
        released.release();
        seen.acquire();  // the thread's end would empty its cache
    }};
    filled.acquire();
    CHECK(pool.stats()[0].cached == 1);
    counted_watch tested{pool};
    const auto hoarded = tested.watch.try_again();
    CHECK(hoarded.has_value());
    tested.wait();
    over.release();
    released.acquire();
    CHECK(pool.stats()[0].cached == 0);
    CHECK(tested.calls == 1);
    CHECK(tested.watch.try_again().has_value());
    seen.release();
    hoarder.join();
    all.clear();
    CHECK(pool.stats()[0].cached > 0);
}

TEST_CASE("slot_watch: is notified by what another thread's end or cache gives back", "[pool]") {
    const auto pool = make_pool({.slots = {64, 1}});
    std::vector<buffer> all(64);
    REQUIRE(pool.acquire_many(1, all) == 64);
    counted_watch first{pool};
    counted_watch second{pool};
    first.wait();
    second.wait();
    std::thread{[&] { all.resize(62); }}.join();
    CHECK((first.calls == 1 && second.calls == 1));
}

TEST_CASE("slot_watch: is notified of classes that it can use, no others", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto small = pool.try_acquire(1);
    auto large = pool.try_acquire(5000);
    counted_watch for_small{pool, 1};
    counted_watch for_large{pool, 5000};
    for_small.wait();
    for_large.wait();
    large.reset();
    CHECK((for_small.calls == 0 && for_large.calls == 1));
    small.reset();
    CHECK(for_small.calls == 1);
}

TEST_CASE("slot_watch: of a class that may spill, is notified of the larger one as well",
          "[pool]") {
    const auto pool = make_pool<spilling_pool>({.slots = {1, 1}});
    auto small = pool.try_acquire(1);
    auto large = pool.try_acquire(65536);
    counted_watch either{pool, 1};
    counted_watch only_large{pool, 65536};
    either.wait();
    only_large.wait();
    large.reset();
    CHECK((either.calls == 0 && only_large.calls == 1));  // the one with no other choice
    only_large.watch.cancel();
    CHECK(either.calls == 1);  // as nobody else wanted it
    const auto got = either.watch.try_again();
    REQUIRE(got.has_value());
    CHECK(got->capacity() == 65536);
    small.reset();
}

TEST_CASE("slot_watch: an urgent one is notified of what goes to the reserve, a normal one is not",
          "[pool]") {
    const auto pool = make_pool({.slots = {3, 1}, .reserve = {1}});
    auto first = pool.try_acquire(1);
    auto second = pool.try_acquire(1);
    auto reserved = pool.acquire(1, priority::urgent);
    REQUIRE((first && second && reserved.has_value()));
    counted_watch normal{pool};
    counted_watch urgent{pool, 1, priority::urgent};
    normal.wait();
    urgent.wait();
    first.reset();
    CHECK((normal.calls == 0 && urgent.calls == 1));
    auto got = urgent.watch.try_again();
    REQUIRE(got.has_value());
    normal.watch.cancel();
    normal.calls = 0;
    normal.wait();
    second.reset();  // fills the reserve
    CHECK(normal.calls == 0);
    reserved->reset();
    CHECK(normal.calls == 1);
    CHECK(normal.watch.try_again().has_value());
}

TEST_CASE("slot_watch: closing notifies everybody, and they learn why", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto small = pool.try_acquire(1);
    const auto large = pool.try_acquire(5000);
    counted_watch first{pool};
    counted_watch second{pool, 1, priority::urgent};
    counted_watch third{pool, 5000};
    for (counted_watch* each : {&first, &second, &third}) {
        each->wait();
    }
    pool.close();
    for (counted_watch* each : {&first, &second, &third}) {
        CHECK(each->calls == 1);
        CHECK(each->watch.try_again().error() == errc::closed);
        CHECK_FALSE(each->watch.is_waiting());
    }
}

TEST_CASE("slot_watch: a pool may be destroyed while it waits, and goes with it", "[pool]") {
    const held before;
    for (const bool tries : {false, true}) {
        auto pool = std::make_optional(make_pool({.slots = {1, 1}}));
        auto last = pool->try_acquire(1);
        auto tested = std::make_unique<counted_watch>(*pool);
        counted_watch other{*pool};
        tested->wait();
        pool.reset();
        CHECK(tested->calls == 1);
        last.reset();
        CHECK(pool_mappings() == before.mappings + 2);
        if (tries) {
            CHECK(tested->watch.try_again().error() == errc::closed);
            CHECK(tested->watch.try_again().error() == errc::closed);
        }
        tested.reset();
        CHECK(other.watch.try_again().error() == errc::closed);
    }
    CHECK(before == held{});
}

TEST_CASE("slot_watch: who cancels hands a notification on", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto slot = pool.try_acquire(1);
    auto first = std::make_unique<counted_watch>(pool);
    counted_watch second{pool};
    counted_watch third{pool};
    first->wait();
    second.wait();
    third.wait();
    slot.reset();
    CHECK((first->calls == 1 && second.calls == 0));
    first.reset();
    CHECK((second.calls == 1 && third.calls == 0));
    second.watch.cancel();
    CHECK_FALSE(second.watch.is_waiting());
    CHECK(third.calls == 1);
    CHECK(third.watch.try_again().has_value());
    second.watch.cancel();
}

TEST_CASE("slot_watch: one that cancels wakes a thread that sleeps, and the other way round",
          "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    auto slot = pool.try_acquire(1);
    counted_watch tested{pool};
    tested.wait();
    auto sleeper = std::async(std::launch::async, [&] { return pool.acquire_for(1, 30s); });
    while (pool.stats()[0].waited < 2) {
        std::this_thread::yield();
    }
    slot.reset();
    auto got = sleeper.get();
    REQUIRE(got.has_value());
    CHECK(tested.calls == 1);
    tested.wait();
    got->reset();
    CHECK(tested.calls == 2);
    CHECK(tested.watch.try_again().has_value());
}

TEST_CASE("slot_watch: says when to look for slots that rest over the budget", "[pool]") {
    using pages = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;
    auto options = lending_options(4, 1);
    options.lent_budget_permille = 60;  // of 80 KiB: one page
    options.lent_settle_time = 200ms;
    const auto pool = make_pool<pages>(options);
    std::array<buffer, 4> all;
    REQUIRE(pool.acquire_many(1, all) == 4);
    all[0].commit(1);
    all[1].commit(1);
    auto a = std::move(all[0]).freeze();
    auto b = std::move(all[1]).freeze();
    REQUIRE((a.lend() && b.lend()));
    a = {};
    const auto again = pool.try_acquire(1);  // with which the budget is used up
    REQUIRE(again);
    counted_watch tested{pool};
    counted_watch other{pool};
    tested.wait();
    CHECK(tested.watch.retry_after() == 0ms);
    other.wait();
    b = {};
    CHECK(tested.calls == 1);
    tested.wait();
    CHECK(tested.watch.retry_after() > 0ms);
    zcpool::result<buffer> got;
    for (int tries = 0; tries < 1000; ++tries) {
        got = tested.watch.try_again();
        if (got) {
            break;
        }
        REQUIRE(tested.watch.retry_after() > 0ms);
        std::this_thread::sleep_for(tested.watch.retry_after());
    }
    CHECK(got.has_value());
    CHECK(tested.watch.retry_after() == 0ms);
    const int before = other.calls;
    other.wait();
    slot_watch::retry_waiting(pool);
    CHECK(other.calls == before + 1);
}

TEST_CASE("slot_watch: looks again by itself at a slot that was being renewed", "[pool]") {
    const auto pool = make_pool(lending_options(1, 1));
    {
        const auto lent = make_slice(pool, 100, 1);
        REQUIRE(lent.lend().has_value());
    }
    counted_watch tested{pool};
    const faults held_up;
    faults::hold_punches();
    std::thread renewer{[&] { static_cast<void>(pool.renew_resting(1)); }};
    while (faults::held_punches() == 0) {
        std::this_thread::yield();
    }
    tested.wait();
    CHECK(tested.watch.retry_after() > 0ms);
    CHECK(tested.calls == 0);
    faults::resume_punches();
    renewer.join();
    CHECK(tested.calls == 1);
    CHECK(tested.watch.try_again().has_value());
}

TEST_CASE("slot_watch: hears of a slot that was free before it could be trimmed", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    counted_watch tested{pool};
    const faults broken;
    faults::hold_punches();
    faults::fail_punches(ENOMEM);
    std::thread trimmer{[&] { static_cast<void>(pool.trim()); }};
    while (faults::held_punches() == 0) {
        std::this_thread::yield();
    }
    const bool had_to_wait = !tested.watch.try_again().has_value();
    faults::resume_punches();
    trimmer.join();
    CHECK(had_to_wait);
    CHECK(tested.calls == 1);
    CHECK(tested.watch.try_again().has_value());
}

TEST_CASE("slot_watch: in a shared pool it is to look again, as nobody tells it", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto slot = pool.try_acquire(1);
    const auto other_slot = pool.try_acquire(64'000);
    counted_watch alone{pool};
    alone.wait();
    CHECK(alone.watch.retry_after() == 0ms);
    alone.watch.cancel();
    REQUIRE(pool.share().has_value());
    counted_watch tested{pool};
    tested.wait();
    CHECK(tested.watch.retry_after() > 0ms);
    CHECK(tested.watch.retry_after() <= 10ms);
}

TEST_CASE("slot_watch: does nothing in a forked child", "[pool]") {
    auto pool = std::make_optional(make_pool({.slots = {1, 1}}));
    auto slot = pool->try_acquire(1);
    auto tested = std::make_unique<counted_watch>(*pool);
    tested->wait();
    CHECK(status_of([&] {
              const bool closed = tested->watch.try_again().error() == errc::closed;
              slot.reset();
              slot_watch::retry_waiting(*pool);
              counted_watch made_here{*pool};
              const bool closed_here = made_here.watch.try_again().error() == errc::closed;
              tested->watch.cancel();
              pool->close();
              const int calls = tested->calls;
              tested.reset();
              pool.reset();
              return closed && closed_here && calls == 0 ? 0 : 1;
          }) == 0);
    CHECK(tested->calls == 0);
    CHECK(tested->watch.is_waiting());
    slot.reset();
    CHECK(tested->calls == 1);
    CHECK(tested->watch.try_again().has_value());
}

TEST_CASE("slot_watch: with more threads than slots none misses its notification",
          "[pool][.stress]") {
    // Both with slots that thread caches would like to keep, and without.
    for (const std::uint32_t slots : {2U, 16U}) {
        const auto pool = make_pool({.slots = {slots, 1}});
        std::vector<buffer> kept(slots - 2);
        REQUIRE(pool.acquire_many(1, kept) == kept.size());
        const long rounds = scaled(20'000);
        std::atomic<long> served{0};
        std::atomic<long> overdue{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 6; ++t) {
            threads.emplace_back([&, t] {
                std::counting_semaphore<> notified{0};
                slot_watch watch{pool, 1,
                                 [](void* to) noexcept {
                                     static_cast<std::counting_semaphore<>*>(to)->release();
                                 },
                                 &notified};
                for (long i = 0; i < rounds; ++i) {
                    auto got = watch.try_again();
                    while (!got) {
                        const auto retry = watch.retry_after();
                        if (retry.count() != 0) {
                            static_cast<void>(notified.try_acquire_for(retry));
                        } else if (!notified.try_acquire_for(60s)) {
                            ++overdue;
                        }
                        got = watch.try_again();
                    }
                    ++served;
                    if (i % 16 == t) {
                        std::this_thread::yield();  // so that others do wait
                    }
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(overdue == 0);
        CHECK(served == 6 * rounds);
        kept.clear();
        CHECK(pool.stats()[0].in_use == 0);
    }
}

}  // namespace
