// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <thread>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/interrupts.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>

namespace {

using namespace std::chrono_literals;
using namespace zcpool_test;
using zcpool::memory_order_acquire;
using zcpool::memory_order_relaxed;
using zcpool::memory_order_release;
using zcpool::sys::clock;
using zcpool::sys::futex_wait;
using zcpool::sys::futex_wake;
using zcpool::sys::wait_status;

using word_type = zcpool::atomic<std::uint32_t>;

constexpr std::uint32_t everybody = INT_MAX;
constexpr std::uint32_t any_mask = 0xFFFF'FFFF;
constexpr auto ages = 60s;  // a test that needs them has failed

/// A thread that waits once on a word that is 0, and has reached the kernel.
class waiter {
public:
    waiter(word_type& word, std::uint32_t mask)
        : thread_{[this, &word, mask] {
              number_ = thread_number();
              ended_as_ = futex_wait(word, 0, mask, clock::now() + ages);
              done_ = true;
          }} {
        while (number_ == 0) {
            std::this_thread::yield();
        }
        wait_asleep(number_);
    }
    ~waiter() { thread_.join(); }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    [[nodiscard]] bool is_done() const { return done_; }
    [[nodiscard]] wait_status ended_as() const { return ended_as_; }

private:
    std::atomic<pid_t> number_{0};
    std::atomic<bool> done_{false};
    std::atomic<wait_status> ended_as_{wait_status::timed_out};
    std::thread thread_;  // the last member: it uses the others
};

/// Wakes again and again until somebody is awake: that one sleeps does not say yet in which call.
template <class Done>
void wake_until(Done&& done, word_type& word, std::uint32_t count, std::uint32_t mask) {
    while (!done()) {
        futex_wake(word, count, mask);
        std::this_thread::sleep_for(1ms);
    }
}

TEST_CASE("futex: a word that has changed is no reason to sleep", "[sys]") {
    word_type word{5};
    const auto before = clock::now();
    CHECK(futex_wait(word, 4, any_mask, before + ages) == wait_status::woken);
    CHECK(futex_wait(word, 4, any_mask, clock::time_point::max()) == wait_status::woken);
    CHECK(clock::now() - before < ages);
    CHECK(word.load(memory_order_relaxed) == 5);
}

TEST_CASE("futex: a duration that is negative has passed, however long it is", "[sys]") {
    using zcpool::sys::deadline_after;
    const auto long_ago = deadline_after(std::chrono::hours{-3'000'000});
    const auto just_now = deadline_after(std::chrono::nanoseconds{-1});
    CHECK(long_ago <= zcpool::sys::clock::now());
    CHECK(just_now <= zcpool::sys::clock::now());
    CHECK(deadline_after(std::chrono::hours{3'000'000}) == zcpool::sys::clock::time_point::max());
}

TEST_CASE("futex: a deadline in the past ends the wait at once", "[sys]") {
    word_type word{5};
    const auto before = clock::now();
    CHECK(futex_wait(word, 5, any_mask, before - 1s) == wait_status::timed_out);
    CHECK(futex_wait(word, 5, any_mask, clock::time_point{}) == wait_status::timed_out);
    CHECK(futex_wait(word, 5, any_mask, clock::time_point::min()) == wait_status::timed_out);
    CHECK(clock::now() - before < ages);
}

TEST_CASE("futex: a wait lasts until the deadline, and not shorter", "[sys]") {
    word_type word{5};
    for (const auto patience : {1'000us, 20'000us, 1'234us}) {
        const auto deadline = clock::now() + patience;
        CHECK(futex_wait(word, 5, any_mask, deadline) == wait_status::timed_out);
        const auto late = clock::now() - deadline;
        CHECK(late >= 0s);
        CHECK(late < ages);
    }
}

TEST_CASE("futex: signals neither end a wait nor put its deadline off", "[sys]") {
    word_type word{5};
    const interrupts timer;
    const auto deadline = clock::now() + 30ms;
    CHECK(futex_wait(word, 5, any_mask, deadline) == wait_status::timed_out);
    CHECK(clock::now() >= deadline);
    CHECK(clock::now() < deadline + ages);
    CHECK(interrupts::count() > 1);
}

TEST_CASE("futex: a wake-up reaches those with a common bit, and nobody else", "[sys]") {
    word_type word{0};
    waiter first{word, 0b0001};
    waiter second{word, 0b0110};
    wake_until([&] { return second.is_done(); }, word, everybody, 0b0100);
    futex_wake(word, everybody, 0b1000);
    std::this_thread::sleep_for(10ms);
    CHECK_FALSE(first.is_done());
    wake_until([&] { return first.is_done(); }, word, everybody, 0b1001);
    CHECK(first.ended_as() == wait_status::woken);
    CHECK(second.ended_as() == wait_status::woken);
}

TEST_CASE("futex: a wake-up of one wakes one", "[sys]") {
    word_type word{0};
    std::array<waiter, 3> waiters{{{word, 1}, {word, 1}, {word, 1}}};
    const auto awake = [&] {
        int count = 0;
        for (const waiter& each : waiters) {
            count += each.is_done() ? 1 : 0;
        }
        return count;
    };
    futex_wake(word, 1, 1);
    std::this_thread::sleep_for(20ms);
    CHECK(awake() <= 1);
    wake_until([&] { return awake() == 3; }, word, everybody, 1);
}

TEST_CASE("futex: a wake-up with nobody there is nothing, and is not kept", "[sys]") {
    word_type word{0};
    futex_wake(word, everybody, any_mask);
    CHECK(futex_wait(word, 0, any_mask, clock::now() + 5ms) == wait_status::timed_out);
}

TEST_CASE("futex: a call that the system refuses ends the wait like a wake-up", "[sys]") {
    word_type word{0};
    faults broken;
    broken.fail_call(0, ENOSYS);
    CHECK(futex_wait(word, 0, any_mask, clock::now() + ages) == wait_status::woken);
    broken.fail_call(0, EINTR);
    CHECK(futex_wait(word, 0, any_mask, clock::now() + 1ms) == wait_status::timed_out);
    CHECK(faults::calls() == 2);
}

TEST_CASE("misuse: futex: a wait for no bit, which nobody could end, aborts", "[sys]") {
    CHECK(status_of([] {
              word_type word{0};
              static_cast<void>(::freopen("/dev/null", "w", stderr));
              return futex_wait(word, 0, 0, clock::now() + 1s) == wait_status::woken ? 1 : 2;
          }) == -SIGABRT);
}

/// One page of a file that can be mapped again and again, with words in it.
class shared_page {
public:
    shared_page() {
        auto made = zcpool::sys::memfd::create("zcpool-test", zcpool::page_size);
        REQUIRE(made.has_value());
        file_ = std::move(*made);
    }
    [[nodiscard]] zcpool::sys::mapping map() const {
        auto mapped = zcpool::sys::mapping::shared(file_.fd(), zcpool::page_size);
        REQUIRE(mapped.has_value());
        return std::move(*mapped);
    }

private:
    zcpool::sys::memfd file_;
};

/// The word of a mapping with this number. The memory is zero: so are the words.
word_type& word_of(const zcpool::sys::mapping& page, std::size_t number) {
    return reinterpret_cast<word_type*>(page.data())[number];
}

TEST_CASE("futex: a word at two addresses is one word", "[sys]") {
    const shared_page page;
    const auto here = page.map();
    const auto there = page.map();
    REQUIRE(here.data() != there.data());
    waiter sleeper{word_of(here, 3), 1};
    futex_wake(word_of(there, 4), everybody, any_mask);  // the word beside it
    std::this_thread::sleep_for(10ms);
    CHECK_FALSE(sleeper.is_done());
    wake_until([&] { return sleeper.is_done(); }, word_of(there, 3), everybody, 1);
    CHECK(sleeper.ended_as() == wait_status::woken);
}

TEST_CASE("futex: another process that mapped the word elsewhere is woken", "[sys]") {
    const shared_page page;
    const auto here = page.map();
    const auto there = page.map();
    child sleeper{[&] {
        word_of(there, 1).store(1, memory_order_release);
        const auto ended = futex_wait(word_of(there, 0), 0, 0b10, clock::now() + ages);
        word_of(there, 1).store(2, memory_order_release);
        return ended == wait_status::woken ? 0 : 1;
    }};
    while (word_of(here, 1).load(memory_order_acquire) != 1) {
        std::this_thread::yield();
    }
    wait_asleep(sleeper.pid());
    futex_wake(word_of(here, 0), everybody, 0b01);
    std::this_thread::sleep_for(10ms);
    CHECK(word_of(here, 1).load(memory_order_acquire) == 1);
    wake_until([&] { return word_of(here, 1).load(memory_order_acquire) == 2; }, word_of(here, 0),
               everybody, 0b10);
    CHECK(sleeper.status() == 0);
}

TEST_CASE("futex: two processes that hand a word back and forth miss no wake-up",
          "[sys][.stress]") {
    constexpr std::uint32_t rounds = 20'000;
    const shared_page page;
    const auto here = page.map();
    // Each raises the word by one when it is its turn, and sleeps while it is not.
    const auto play = [&](std::uint32_t mine) {
        word_type& word = word_of(here, 0);
        for (std::uint32_t seen = 0; seen < rounds;) {
            seen = word.load(memory_order_acquire);
            if (seen % 2 == mine) {
                word.store(seen + 1, memory_order_release);
                futex_wake(word, 1, 1U << (1 - mine));
            } else if (futex_wait(word, seen, 1U << mine, clock::now() + ages) ==
                       wait_status::timed_out) {
                return 1;
            }
        }
        return 0;
    };
    child other{[&] { return play(1); }};
    CHECK(play(0) == 0);
    CHECK(other.status() == 0);
}

}  // namespace
