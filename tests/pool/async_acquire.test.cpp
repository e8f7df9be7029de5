// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/pool/async_acquire.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::async_acquire;
using zcpool::async_work;
using zcpool::buffer;
using zcpool::errc;
using zcpool::priority;
using zcpool::result;

/// A queue of work that any thread may fill, and whoever wants to runs.
class work_queue {
public:
    void push(async_work work) {
        const std::scoped_lock lock{mutex_};
        work_.push_back(work);
        posted_.notify_one();
    }
    /// Runs what there is. Returns: how many items.
    int run() {
        int count = 0;
        while (const auto next = pop(0s)) {
            (*next)();
            ++count;
        }
        return count;
    }
    /// Runs one item, for which it waits so long. Returns: whether one came.
    bool run_one(std::chrono::milliseconds timeout) {
        const auto next = pop(timeout);
        if (next) {
            (*next)();
        }
        return next.has_value();
    }

private:
    std::optional<async_work> pop(std::chrono::milliseconds timeout) {
        std::unique_lock lock{mutex_};
        if (!posted_.wait_for(lock, timeout, [this] { return !work_.empty(); })) {
            return std::nullopt;
        }
        const async_work next = work_.front();
        work_.pop_front();
        return next;
    }

    std::mutex mutex_;
    std::condition_variable posted_;
    std::deque<async_work> work_;
};

/// The scheduler that a queue is.
struct poster {
    work_queue* to;
    void operator()(async_work work) const { to->push(work); }
};
static_assert(zcpool::async_scheduler<poster> && !zcpool::timed_scheduler<poster>);
static_assert(!zcpool::async_scheduler<work_queue> && !zcpool::async_scheduler<int>);

/// A scheduler that is told of times, too.
struct timed_poster : poster {
    std::vector<zcpool::sys::clock::time_point>* times;
    void retry_at(zcpool::sys::clock::time_point when) const { times->push_back(when); }
};
static_assert(zcpool::timed_scheduler<timed_poster>);

/// A coroutine that runs on its own, and is gone at its end.
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::abort(); }
    };
};

/// Acquires once, and leaves the answer.
template <class Scheduler>
detached acquire_into(std::optional<result<buffer>>& answer, zcpool::pool_view pool,
                      std::size_t bytes, Scheduler scheduler, priority who = priority::normal,
                      std::stop_token stop = {}) {
    answer.emplace(co_await async_acquire{pool, bytes, scheduler, who, stop});
}

using answer = std::optional<result<buffer>>;

bool was_cancelled(const answer& got) {
    return got && !*got && got->error() == std::errc::operation_canceled;
}

TEST_CASE("async_acquire: goes on at once when there is a slot, or never can be", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    answer got;
    acquire_into(got, pool, 1, poster{&queue});
    REQUIRE(got.has_value());
    CHECK(got->has_value());
    answer too_large;
    acquire_into(too_large, pool, 65537, poster{&queue});
    REQUIRE(too_large.has_value());
    CHECK(too_large->error() == errc::too_large);
    CHECK(queue.run() == 0);
}

TEST_CASE("async_acquire: a release posts, and the scheduler resumes with the slot", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    auto slot = pool.try_acquire(1);
    answer got;
    acquire_into(got, pool, 1, poster{&queue});
    CHECK_FALSE(got.has_value());
    CHECK(queue.run() == 0);
    slot.reset();
    CHECK_FALSE(got.has_value());  // not in the thread that released
    CHECK(queue.run() == 1);
    REQUIRE(got.has_value());
    CHECK(got->has_value());
}

TEST_CASE("async_acquire: in a pool that zeroes, a coroutine that waited finds zeroes", "[pool]") {
    const auto pool = make_pool(zeroing_options(1, 1));
    work_queue queue;
    auto slot = pool.try_acquire(1);
    spoil(slot);
    answer got;
    acquire_into(got, pool, 1, poster{&queue});
    slot.reset();
    CHECK(queue.run() == 1);
    REQUIRE(got.has_value());
    CHECK(is_zero(got->value()));
}

TEST_CASE("async_acquire: work that finds that another was faster waits on", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    auto slot = pool.try_acquire(1);
    answer got;
    acquire_into(got, pool, 1, poster{&queue});
    for (int round = 0; round < 3; ++round) {
        slot.reset();
        slot = pool.try_acquire(1);
        CHECK(queue.run() == 1);
        CHECK_FALSE(got.has_value());
    }
    slot.reset();
    CHECK(queue.run() == 1);
    CHECK(got.has_value());
}

TEST_CASE("async_acquire: coroutines of several classes and priorities get what they can use",
          "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}, .reserve = {1}});
    work_queue queue;
    auto small = pool.try_acquire(1);
    auto reserved = pool.acquire(1, priority::urgent);
    auto large = pool.try_acquire(5000);
    answer normal;
    answer urgent;
    answer for_large;
    acquire_into(normal, pool, 1, poster{&queue});
    acquire_into(urgent, pool, 1, poster{&queue}, priority::urgent);
    acquire_into(for_large, pool, 5000, poster{&queue});
    large.reset();
    queue.run();
    CHECK((for_large && *for_large && !normal && !urgent));
    small.reset();
    queue.run();
    CHECK((urgent && *urgent && !normal));
    urgent->value().reset();
    queue.run();
    CHECK_FALSE(normal.has_value());  // went to the reserve
    reserved->reset();
    queue.run();
    CHECK((normal && *normal));
}

TEST_CASE("async_acquire: closing or destroying the pool ends every wait", "[pool]") {
    const held before;
    for (const bool destroys : {false, true}) {
        auto pool = std::make_optional(make_pool({.slots = {1, 1}}));
        work_queue queue;
        auto slot = pool->try_acquire(1);
        std::array<answer, 5> got;
        for (answer& each : got) {
            acquire_into(each, *pool, 1, poster{&queue});
        }
        if (destroys) {
            pool.reset();
        } else {
            pool->close();
        }
        CHECK(queue.run() == 5);
        for (answer& each : got) {
            REQUIRE(each.has_value());
            CHECK(each->error() == errc::closed);
        }
    }
    CHECK(before == held{});
}

TEST_CASE("async_acquire: a stop that is requested ends the wait and hands it on", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    auto slot = pool.try_acquire(1);
    std::stop_source before;
    std::stop_source during;
    std::stop_source notified;
    answer first;
    answer second;
    answer third;
    answer last;
    before.request_stop();
    acquire_into(first, pool, 1, poster{&queue}, priority::normal, before.get_token());
    CHECK(was_cancelled(first));
    acquire_into(second, pool, 1, poster{&queue}, priority::normal, during.get_token());
    acquire_into(third, pool, 1, poster{&queue}, priority::normal, notified.get_token());
    acquire_into(last, pool, 1, poster{&queue});
    CHECK_FALSE(second.has_value());
    during.request_stop();
    CHECK_FALSE(second.has_value());  // in the scheduler's context
    queue.run();
    CHECK(was_cancelled(second));
    CHECK_FALSE(third.has_value());
    slot.reset();  // for the third, which then may take it or leave it
    notified.request_stop();
    queue.run();
    REQUIRE(third.has_value());
    third.reset();
    queue.run();
    REQUIRE(last.has_value());
    CHECK(last->has_value());
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("async_acquire: a wait that never ends may be destroyed", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    auto slot = pool.try_acquire(1);
    {
        async_acquire abandoned{pool, 1, poster{&queue}};
        CHECK(abandoned.await_suspend(std::noop_coroutine()));
    }
    slot.reset();
    CHECK(queue.run() == 0);
    CHECK(pool.try_acquire(1));
}

/// A pool whose only small slot rests over a budget of nothing for a moment.
struct resting {
    resting() {
        auto options = lending_options(2, 1);
        options.lent_budget_permille = 60;  // of 72 KiB: one page
        options.lent_settle_time = 100ms;
        pool.emplace(make_pool(options));
        std::array<buffer, 2> all;
        REQUIRE(pool->acquire_many(1, all) == 2);
        all[0].commit(1);
        all[1].commit(1);
        auto first = std::move(all[0]).freeze();
        auto second = std::move(all[1]).freeze();
        REQUIRE((first.lend() && second.lend()));
        first = {};
        kept = pool->try_acquire(1);  // with which the budget is used up
        REQUIRE(kept);
    }
    std::optional<small_pool> pool;
    buffer kept;
};

TEST_CASE("async_acquire: a scheduler without a clock polls while slots rest over the budget",
          "[pool]") {
    resting slots;
    work_queue queue;
    answer got;
    acquire_into(got, *slots.pool, 1, poster{&queue});
    CHECK_FALSE(got.has_value());
    while (!got && queue.run_one(0ms)) {
    }
    REQUIRE(got.has_value());
    CHECK(got->has_value());
}

TEST_CASE("async_acquire: a scheduler with a clock is told when to look again", "[pool]") {
    resting slots;
    work_queue queue;
    std::vector<zcpool::sys::clock::time_point> times;
    answer got;
    acquire_into(got, *slots.pool, 1, timed_poster{{&queue}, &times});
    CHECK_FALSE(got.has_value());
    CHECK(queue.run() == 0);
    while (!got) {
        REQUIRE(times.size() == 1);
        const auto when = times.back();
        CHECK(when > zcpool::sys::clock::now() - 1s);
        times.clear();
        std::this_thread::sleep_until(when);
        zcpool::slot_watch::retry_waiting(*slots.pool);
        CHECK(queue.run() == 1);
    }
    CHECK(got->has_value());
}

TEST_CASE("async_acquire: a forked child posts nothing, and its waits end as closed", "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    std::stop_source stop;
    auto slot = pool.try_acquire(1);
    answer got;
    acquire_into(got, pool, 1, poster{&queue}, priority::normal, stop.get_token());
    CHECK(status_of([&] {
              slot.reset();
              stop.request_stop();
              answer here;
              acquire_into(here, pool, 1, poster{&queue});
              const bool closed = here && !*here && here->error() == errc::closed;
              return queue.run() == 0 && !got && closed ? 0 : 1;
          }) == 0);
    slot.reset();
    queue.run();
    REQUIRE(got.has_value());
    CHECK(got->has_value());
}

TEST_CASE("misuse: async_acquire: a scheduler that runs work in the call stops with a message",
          "[pool]") {
    const auto pool = make_pool({.slots = {1, 1}});
    CHECK(status_of([] {
              const auto own = small_pool::create({.slots = {1, 1}}).value();
              auto slot = own.try_acquire(1);
              answer got;
              acquire_into(got, own, 1, [](async_work work) { work(); });
              slot.reset();
              return 0;
          }) == -SIGABRT);
}

/// Acquires again and again, a buffer of each size in turn.
detached customer(zcpool::pool_view pool, work_queue& queue, long rounds, std::uint64_t number,
                  std::atomic<std::uint64_t>& sum, std::atomic<long>& open) {
    for (long i = 0; i < rounds; ++i) {
        auto got = co_await async_acquire{pool, i % 4 == 3 ? 5000U : 1U, poster{&queue}};
        if (!got) {
            std::abort();
        }
        got->commit(1);
        sum += number;
        if (i % 3 == 0) {
            // With the slot in hand: whoever runs next finds one less.
            auto other = pool.acquire(1, priority::normal);
        }
    }
    --open;
}

TEST_CASE("async_acquire: more coroutines than slots all get theirs", "[pool]") {
    const auto pool = make_pool({.slots = {2, 1}});
    // Held until all wait: the first release starts them.
    auto small = pool.try_acquire(1);
    auto other = pool.try_acquire(1);
    work_queue queue;
    std::atomic<std::uint64_t> sum{0};
    std::atomic<long> open{100};
    for (std::uint64_t i = 0; i < 100; ++i) {
        customer(pool, queue, 8, i, sum, open);
    }
    CHECK(sum == 0);
    small.reset();
    other.reset();
    queue.run();
    CHECK(open == 0);
    CHECK(sum == 8 * 99 * 100 / 2);
    CHECK(slots_in_use(pool) == 0);
}

/// Holds a slot over a wait for another thread's work, so that others do wait.
detached holder(zcpool::pool_view pool, work_queue& queue, long rounds, std::uint64_t number,
                std::atomic<std::uint64_t>& sum, std::atomic<long>& open) {
    struct hop {
        work_queue& queue;
        std::coroutine_handle<> waiter{};
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) {
            waiter = handle;
            queue.push(
                {[](void* self) noexcept { static_cast<hop*>(self)->waiter.resume(); }, this});
        }
        void await_resume() const noexcept {}
    };
    for (long i = 0; i < rounds; ++i) {
        auto got = co_await async_acquire{pool, number % 4 == 3 ? 5000U : 1U, poster{&queue}};
        if (!got) {
            std::abort();
        }
        sum += number;
        hop next{queue};
        co_await next;
    }
    --open;
}

TEST_CASE("async_acquire: many coroutines on several threads, and nobody waits for ever",
          "[pool][.stress]") {
    for (const std::uint32_t slots : {3U, 32U}) {
        const auto pool = make_pool({.slots = {slots, 2}});
        std::vector<buffer> kept(slots - 3);
        REQUIRE(pool.acquire_many(1, kept) == kept.size());
        const long rounds = scaled(1000);
        constexpr std::uint64_t coroutines = 64;
        work_queue queue;
        std::atomic<std::uint64_t> sum{0};
        std::atomic<long> open{coroutines};
        for (std::uint64_t i = 0; i < coroutines; ++i) {
            holder(pool, queue, rounds, i, sum, open);
        }
        std::vector<std::thread> workers;
        for (int t = 0; t < 3; ++t) {
            workers.emplace_back([&] {
                for (int idle = 0; open > 0 && idle < 600;) {
                    idle = queue.run_one(100ms) ? 0 : idle + 1;
                }
            });
        }
        for (auto& each : workers) {
            each.join();
        }
        CHECK(open == 0);
        CHECK(sum == static_cast<std::uint64_t>(rounds) * coroutines * (coroutines - 1) / 2);
        kept.clear();
        CHECK(slots_in_use(pool) == 0);
    }
}

TEST_CASE("async_acquire: stops that race with releases end every wait once", "[pool][.stress]") {
    const auto pool = make_pool({.slots = {1, 1}});
    work_queue queue;
    std::atomic<bool> over{false};
    std::thread worker{[&] {
        while (!over) {
            queue.run_one(1ms);
        }
    }};
    for (long i = 0; i < scaled(5'000); ++i) {
        auto slot = pool.try_acquire(1);
        REQUIRE(slot);
        std::stop_source stop;
        std::atomic<int> ends{0};
        std::atomic<int> with_slot{0};
        const auto once = [](zcpool::pool_view from, work_queue& on, std::stop_token token,
                             std::atomic<int>& got, std::atomic<int>& ended) -> detached {
            {
                const auto mine = co_await async_acquire{from, 1, poster{&on}, std::move(token)};
                got += mine ? 1 : 0;
            }
            ++ended;
        };
        once(pool, queue, stop.get_token(), with_slot, ends);
        once(pool, queue, {}, with_slot, ends);
        std::thread stopper{[&] { stop.request_stop(); }};
        slot.reset();
        stopper.join();
        while (ends < 2) {
            std::this_thread::yield();
        }
        REQUIRE(with_slot >= 1);
    }
    over = true;
    worker.join();
}

}  // namespace
