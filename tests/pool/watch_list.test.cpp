// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/watch_list.hpp>

namespace {

using namespace zcpool;

/// An entry of a place that counts its calls; it can use what has the bit of its place's half.
struct counting {
    explicit counting(std::uint32_t place)
        : entry(
              place, 1U << (place / 2),
              [](void* self) noexcept { ++static_cast<counting*>(self)->calls; }, this) {}
    std::atomic<int> calls{0};
    watch_list::entry entry;
};

/// Waits as its owner would.
void wait_on(watch_list& list, counting& each) {
    list.begin_look(each.entry, false);
    REQUIRE(list.arm(each.entry));
}

TEST_CASE("watch_list: a notification calls one, once, in the order of coming", "[pool]") {
    watch_list list;
    counting first{2};
    counting second{2};
    list.enter();
    wait_on(list, first);
    wait_on(list, second);
    list.notify_one(1U << 1);
    CHECK((first.calls == 1 && second.calls == 0));
    list.notify_one(1U << 1);
    list.notify_one(1U << 1);
    CHECK((first.calls == 1 && second.calls == 1));
}

TEST_CASE("watch_list: who comes from a notification stays in front", "[pool]") {
    watch_list list;
    counting first{2};
    counting second{2};
    list.enter();
    wait_on(list, first);
    wait_on(list, second);
    list.notify_one(1U << 1);
    list.begin_look(first.entry, true);
    REQUIRE(list.arm(first.entry));
    list.notify_one(1U << 1);
    CHECK((first.calls == 2 && second.calls == 0));
    list.notify_one(1U << 1);
    CHECK(second.calls == 1);
}

TEST_CASE("watch_list: a notification passes by who cannot use it; the highest place comes first",
          "[pool]") {
    watch_list list;
    counting low{0};
    counting high{5};
    counting normal{4};
    list.enter();
    for (counting* each : {&low, &normal, &high}) {
        wait_on(list, *each);
    }
    list.notify_one(1U << 2);
    CHECK((low.calls == 0 && normal.calls == 0 && high.calls == 1));
    list.notify_one(1U << 2);
    CHECK((low.calls == 0 && normal.calls == 1));
    list.notify_one(1U << 2);
    CHECK(low.calls == 0);
    list.notify_one(1U << 0);
    CHECK(low.calls == 1);
}

TEST_CASE("watch_list: a notification during a look is noted and not called", "[pool]") {
    watch_list list;
    counting waiter{2};
    list.enter();
    list.begin_look(waiter.entry, false);
    list.notify_one(1U << 1);
    CHECK_FALSE(list.arm(waiter.entry));
    CHECK(waiter.calls == 0);
    list.begin_look(waiter.entry, true);
    CHECK(list.arm(waiter.entry));
    list.notify_one(1U << 1);
    CHECK(waiter.calls == 1);
}

TEST_CASE("watch_list: everybody is notified at once, one by its owner's wish", "[pool]") {
    watch_list list;
    std::vector<std::unique_ptr<counting>> all;
    for (std::uint32_t i = 0; i < 10; ++i) {
        all.push_back(std::make_unique<counting>(i));
        wait_on(list, *all.back());
    }
    list.begin_look(all[3]->entry, true);
    list.notify(all[7]->entry);
    CHECK(all[7]->calls == 1);
    list.notify(all[7]->entry);
    list.notify_all();
    list.notify_all();
    for (const auto& each : all) {
        CHECK(each->calls == (each == all[3] ? 0 : 1));
    }
}

TEST_CASE("watch_list: who was withdrawn is not called, from the front, the middle or the end",
          "[pool]") {
    for (std::size_t gone = 0; gone < 3; ++gone) {
        watch_list list;
        std::vector<std::unique_ptr<counting>> all;
        list.enter();
        for (int i = 0; i < 3; ++i) {
            all.push_back(std::make_unique<counting>(2));
            wait_on(list, *all.back());
        }
        list.withdraw(all[gone]->entry);
        list.withdraw(all[gone]->entry);
        all[gone].reset();
        list.notify_one(1U << 1);
        list.notify_one(1U << 1);
        list.notify_one(1U << 1);
        for (const auto& each : all) {
            CHECK((each == nullptr || each->calls == 1));
        }
    }
}

TEST_CASE("watch_list: the list is not searched when nobody is registered", "[pool]") {
    watch_list list;
    counting waiter{2};
    wait_on(list, waiter);
    list.notify_one(1U << 1);
    CHECK(waiter.calls == 0);
    list.enter();
    list.notify_one(1U << 1);
    CHECK(waiter.calls == 1);
    list.leave();
    wait_on(list, waiter);
    list.notify_one(1U << 1);
    CHECK(waiter.calls == 1);
    list.withdraw(waiter.entry);
}

TEST_CASE("watch_list: withdrawing waits for a callback that has begun", "[pool]") {
    struct slow {
        std::atomic<int> state{0};  // 1: inside, 2: may go, 3: over
    } seen;
    watch_list list;
    watch_list::entry waiter{0, 1,
                             [](void* context) noexcept {
                                 auto& at = static_cast<slow*>(context)->state;
                                 at = 1;
                                 while (at != 2) {
                                     std::this_thread::yield();
                                 }
                                 // Longer than the owner looks and yields.
                                 std::this_thread::sleep_for(std::chrono::milliseconds{20});
                                 at = 3;
                             },
                             &seen};
    list.enter();
    list.begin_look(waiter, false);
    REQUIRE(list.arm(waiter));
    std::thread notifier{[&] { list.notify_one(1); }};
    while (seen.state != 1) {
        std::this_thread::yield();
    }
    seen.state = 2;
    list.withdraw(waiter);
    CHECK(seen.state == 3);
    notifier.join();
}

TEST_CASE("misuse: watch_list: a callback that waits for its own end stops with a message",
          "[pool]") {
    struct both {
        watch_list list;
        watch_list::entry waiter{
            0, 1,
            [](void* self) noexcept {
                static_cast<both*>(self)->list.withdraw(static_cast<both*>(self)->waiter);
            },
            this};
    } tested;
    tested.list.enter();
    tested.list.begin_look(tested.waiter, false);
    REQUIRE(tested.list.arm(tested.waiter));
    CHECK(zcpool_test::status_of([&] {
              tested.list.notify_one(1);
              return 0;
          }) == -SIGABRT);
    tested.list.withdraw(tested.waiter);
}

TEST_CASE("watch_list: owners come and go while others notify", "[pool][.stress]") {
    watch_list list;
    std::atomic<bool> over{false};
    std::atomic<long> calls{0};
    std::vector<std::thread> notifiers;
    for (int t = 0; t < 2; ++t) {
        notifiers.emplace_back([&] {
            while (!over) {
                list.notify_one(1);
            }
        });
    }
    std::vector<std::thread> owners;
    for (int t = 0; t < 2; ++t) {
        owners.emplace_back([&] {
            for (long i = 0; i < zcpool_test::scaled(50'000); ++i) {
                const auto each = std::make_unique<counting>(0);
                list.enter();
                list.begin_look(each->entry, false);
                if (list.arm(each->entry) && i % 2 == 0) {
                    while (each->calls == 0) {
                        std::this_thread::yield();
                    }
                }
                list.withdraw(each->entry);
                list.leave();
                calls += each->calls;
            }
        });
    }
    for (auto& each : owners) {
        each.join();
    }
    over = true;
    for (auto& each : notifiers) {
        each.join();
    }
    CHECK(calls > 0);
}

}  // namespace
