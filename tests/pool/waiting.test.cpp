// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <thread>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <zcpool/pool/waiting.hpp>

namespace {

using namespace zcpool;
using namespace std::chrono_literals;

TEST_CASE("waiting: nobody is woken, and nothing called, where nobody waits", "[pool]") {
    atomic<std::uint32_t> sequence;
    const atomic<std::uint32_t> waiters;
    wait_list list{sequence};
    zcpool_test::faults counting;
    counting.fail_call(1000, EIO);
    list.wake_one(0, waiters);
    CHECK(zcpool_test::faults::calls() == 0);
    CHECK(list.ticket() == 0);
}

TEST_CASE("waiting: a wake-up between the ticket and the sleep is not slept through", "[pool]") {
    atomic<std::uint32_t> sequence;
    atomic<std::uint32_t> waiters;
    wait_list list{sequence};
    wait_list::enter(waiters);
    const auto ticket = list.ticket();
    list.wake_one(3, waiters);
    CHECK(list.ticket() != ticket);
    list.sleep(ticket, 1U << 3, sys::clock::time_point::max());  // for ever, if it slept
}

TEST_CASE("waiting: a sleep ends at its deadline", "[pool]") {
    atomic<std::uint32_t> sequence;
    wait_list list{sequence};
    const auto deadline = sys::clock::now() + 5ms;
    list.sleep(list.ticket(), 1, deadline);
    CHECK(sys::clock::now() >= deadline);
    list.sleep(list.ticket(), 1, sys::clock::time_point{});
}

TEST_CASE("waiting: who entered counts until it leaves", "[pool]") {
    atomic<std::uint32_t> waiters;
    wait_list::enter(waiters);
    wait_list::enter(waiters);
    CHECK(waiters.load(std::memory_order_relaxed) == 2);
    wait_list::leave(waiters);
    wait_list::leave(waiters);
    CHECK(waiters.load(std::memory_order_relaxed) == 0);
}

}  // namespace
