// SPDX-License-Identifier: MIT

// "exhausted" is the truth: no slot was free all through the call. Every call of every thread is
// recorded with its interval, and looked at afterwards, when it is known which slot went where: a
// slot is free for certain from the end of a release to the beginning of the acquire that got it
// next. An answer that lies inside such a time is false. That needs no stopping of the others, sees
// every answer, and holds for slots that wait in a thread's cache, whose words say "owned".

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

#include "history.hpp"
#include "stepping.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::buffer;

struct interval {
    std::uint64_t begin;
    std::uint64_t end;
};

/// The times in which a slot was free for certain. `own` are its acquires and releases.
///
/// They alternate, though the next acquire may be over before the release that made it possible
/// is: the slot went over between the beginning of the release and the end of the acquire.
std::vector<interval> free_times(std::uint64_t begin, history own) {
    const auto known = [](const operation& each) {
        return each.what == act::release ? each.begin : each.end;
    };
    std::sort(own.begin(), own.end(), [known](const operation& a, const operation& b) {
        return known(a) != known(b) ? known(a) < known(b)
                                    : a.what == act::acquire && b.what == act::release;
    });
    std::vector<interval> times;
    std::uint64_t free_since = begin;
    for (const operation& each : own) {
        if (each.what == act::release) {
            free_since = each.end;
        } else if (each.begin > free_since) {
            times.push_back({free_since, each.begin});
        }
    }
    return times;
}

/// Returns: how many answers of "exhausted" lie within a time in which one slot was free.
long false_answers(std::uint32_t slots, std::uint64_t begin, const history& all) {
    long wrong = 0;
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
        history own;
        std::copy_if(all.begin(), all.end(), std::back_inserter(own), [slot](const auto& each) {
            return each.what != act::was_full && each.value == slot;
        });
        const auto times = free_times(begin, std::move(own));
        for (const operation& each : all) {
            if (each.what == act::was_full) {
                // The last free time that begins before the answer does.
                auto after = std::upper_bound(
                    times.begin(), times.end(), each.begin,
                    [](std::uint64_t time, const interval& one) { return time < one.begin; });
                wrong += after != times.begin() && (--after)->end > each.end ? 1 : 0;
            }
        }
    }
    return wrong;
}

TEST_CASE("oracle: tells a false `exhausted` from a true one", "[exhausted]") {
    const auto at = [](std::uint64_t begin, std::uint64_t end, act what) {
        return operation{begin, end, 0, what, 0};
    };
    CHECK(false_answers(1, 0,
                        {at(10, 11, act::acquire), at(12, 13, act::was_full),
                         at(14, 15, act::release)}) == 0);
    // Free before the first acquire, and between a release and the next acquire.
    CHECK(false_answers(1, 0, {at(2, 3, act::was_full), at(10, 11, act::acquire)}) == 1);
    CHECK(false_answers(1, 0,
                        {at(10, 11, act::acquire), at(12, 13, act::release),
                         at(14, 16, act::was_full), at(17, 18, act::acquire)}) == 1);
    // Overlapping the release, or the acquire: may be true.
    CHECK(false_answers(1, 0,
                        {at(10, 11, act::acquire), at(12, 15, act::release),
                         at(14, 16, act::was_full), at(17, 18, act::acquire)}) == 0);
    CHECK(false_answers(1, 0,
                        {at(10, 11, act::acquire), at(12, 13, act::release),
                         at(14, 19, act::was_full), at(17, 18, act::acquire)}) == 0);
}

/// What happens beside taking and giving back.
struct disturbance {
    bool may_rest = false;  ///< slots are lent at times, and rest
    bool stops = false;     ///< calls are stopped in the middle at times
};

/// Threads that take and give back, so many that some answers must be "exhausted".
void check(unsigned threads, std::uint32_t slots, long operations, disturbance with = {}) {
    const auto [may_rest, stops] = with;
    const stepping handler;
    auto options = lending_options(slots, 1);
    options.lending = may_rest ? zcpool::lending::cached : zcpool::lending::never;
    const auto pool = make_pool(options);
    std::vector<buffer> taken(slots);
    REQUIRE(pool.acquire_many(1, taken) == slots);
    const std::byte* first = taken[0].data();
    for (const buffer& each : taken) {
        first = std::min(first, each.data());
    }
    taken.clear();
    long answers = 0;
    long wrong = 0;
    long done = 0;
    const long each_time = std::min(operations, 200'000L) / threads;
    while (done < operations) {
        std::vector<history> own(threads);
        const std::uint64_t begin = moment();
        run_together(threads, [&](unsigned number) {
            dice random{number + static_cast<std::uint64_t>(done) + 1};
            own[number].reserve(2 * static_cast<std::size_t>(each_time));
            for (long n = 0; n < each_time; ++n) {
                buffer held;
                operation call;
                call.begin = moment();
                stop_at_times(stops ? 8 : 0, random, [&] { held = pool.try_acquire(1); });
                call.end = moment();
                call.what = held ? act::acquire : act::was_full;
                if (held) {
                    call.value = static_cast<std::uint32_t>((held.data() - first) / 4096);
                }
                own[number].push_back(call);
                if (random.below(64) == 0) {
                    std::this_thread::yield();
                }
                if (held) {
                    call.what = act::release;
                    call.begin = moment();
                    if (may_rest && random.below(8) == 0) {
                        held.commit(1);
                        static_cast<void>(std::move(held).freeze().lend());
                    }
                    stop_at_times(stops ? 8 : 0, random, [&] { held.reset(); });
                    call.end = moment();
                    own[number].push_back(call);
                }
            }
        });
        history all;
        for (const history& each : own) {
            all.insert(all.end(), each.begin(), each.end());
        }
        answers += std::count_if(all.begin(), all.end(),
                                 [](const auto& each) { return each.what == act::was_full; });
        wrong += false_answers(slots, begin, all);
        done += each_time * static_cast<long>(threads);
    }
    std::printf("%u threads, %u slots%s%s: %ld calls, %ld times exhausted, %ld falsely\n", threads,
                slots, may_rest ? " that rest" : "", stops ? ", stopped at times" : "", done,
                answers, wrong);
    CHECK(wrong == 0);
}

TEST_CASE("pool: `exhausted` is never said while a slot is free", "[exhausted]") {
    check(8, 2, scaled(5'000'000));
    check(3, 1, scaled(300'000));
    check(3, 2, scaled(300'000));
    check(64, 8, scaled(300'000));
}

TEST_CASE("pool: `exhausted` is never said while a slot rests and may be renewed", "[exhausted]") {
    check(8, 2, scaled(100'000), {.may_rest = true});
}

TEST_CASE("pool: `exhausted` is never said while a slot is free and others are stopped",
          "[exhausted]") {
    check(3, 1, scaled(10'000), {.stops = true});
    check(3, 2, scaled(10'000), {.stops = true});
    check(4, 3, scaled(10'000), {.stops = true});
    check(4, 2, scaled(5'000), {.may_rest = true, .stops = true});
}

}  // namespace
