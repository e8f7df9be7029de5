// SPDX-License-Identifier: MIT
#pragma once

// Recording histories of three threads, with operations that are stopped in the middle.

#include <sched.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "history.hpp"
#include "stepping.hpp"
#include "team.hpp"

namespace zcpool_test {

inline constexpr unsigned thread_count = 3;
inline constexpr int operations_each = 20;

/// Three threads that record one history after the other. They stay, as threads of a program do:
/// what a thread caches between its calls is part of what is tested.
///
/// A third of the operations is stopped at an instruction inside, until others have done some: on
/// two busy processors operations of 50 ns would hardly ever overlap by themselves.
class recorder {
public:
    using body = std::function<void(recorder&, unsigned)>;

    explicit recorder(body one_thread) : body_(std::move(one_thread)) {
        for (unsigned number = 0; number < thread_count; ++number) {
            histories_[number].reserve(4 * operations_each);
            random_[number] = dice{number + 1};
            threads_.emplace_back([this, number] { work(number); });
        }
    }
    recorder(const recorder&) = delete;
    recorder& operator=(const recorder&) = delete;
    ~recorder() {
        over_.store(true);
        round_.fetch_add(1);
        round_.notify_all();
        for (auto& each : threads_) {
            each.join();
        }
    }

    /// Lets all threads run once.
    history run() {
        running_.store(0);
        round_.fetch_add(1);
        round_.notify_all();
        for (long now = ended_.load(); now != thread_count; now = ended_.load()) {
            ended_.wait(now);
        }
        ended_.store(0);
        history all;
        for (history& each : histories_) {
            all.insert(all.end(), each.begin(), each.end());
        }
        return all;
    }

    dice& random(unsigned number) noexcept { return random_[number]; }

    /// Records one operation of thread `number`, and at times stops it in the middle.
    template <class Call>
    void operate(unsigned number, Call&& call) {
        dice& random = random_[number];
        operation done;
        if (random.below(3) == 0) {
            // Up to 512 instructions, the first ones most often.
            stop_plan plan{random.below(1U << (3 + random.below(7))), &recorder::on_stop, this};
            done.begin = moment();
            stepping::run(plan, [&] { call(done); });
            done.end = moment();
        } else {
            done.begin = moment();
            call(done);
            done.end = moment();
        }
        histories_[number].push_back(done);
        completed_.fetch_add(1);
        if (random.below(4) == 0) {
            std::this_thread::yield();
        }
    }

    [[nodiscard]] long stops() const noexcept { return stops_.load(); }

private:
    static void on_stop(void* self) { static_cast<recorder*>(self)->wait_for_others(); }

    /// Until others have done a few operations, or cannot, or half a millisecond.
    void wait_for_others() noexcept {
        const long wanted = completed_.load() + 1 + stops_.fetch_add(1) % 6;
        const auto limit = steady::now() + 500us;
        stopped_.fetch_add(1);
        while (completed_.load() < wanted && stopped_.load() < running_.load() &&
               steady::now() < limit) {
            ::sched_yield();
        }
        stopped_.fetch_sub(1);
    }

    void work(unsigned number) {
        for (long seen = 0;; ++seen) {
            round_.wait(seen);
            if (over_.load()) {
                return;
            }
            histories_[number].clear();
            running_.fetch_add(1);
            while (running_.load() < thread_count && ended_.load() == 0) {
                std::this_thread::yield();
            }
            body_(*this, number);
            running_.fetch_sub(1);
            if (ended_.fetch_add(1) + 1 == thread_count) {
                ended_.notify_one();
            }
        }
    }

    stepping handler_;
    body body_;
    std::array<history, thread_count> histories_;
    std::array<dice, thread_count> random_{dice{1}, dice{2}, dice{3}};
    std::atomic<long> round_{0};
    std::atomic<long> running_{0};
    std::atomic<long> ended_{0};
    std::atomic<long> completed_{0};
    std::atomic<long> stopped_{0};
    std::atomic<long> stops_{0};
    std::atomic<bool> over_{false};
    std::vector<std::thread> threads_;
};

}  // namespace zcpool_test
