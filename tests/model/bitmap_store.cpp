// SPDX-License-Identifier: MIT
// The free store: what was pushed is popped once, and found when all is quiet.
#include "harness.hpp"

#include <zcpool/ring/free_store.hpp>

namespace {

using namespace zcpool_model;
using store = zcpool::basic_bitmap_store<zcpool_model::atomic>;

/// A store of `Capacity` indices, and how often each of them stands in it.
template <std::uint32_t Capacity>
struct watched_store {
    watched_store() : hints(memory, Capacity) {}

    /// Pushes an index that the caller has.
    void push(std::uint32_t index) {
        ++inside[index];  // before: from its first step on, push() may be overtaken by a pop()
        RL_ASSERT(inside[index] == 1);
        hints.push(index);
    }
    /// Pops an index, which then is the caller's alone. Each thread begins at another leaf.
    std::uint32_t pop() {
        const auto index = hints.pop(this_thread());
        if (index != zcpool::no_index) {
            RL_ASSERT(index < Capacity);
            RL_ASSERT(inside[index] == 1);
            --inside[index];
        }
        return index;
    }
    /// The same, several at once.
    void push_many(std::span<const std::uint32_t> indices) {
        for (const auto index : indices) {
            ++inside[index];
            RL_ASSERT(inside[index] == 1);
        }
        hints.push_many(indices);
    }
    std::size_t pop_many(std::span<std::uint32_t> into) {
        const auto count = hints.pop_many(into, this_thread());
        RL_ASSERT(count <= into.size());
        for (const auto index : into.first(count)) {
            RL_ASSERT(index < Capacity);
            RL_ASSERT(inside[index] == 1);
            --inside[index];
        }
        return count;
    }
    /// When all threads are done, all that is inside can be popped.
    void check_nothing_lost() {
        while (pop() != zcpool::no_index) {
        }
        for (const int left : inside) {
            RL_ASSERT(left == 0);
        }
    }

    store::word memory[store::words_for(Capacity)];
    store hints;
    int inside[Capacity] = {};
};

/// Three threads, six steps each: take an index or give one back.
template <std::uint32_t Capacity, std::uint32_t... Indices>
struct mixed : rl::test_suite<mixed<Capacity, Indices...>, 3> {
    watched_store<Capacity> watched;

    void before() { (watched.push(Indices), ...); }
    void thread(unsigned) {
        std::uint32_t mine[6];
        unsigned count = 0;
        for (int step = 0; step < 6; ++step) {
            if (count != 0 && any_below(2) == 0) {
                watched.push(mine[--count]);
            } else if (const auto index = watched.pop(); index != zcpool::no_index) {
                mine[count++] = index;
            }
        }
    }
    void after() { watched.check_nothing_lost(); }
};

/// As above, several indices at once.
template <std::uint32_t Capacity, std::uint32_t... Indices>
struct in_batches : rl::test_suite<in_batches<Capacity, Indices...>, 3> {
    watched_store<Capacity> watched;

    void before() { (watched.push(Indices), ...); }
    void thread(unsigned) {
        std::uint32_t mine[sizeof...(Indices)];
        std::size_t count = 0;
        for (int step = 0; step < 6; ++step) {
            const std::span<std::uint32_t> all{mine};
            if (count != 0 && any_below(2) == 0) {
                watched.push_many(all.first(count));
                count = 0;
            } else {
                const auto room = std::min<std::size_t>(all.size() - count, 1 + any_below(2));
                count += watched.pop_many(all.subspan(count, room));
            }
        }
        watched.push_many(std::span{mine}.first(count));
    }
    void after() {
        for (const std::uint32_t index : {Indices...}) {
            RL_ASSERT(watched.inside[index] == 1);
        }
        watched.check_nothing_lost();
    }
};

/// As mixed, and up to three threads die. Then rebuild() makes whatever living threads pushed be
/// found, and nothing twice. What a thread had, or was about to push or pop, may be lost with it.
template <std::uint32_t Capacity, std::uint32_t... Indices>
struct with_deaths : rl::test_suite<with_deaths<Capacity, Indices...>, 4> {
    watched_store<Capacity> watched;
    // What each thread is at; members, so that they outlive it.
    struct {
        std::uint32_t mine[6];
        unsigned count = 0;
        std::uint32_t pushing = zcpool::no_index;
        bool popping = false;
    } worker[3];

    void before() { (watched.push(Indices), ...); }
    void work(unsigned thread) {
        auto& me = worker[thread];
        for (int step = 0; step < 6; ++step) {
            if (me.count != 0 && any_below(2) == 0) {
                me.pushing = me.mine[--me.count];
                watched.push(me.pushing);
                me.pushing = zcpool::no_index;
            } else {
                me.popping = true;
                const auto index = watched.pop();
                me.popping = false;
                if (index != zcpool::no_index) {
                    me.mine[me.count++] = index;
                }
            }
        }
    }
    void thread(unsigned thread) {
        if (thread == 3) {
            watched.hints.rebuild();  // a sweep beside it all
        } else {
            survives(any_point(60), [this, thread] { work(thread); });
        }
    }
    void after() {
        int may_be_lost = 0;
        for (const auto& each : worker) {
            may_be_lost += each.popping ? 1 : 0;
            if (each.pushing != zcpool::no_index) {
                watched.inside[each.pushing] = 0;
            }
        }
        watched.hints.rebuild();
        for (auto i = watched.hints.pop(); i != zcpool::no_index; i = watched.hints.pop()) {
            RL_ASSERT(watched.inside[i] == 1 || is_pushing(i));
            watched.inside[i] = 0;
        }
        for (const int left : watched.inside) {
            may_be_lost -= left;
        }
        RL_ASSERT(may_be_lost >= 0);
    }
    bool is_pushing(std::uint32_t index) const {
        return std::any_of(worker, worker + 3,
                           [index](const auto& each) { return each.pushing == index; });
    }
};

/// A fixed program of two steps a thread, for searches: the only index moves, and comes again.
struct to_and_fro : rl::test_suite<to_and_fro, 3> {
    watched_store<1> watched;

    void before() { watched.push(0); }
    void thread(unsigned) {
        if (const auto index = watched.pop(); index != zcpool::no_index) {
            watched.push(index);
        }
    }
    void after() {
        RL_ASSERT(watched.inside[0] == 1);
        watched.check_nothing_lost();
    }
};

/// For searches: pushes into a leaf that others find empty, next to a second leaf.
struct two_leaves : rl::test_suite<two_leaves, 3> {
    watched_store<65> watched;

    void before() { watched.push(0); }
    void thread(unsigned thread) {
        switch (thread) {
            case 0: watched.push(64); break;
            case 1: watched.push(1); break;
            default: static_cast<void>(watched.pop());
        }
        static_cast<void>(watched.pop());
    }
    void after() { watched.check_nothing_lost(); }
};

/// For searches: the same index pushed twice is in the store at least once afterwards, and popped
/// at most twice.
struct pushed_twice : rl::test_suite<pushed_twice, 3> {
    store::word memory[store::words_for(1)];
    store hints{memory, 1};
    int pops = 0;

    void thread(unsigned thread) {
        if (thread != 2) {
            hints.push(0);
        } else {
            pops += hints.pop() != zcpool::no_index ? 1 : 0;
        }
    }
    void after() {
        const int before = pops;
        while (hints.pop() != zcpool::no_index) {
            ++pops;
        }
        RL_ASSERT(pops >= 1 && pops <= 2);
        RL_ASSERT(pops - before <= 1);
    }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n1", mixed<1, 0>>(500'000),
                         random_case<"n2", mixed<2, 0, 1>>(500'000),
                         random_case<"n3", mixed<3, 0, 1, 2>>(500'000),
                         random_case<"two_leaves", mixed<128, 0, 64, 127>>(500'000),
                         random_case<"batches", in_batches<128, 0, 1, 2, 64, 127>>(500'000),
                         random_case<"deaths", with_deaths<3, 0, 1, 2>>(500'000),
                         random_case<"deaths_two_leaves", with_deaths<128, 0, 64, 127>>(500'000),
                         search_case<"search_to_and_fro", to_and_fro>(3),
                         search_case<"search_two_leaves", two_leaves>(3),
                         search_case<"search_pushed_twice", pushed_twice>(3),
                     });
}
