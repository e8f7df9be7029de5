// SPDX-License-Identifier: MIT
// The ring of resting slots: an index that was pushed is popped once at most, and is not forgotten
// where nobody died.
#include "harness.hpp"

#include <zcpool/ring/index_ring.hpp>

namespace {

using namespace zcpool_model;
using ring = zcpool::basic_index_ring<zcpool_model::atomic>;

/// Both counters begin here, so that they pass what they can pass while a model runs.
enum class start : std::uint64_t {
    zero = 0,
    sign = (std::uint64_t{1} << 63) - 2,  // the counters' difference is taken as signed
    wrap = std::numeric_limits<std::uint64_t>::max() - 1,
};

/// A ring and `Capacity` indices, each of which is with somebody, inside, or being pushed.
template <std::uint32_t Capacity, start Start, std::uint32_t Cells = ring::cells_for(Capacity)>
struct watched_ring {
    watched_ring() : hints(positions, cells) {
        const auto begin = static_cast<std::uint64_t>(Start);
        positions.head.store(begin, std::memory_order_relaxed);
        positions.tail.store(begin, std::memory_order_relaxed);
        for (std::uint64_t i = begin; i != begin + Cells; ++i) {  // so few lie in their order
            cells[i % Cells].store(i / Cells << 32, std::memory_order_relaxed);
        }
    }

    /// Pushes an index that the caller has; it has it still where the ring was full.
    bool push(std::uint32_t index) {
        RL_ASSERT(!inside[index]);
        inside[index] = true;  // before: from its first step on, push() may be overtaken by a pop()
        if (!hints.push(index)) {
            RL_ASSERT(inside[index]);
            inside[index] = false;
            return false;
        }
        return true;
    }
    /// Pops an index, which then is the caller's alone.
    std::uint32_t pop() {
        const auto index = hints.pop();
        if (index != zcpool::no_index) {
            RL_ASSERT(index < Capacity);
            RL_ASSERT(inside[index]);
            inside[index] = false;
        }
        return index;
    }
    /// What is inside and in no cell.
    int lost() const {
        int count = 0;
        for (std::uint32_t index = 0; index < Capacity; ++index) {
            const auto cells_with_it =
                std::count_if(cells, cells + cell_count, [index](const ring::cell& cell) {
                    return static_cast<std::uint32_t>(cell.newest()) == index + 1;
                });
            RL_ASSERT(cells_with_it <= (inside[index] ? 1 : 0));
            count += inside[index] && cells_with_it == 0 ? 1 : 0;
        }
        return count;
    }
    /// When all is quiet: whether popping finds everything that is inside.
    bool can_be_emptied() {
        while (pop() != zcpool::no_index) {
        }
        return std::find(inside, inside + Capacity, true) == inside + Capacity;
    }

    /// When all is quiet: the ring can be emptied, and then takes an index and gives one. What it
    /// finds in a cell of which the reader was late for a lap may come instead.
    void check_still_works() {
        while (pop() != zcpool::no_index) {
        }
        RL_ASSERT(positions.head.newest() == positions.tail.newest());
        const auto free = std::find(inside, inside + Capacity, false);
        if (free != inside + Capacity) {
            static_cast<void>(push(static_cast<std::uint32_t>(free - inside)));
            RL_ASSERT(pop() != zcpool::no_index);
        }
    }

    static constexpr auto cell_count = Cells;
    ring::counters positions;
    ring::cell cells[cell_count];
    ring hints;
    bool inside[Capacity] = {};
};

/// What each thread has.
struct hand {
    std::uint32_t mine[6];
    unsigned count = 0;
    bool pushing = false;
    bool popping = false;
};

/// Takes an index or gives one back, `steps` times.
template <class Watched>
void mix(Watched& watched, hand& me, int steps) {
    for (int step = 0; step < steps; ++step) {
        if (me.count != 0 && any_below(2) == 0) {
            me.pushing = true;
            me.count -= watched.push(me.mine[me.count - 1]) ? 1 : 0;
            me.pushing = false;
        } else {
            me.popping = true;
            if (const auto index = watched.pop(); index != zcpool::no_index) {
                me.mine[me.count++] = index;
            }
            me.popping = false;
        }
    }
}

/// Three threads, six steps each. Where a reader was stopped for a lap, what a writer puts into its
/// cell may stay there until the next lap. So "nothing is lost" means: what is inside is in a cell,
/// each once.
template <std::uint32_t Capacity, start Start = start::zero>
struct mixed : rl::test_suite<mixed<Capacity, Start>, 3> {
    watched_ring<Capacity, Start> watched;
    hand hands[3];

    void before() {
        for (std::uint32_t index = 0; index < Capacity; ++index) {
            RL_ASSERT(watched.push(index));
        }
    }
    void thread(unsigned thread) { mix(watched, hands[thread], 6); }
    void after() {
        RL_ASSERT(watched.lost() == 0);
        watched.check_still_works();
    }
};

/// As above, and up to three threads die: each loses what it was pushing or popping at most.
template <std::uint32_t Capacity, start Start = start::zero>
struct with_deaths : rl::test_suite<with_deaths<Capacity, Start>, 3> {
    watched_ring<Capacity, Start> watched;
    hand hands[3];

    void before() {
        for (std::uint32_t index = 0; index < Capacity; ++index) {
            RL_ASSERT(watched.push(index));
        }
    }
    void thread(unsigned thread) {
        survives(any_point(80), [this, thread] { mix(watched, hands[thread], 6); });
    }
    void after() {
        const auto died = std::count_if(
            hands, hands + 3, [](const hand& each) { return each.pushing || each.popping; });
        RL_ASSERT(watched.lost() <= died);
    }
};

/// For searches: one that pushes, one that pops, one that does both. Where no cell is used twice
/// (`Cells` of 8), popping finds all that is inside.
template <std::uint32_t Cells, start Start = start::zero>
struct pipeline : rl::test_suite<pipeline<Cells, Start>, 3> {
    watched_ring<2, Start, Cells> watched;

    void before() { RL_ASSERT(watched.push(0)); }
    void thread(unsigned thread) {
        if (thread == 0) {
            static_cast<void>(watched.push(1));
        } else if (const auto index = watched.pop(); index != zcpool::no_index && thread == 2) {
            static_cast<void>(watched.push(index));
        }
    }
    void after() {
        RL_ASSERT(watched.lost() == 0);
        RL_ASSERT(Cells < 8 || watched.can_be_emptied());
    }
};

/// For searches: a writer that a reader was faster than puts its index where it is found.
template <start Start>
struct late_writer : rl::test_suite<late_writer<Start>, 2> {
    watched_ring<2, Start> watched;

    void thread(unsigned thread) {
        if (thread == 0) {
            RL_ASSERT(watched.push(0));
        } else {
            static_cast<void>(watched.pop());
        }
    }
    void after() { RL_ASSERT(watched.can_be_emptied()); }
};

/// For searches: a writer that comes to the cell of a reader that was stopped overwrites nothing.
struct late_reader : rl::test_suite<late_reader, 2> {
    watched_ring<2, start::zero> watched;

    void before() {
        RL_ASSERT(watched.push(0));
        RL_ASSERT(watched.push(1));
    }
    void thread(unsigned thread) {
        const auto index = watched.pop();
        if (thread == 1 && index != zcpool::no_index) {
            static_cast<void>(watched.push(index));
        }
    }
    void after() { RL_ASSERT(watched.lost() == 0); }
};

/// For searches: a full ring takes nothing, and as much as was taken from it.
struct full : rl::test_suite<full, 2> {
    watched_ring<3, start::wrap, 2> watched;

    void before() {
        RL_ASSERT(watched.push(0));
        RL_ASSERT(watched.push(1));
        RL_ASSERT(!watched.push(2));
    }
    void thread(unsigned thread) {
        if (thread == 0) {
            static_cast<void>(watched.push(2));
        } else {
            static_cast<void>(watched.pop());
        }
    }
    void after() {
        RL_ASSERT(watched.lost() == 0);
        watched.check_still_works();
    }
};

/// For searches: in order of arrival, as one producer and one consumer see it.
struct in_order : rl::test_suite<in_order, 2> {
    watched_ring<2, start::wrap> watched;
    std::uint32_t next = 0;

    void thread(unsigned thread) {
        if (thread == 0) {
            RL_ASSERT(watched.push(0));
            RL_ASSERT(watched.push(1));
            return;
        }
        for (int tries = 0; tries < 3; ++tries) {
            if (const auto index = watched.pop(); index != zcpool::no_index) {
                RL_ASSERT(index >= next);
                next = index + 1;
            }
        }
    }
    void after() { RL_ASSERT(watched.lost() == 0); }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n1", mixed<1>>(500'000),
                         random_case<"n2", mixed<2>>(500'000),
                         random_case<"n3", mixed<3>>(500'000),
                         random_case<"n4", mixed<4>>(500'000),
                         random_case<"wrap", mixed<2, start::wrap>>(500'000),
                         random_case<"wrap_sign", mixed<2, start::sign>>(500'000),
                         random_case<"deaths", with_deaths<2, start::wrap>>(500'000),
                         random_case<"deaths_n4", with_deaths<4>>(500'000),
                         search_case<"search_pipeline", pipeline<2>>(2),
                         search_case<"search_pipeline_wrap", pipeline<2, start::wrap>>(2),
                         search_case<"search_pipeline_long", pipeline<8, start::wrap>>(2),
                         search_case<"search_late_writer", late_writer<start::zero>>(4),
                         search_case<"search_late_writer_wrap", late_writer<start::wrap>>(4),
                         search_case<"search_late_reader", late_reader>(3),
                         search_case<"search_full", full>(4),
                         search_case<"search_in_order", in_order>(3),
                     });
}
