// SPDX-License-Identifier: MIT
#pragma once

// Waiting for a slot in a coroutine, on whatever runs it.
//
// What a release posts to the scheduler is a pointer's worth of work, which tries to take a slot
// there and resumes the coroutine when it has one. At most one such item of a wait is with the
// scheduler at any time, so that none can come to a coroutine that has gone on: an item that finds
// nothing arms the watch again as its last act, and only an armed watch posts.

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <new>
#include <source_location>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/slot_watch.hpp>
#include <zcpool/sys/futex.hpp>

#if !defined(__cpp_lib_jthread)
#error "zcpool needs std::stop_token, which libc++ before 20 has with -fexperimental-library only"
#endif

namespace zcpool {

/// What a scheduler is given to call once, in its own context.
struct async_work {
    void (*run)(void* waiter) noexcept;
    void* waiter;

    void operator()() const noexcept { run(waiter); }
};
static_assert(std::is_trivially_copyable_v<async_work>, "fits any queue");

/// Takes work and runs it soon: from its own loop or thread, not in the call, and without holding a
/// lock that the call takes. Called by any thread, as slot_watch's callback is, so it must not
/// fail. A pointer's worth: copied into each wait.
template <class T>
concept async_scheduler = std::is_nothrow_copy_constructible_v<T> && std::invocable<T&, async_work>;

/// A scheduler that keeps time: `retry_at(when)` has slot_watch::retry_waiting() called for the
/// pools it serves at `when`, or soon after. Called where the coroutine runs.
template <class T>
concept timed_scheduler =
    async_scheduler<T> && requires(T& scheduler) { scheduler.retry_at(sys::clock::time_point{}); };

/// A buffer for a coroutine that waits until there is one:
///
///     result<buffer> frame = co_await async_acquire{pool, 48'000, scheduler};
///
/// The coroutine goes on at once when there is a slot, else in the scheduler's context. The wait is
/// in the coroutine's frame and allocates nothing.
///
/// Errors: `too_large`, `closed` (also when the pool is closed or destroyed meanwhile),
/// std::errc::operation_canceled when a stop was requested.
/// Limits: slots that rest over the budget come back without a release, and nobody hears of one in
/// another process that shares the pool. A timed_scheduler is told when to look; any other is given
/// the work again at once, and so polls while that lasts.
/// Sharing: stop may be requested by any thread. Not by the scheduler's call.
/// Not for: a coroutine that is destroyed while its work is with the scheduler: request a stop and
/// let it end.
template <class Scheduler>
class [[nodiscard]] async_acquire {
    static_assert(async_scheduler<Scheduler>,
                  "async_acquire: the scheduler is called with an async_work, and copied");

public:
    /// For a slot of at least `bytes`; `scheduler` resumes who waits. Does not wait yet.
    async_acquire(pool_view pool, std::size_t bytes, Scheduler scheduler,
                  priority who = priority::normal, std::stop_token stop = {},
                  std::source_location where = std::source_location::current()) noexcept
        : scheduler_(std::move(scheduler)),
          stop_(std::move(stop)),
          where_(where),
          watch_(pool, bytes, &post_from, this, who) {}
    /// Likewise at normal priority.
    async_acquire(pool_view pool, std::size_t bytes, Scheduler scheduler, std::stop_token stop,
                  std::source_location where = std::source_location::current()) noexcept
        : async_acquire(pool, bytes, std::move(scheduler), priority::normal, std::move(stop),
                        where) {}
    async_acquire(const async_acquire&) = delete;
    async_acquire& operator=(const async_acquire&) = delete;
    ~async_acquire() {
        if (has_on_stop_) {
            on_stop_.~stop_callback();
        }
    }

    /// For `co_await`.
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    /// Tries once more, and waits if there is none.
    /// Returns: false, and goes on at once, when there is an answer already.
    [[nodiscard]] bool await_suspend(std::coroutine_handle<> waiter) noexcept {
        waiter_ = waiter;
        if (stop_.stop_possible() && !has_on_stop_) {
            // Comes too early to do anything when a stop was requested before; try_again() looks.
            new (&on_stop_) std::stop_callback{stop_, interrupt{this}};
            has_on_stop_ = true;
        }
        return !try_again();
    }
    /// A buffer, or why there is none.
    [[nodiscard]] result<buffer> await_resume() noexcept { return std::move(taken_); }

private:
    /// Wakes the wait up to see that a stop was requested.
    struct interrupt {
        async_acquire* to;
        void operator()() const noexcept { to->watch_.interrupt(); }
    };

    static void post_from(void* self) noexcept { static_cast<async_acquire*>(self)->post(); }
    static void run(void* self) noexcept {
        auto& waiting = *static_cast<async_acquire*>(self);
        if (waiting.try_again()) {
            waiting.waiter_.resume();
        }
    }

    void post() noexcept {
        // The work may run, and end the wait, before the call returns.
        Scheduler scheduler = scheduler_;
        scheduler(async_work{&run, this});
    }

    /// Returns: whether the wait is over. Otherwise somebody else may have it already.
    [[nodiscard]] bool try_again() noexcept {
        for (;;) {
            taken_ = watch_.look(where_);
            if (taken_ || taken_.error() != errc::exhausted) {
                return true;
            }
            if (stop_.stop_requested()) {
                watch_.cancel();
                taken_ = fail(std::make_error_code(std::errc::operation_canceled));
                return true;
            }
            if (const auto after = watch_.retry_after(); after.count() != 0) {
                if constexpr (timed_scheduler<Scheduler>) {
                    scheduler_.retry_at(sys::clock::now() + after);
                } else {
                    watch_.hold_callbacks();
                    post();
                    return false;
                }
            }
            if (watch_.arm()) {
                return false;
            }
        }
    }

    Scheduler scheduler_;
    std::stop_token stop_;
    std::source_location where_;
    std::coroutine_handle<> waiter_;
    result<buffer> taken_;
    slot_watch watch_;
    // Behind what it interrupts. No std::optional, whose emplace() g++ 14 takes for a use of what
    // was not initialised.
    union {
        std::stop_callback<interrupt> on_stop_;
    };
    bool has_on_stop_ = false;
};

}  // namespace zcpool
