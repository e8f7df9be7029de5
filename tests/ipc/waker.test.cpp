// SPDX-License-Identifier: MIT
#include <sys/poll.h>

#include <chrono>
#include <thread>
#include <utility>

#include <support/faulty_syscalls.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/waker.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::ipc::wake_by;
using zcpool::ipc::wake_flag;
using zcpool::ipc::waker;
using zcpool::sys::clock;

TEST_CASE("waker: wakes who sleeps, and makes no call where nobody does", "[ipc]") {
    const auto how = GENERATE(wake_by::futex, wake_by::event);
    auto made = waker::create(how);
    REQUIRE(made.has_value());
    CHECK((made->event() >= 0) == (how == wake_by::event));
    wake_flag flag;
    {
        faults counted;
        counted.fail_call(1'000, EIO);
        made->wake(flag);
        CHECK(faults::calls() == 0);
    }
    flag.announce();
    std::thread other{[&] {
        std::this_thread::sleep_for(1ms);
        made->wake(flag);
    }};
    bool woken = false;
    for (int n = 0; n < 1'000 && !woken; ++n) {
        woken = made->sleep(flag, {-1, 0, 0}, clock::time_point::max());
    }
    CHECK(woken);
    other.join();
    made->end_wait(flag);
    CHECK_FALSE(flag.claim());
}

TEST_CASE("waker: nobody sleeps for long without looking around", "[ipc]") {
    const auto how = GENERATE(wake_by::futex, wake_by::event);
    auto made = waker::create(how);
    wake_flag flag;
    flag.announce();
    CHECK_FALSE(made->sleep(flag, {-1, 0, 0}, clock::time_point::max()));
    CHECK_FALSE(made->sleep(flag, {-1, 0, 0}, clock::now()));
    CHECK_FALSE(made->sleep(flag, {-1, 0, 0}, clock::time_point::min()));
}

TEST_CASE("waker: the end of the other one ends a sleep by event", "[ipc]") {
    auto made = waker::create(wake_by::event);
    wake_flag flag;
    auto pair = unix_pair();
    flag.announce();
    pair.peer.reset();
    const auto begin = clock::now();
    CHECK_FALSE(made->sleep(flag, {pair.ours.get(), 0, 0}, clock::time_point::max()));
    // 20 ms would be a time-out. Not an assertion about speed: it may be late, and is asked again.
    bool at_once = clock::now() - begin < 20ms;
    for (int n = 0; n < 50 && !at_once; ++n) {
        const auto again = clock::now();
        CHECK_FALSE(made->sleep(flag, {pair.ours.get(), 0, 0}, clock::time_point::max()));
        at_once = clock::now() - again < 20ms;
    }
    CHECK(at_once);
}

TEST_CASE("waker: without a descriptor left it says so", "[ipc]") {
    faults broken;
    broken.fail_call(0, EMFILE);
    CHECK(waker::create(wake_by::event).error().value() == EMFILE);
    CHECK(waker::create(wake_by::futex).has_value());
}

}  // namespace
