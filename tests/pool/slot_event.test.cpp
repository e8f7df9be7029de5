// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/slot_event.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::buffer;
using zcpool::errc;
using zcpool::slot_event;
using zcpool::sys::event_fd;

bool is_readable(const slot_event& event) {
    pollfd wanted{event.fd(), POLLIN, 0};
    return ::poll(&wanted, 1, 0) == 1;
}

/// An epoll instance that knows its events by number.
class poller {
public:
    void add(const slot_event& event, std::uint32_t number) {
        epoll_event wanted{.events = EPOLLIN, .data = {.u32 = number}};
        REQUIRE(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, event.fd(), &wanted) == 0);
    }
    /// Waits for one. Returns: its number, or nothing when the time is up.
    std::optional<std::uint32_t> wait(std::chrono::milliseconds timeout) {
        epoll_event got{};
        const int count = ::epoll_wait(epoll_.get(), &got, 1, static_cast<int>(timeout.count()));
        const std::uint32_t number = got.data.u32;
        return count == 1 ? std::optional{number} : std::nullopt;
    }

private:
    zcpool::sys::unique_fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
};

TEST_CASE("slot_event: readable from a release until the next try", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slot_event event{pool, 1, event_fd::create().value()};
    auto slot = event.try_again();
    REQUIRE(slot.has_value());
    CHECK(event.try_again().error() == errc::exhausted);
    CHECK(event.is_waiting());
    CHECK(event.retry_after() == 0ms);
    CHECK_FALSE(is_readable(event));
    slot->reset();
    CHECK(is_readable(event));
    auto faster = pool.try_acquire(1);
    CHECK(event.try_again().error() == errc::exhausted);
    CHECK_FALSE(is_readable(event));
    faster.reset();
    CHECK(is_readable(event));
    CHECK(event.try_again().has_value());
    CHECK_FALSE(is_readable(event));
    CHECK_FALSE(event.is_waiting());
}

TEST_CASE("slot_event: unreadable once it was cancelled", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slot_event event{pool, 1, event_fd::create().value()};
    slot_event next{pool, 1, event_fd::create().value()};
    auto slot = pool.try_acquire(1);
    CHECK_FALSE(event.try_again());
    CHECK_FALSE(next.try_again());
    slot.reset();
    event.cancel();
    CHECK_FALSE(is_readable(event));
    CHECK_FALSE(event.is_waiting());
    CHECK(is_readable(next));
    event.cancel();
}

TEST_CASE("slot_event: readable when the pool is closed or destroyed, and holds nothing after",
          "[pool]") {
    const held before;
    {
        auto pool = std::make_optional(make_pool({.slots = {1, 1}}));
        slot_event event{*pool, 1, event_fd::create().value()};
        auto slot = pool->try_acquire(1);
        CHECK_FALSE(event.try_again());
        pool.reset();
        CHECK(is_readable(event));
        CHECK(event.try_again().error() == errc::closed);
    }
    CHECK(before == held{});
}

TEST_CASE("slot_event: a forked child leaves the parent's descriptor as it is", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    slot_event event{pool, 1, event_fd::create().value()};
    auto slot = pool.try_acquire(1);
    CHECK_FALSE(event.try_again());
    slot.reset();
    CHECK(status_of([&] {
              const bool closed = event.try_again().error() == errc::closed;
              event.cancel();
              return closed ? 0 : 1;
          }) == 0);
    CHECK(is_readable(event));
    CHECK(event.try_again().has_value());
}

/// A loop of more wishes than slots, which a thread serves by releasing what they got.
void run_loop(zcpool::pool_view pool, std::uint32_t events, long rounds) {
    poller loop;
    std::vector<std::unique_ptr<slot_event>> all;
    std::vector<long> served(events);
    std::deque<buffer> got;
    long open = 0;
    std::uint64_t sum = 0;
    const auto attempt = [&](std::uint32_t number) {
        while (served[number] < rounds) {
            auto next = all[number]->try_again();
            if (!next) {
                REQUIRE(next.error() == errc::exhausted);
                return;
            }
            ++served[number];
            sum += number;
            got.push_back(std::move(*next));
        }
        --open;
    };
    for (std::uint32_t i = 0; i < events; ++i) {
        // Every other one for the larger class.
        all.push_back(
            std::make_unique<slot_event>(pool, i % 2 == 0 ? 1 : 5000, event_fd::create().value()));
        loop.add(*all.back(), i);
        ++open;
        attempt(i);
    }
    while (open > 0) {
        std::deque<buffer> released;
        std::swap(released, got);
        std::thread other{[&] { released.clear(); }};
        auto timeout = 30'000ms;
        for (const auto& each : all) {
            timeout = each->retry_after() == 0ms ? timeout : std::min(timeout, each->retry_after());
        }
        bool any = false;
        for (auto ready = loop.wait(timeout); ready; ready = loop.wait(0ms)) {
            any = true;
            attempt(*ready);
        }
        other.join();
        REQUIRE((any || timeout < 30'000ms));
        for (std::uint32_t i = 0; i < events && timeout < 30'000ms; ++i) {
            if (all[i]->retry_after() != 0ms) {
                attempt(i);
            }
        }
    }
    got.clear();
    CHECK(sum == static_cast<std::uint64_t>(rounds) * events * (events - 1) / 2);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("slot_event: an epoll loop with more wishes than slots serves all", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    run_loop(pool, 16, 10);
}

TEST_CASE("slot_event: loops in several threads share a pool", "[pool][.stress]") {
    const auto pool = make_pool({.slots = {32, 2}});
    std::vector<buffer> kept(28);
    REQUIRE(pool.acquire_many(1, kept) == kept.size());
    std::vector<std::thread> loops;
    std::atomic<long> served{0};
    for (int t = 0; t < 3; ++t) {
        loops.emplace_back([&] {
            slot_event event{pool, 1, event_fd::create().value()};
            pollfd wanted{event.fd(), POLLIN, 0};
            std::vector<buffer> mine;
            for (long i = 0; i < scaled(10'000); ++i) {
                auto got = event.try_again();
                if (got) {
                    ++served;
                    mine.push_back(std::move(*got));
                    if (mine.size() > 2) {
                        mine.clear();
                    }
                    continue;
                }
                mine.clear();
                const auto retry = event.retry_after();
                const int timeout = retry == 0ms ? 60'000 : static_cast<int>(retry.count());
                if (::poll(&wanted, 1, timeout) == 0 && retry == 0ms) {
                    std::abort();  // a notification was lost
                }
            }
        });
    }
    for (auto& each : loops) {
        each.join();
    }
    CHECK(served > 0);
}

}  // namespace
