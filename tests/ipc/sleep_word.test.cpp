// SPDX-License-Identifier: MIT
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/sleep_word.hpp>

namespace {

using namespace std::chrono_literals;
using zcpool::ipc::barrier_kind;
using zcpool::ipc::sleep_word;
using zcpool::sys::clock;
using zcpool_test::faults;

constexpr auto ages = 60s;  // a test that needs them has failed

/// The kinds that this kernel has.
std::vector<barrier_kind> kinds() {
    return zcpool::sys::global_barrier::prepare()
               ? std::vector{barrier_kind::full, barrier_kind::lopsided}
               : std::vector{barrier_kind::full};
}

TEST_CASE("sleep_word: is open and awake at first, and closed for good", "[ipc]") {
    for (const auto kind : kinds()) {
        sleep_word word;
        CHECK_FALSE(word.was_closed());
        CHECK_FALSE(word.wake(kind));
        word.close();
        CHECK(word.was_closed());
        CHECK(word.wake(kind));
        word.sleep_unless([] { return true; }, kind, clock::now() + ages);
        CHECK(word.was_closed());
    }
}

TEST_CASE("sleep_word: waking makes no system call while nobody sleeps", "[ipc]") {
    for (const auto kind : kinds()) {
        sleep_word word;
        faults counted;
        counted.fail_call(1'000, EIO);
        static_cast<void>(word.wake(kind));
        CHECK(faults::calls() == 0);
        // Nor after somebody who saw a reason not to sleep.
        word.sleep_unless([] { return true; }, kind, clock::now() + ages);
        counted.fail_call(1'000, EIO);
        static_cast<void>(word.wake(kind));
        CHECK(faults::calls() == 0);
    }
}

TEST_CASE("sleep_word: with no reason to stay awake it sleeps until the deadline", "[ipc]") {
    for (const auto kind : kinds()) {
        sleep_word word;
        const auto until = clock::now() + 5ms;
        word.sleep_unless([] { return false; }, kind, until);
        CHECK(clock::now() >= until);
    }
}

TEST_CASE("sleep_word: a refused barrier or wait ends the sleep, and nothing else", "[ipc]") {
    for (const auto kind : kinds()) {
        for (const long refused : {0, 1}) {
            sleep_word word;
            faults broken;
            broken.fail_call(refused, EFAULT);
            word.sleep_unless([] { return false; }, kind, clock::now() + 5ms);
            CHECK_FALSE(word.was_closed());
        }
    }
}

// A lost wake-up is a sleep of a minute, and of the whole test.
TEST_CASE("sleep_word: two that wake each other lose no wake-up", "[ipc]") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    for (const auto kind : kinds()) {
        const auto rounds = static_cast<std::uint32_t>(zcpool_test::scaled(20'000));
        sleep_word words[2];
        alignas(64) std::atomic<std::uint32_t> turn{0};
        std::atomic<std::uint32_t> late{0};
        const auto play = [&](unsigned side) {
            std::minstd_rand random{seed + side};
            for (std::uint32_t i = side; i < 2 * rounds; i += 2) {
                const auto is_mine = [&] { return turn.load(std::memory_order_acquire) == i; };
                const auto begin = clock::now();
                while (!is_mine()) {
                    words[side].sleep_unless(is_mine, kind, begin + ages);
                }
                late += clock::now() - begin >= ages ? 1U : 0U;
                for (auto spins = random() % 512; spins > 0; --spins) {
                    std::atomic_signal_fence(std::memory_order_seq_cst);
                }
                turn.store(i + 1, std::memory_order_release);
                static_cast<void>(words[1 - side].wake(kind));
            }
        };
        std::thread other{play, 1U};
        play(0);
        other.join();
        CHECK(late == 0);
        CHECK(turn == 2 * rounds);
    }
}

}  // namespace
