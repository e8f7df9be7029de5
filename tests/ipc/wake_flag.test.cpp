// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <thread>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/wake_flag.hpp>

namespace {

using namespace std::chrono_literals;
using zcpool::ipc::wake_flag;
using zcpool::sys::clock;
using zcpool::sys::wait_status;

TEST_CASE("wake_flag: one who has not announced himself is not woken", "[ipc]") {
    wake_flag flag;
    CHECK_FALSE(flag.claim());
    flag.announce();
    flag.withdraw();
    CHECK_FALSE(flag.claim());
    flag.announce();
    CHECK(flag.claim());
    CHECK_FALSE(flag.claim());
}

TEST_CASE("wake_flag: asleep until woken, or the deadline", "[ipc]") {
    wake_flag flag;
    flag.announce();
    CHECK(flag.sleep(clock::now() + 1ms) == wait_status::timed_out);
    std::thread other{[&] {
        std::this_thread::sleep_for(10ms);
        if (flag.claim()) {
            flag.wake();
        }
    }};
    CHECK(flag.sleep(clock::now() + 20s) == wait_status::woken);
    other.join();
    CHECK(flag.sleep(clock::now() + 20s) == wait_status::woken);  // claimed: it does not sleep
}

TEST_CASE("wake_flag: no wake-up is lost between two who play ball", "[ipc]") {
    // Each waits for the number that the other counts up.
    std::atomic<long> turn{0};
    wake_flag flags[2];
    std::atomic<long> timeouts{0};
    const long count = zcpool_test::scaled(10'000);
    const auto play = [&](long me) {
        for (long n = me; n < count; n += 2) {
            while (turn.load() != n) {
                flags[me].announce();
                if (turn.load() != n &&
                    flags[me].sleep(clock::now() + 20s) == wait_status::timed_out) {
                    ++timeouts;
                }
                flags[me].withdraw();
            }
            turn.store(n + 1);
            if (flags[1 - me].claim()) {
                flags[1 - me].wake();
            }
        }
    };
    std::thread other{play, 1};
    play(0);
    other.join();
    CHECK(timeouts.load() == 0);
}

}  // namespace
