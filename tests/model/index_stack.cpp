// SPDX-License-Identifier: MIT
// The stack of magazines: an index is with one owner at a time, and what its last owner wrote is
// seen by the next.
#include "harness.hpp"

#include <zcpool/ring/index_stack.hpp>

namespace {

using namespace zcpool_model;
using stack = zcpool::basic_index_stack<zcpool_model::atomic>;

/// A stack of `Capacity` indices and the object of each, which Relacy watches for races.
template <std::uint32_t Capacity, std::uint64_t FirstTag>
struct watched_stack {
    watched_stack() : indices(top, links) {
        top.store(FirstTag << 32, std::memory_order_relaxed);
        for (auto& object : objects) {
            object($) = 0;
        }
    }

    void push(std::uint32_t index) {
        RL_ASSERT(!inside[index]);
        objects[index]($) = objects[index]($) + 1;
        inside[index] = true;
        indices.push(index);
    }
    std::uint32_t pop() {
        const auto index = indices.pop();
        if (index != zcpool::no_index) {
            RL_ASSERT(index < Capacity);
            RL_ASSERT(inside[index]);
            inside[index] = false;
            objects[index]($) = objects[index]($) + 1;
        }
        return index;
    }
    void check_nothing_lost() {
        while (pop() != zcpool::no_index) {
        }
        RL_ASSERT(std::find(inside, inside + Capacity, true) == inside + Capacity);
    }

    stack::top_word top;
    stack::link links[Capacity];
    stack indices;
    rl::var<int> objects[Capacity];
    bool inside[Capacity] = {};
};

inline constexpr std::uint64_t last_tag = std::numeric_limits<std::uint32_t>::max();

/// Three threads, six steps each.
template <std::uint32_t Capacity, std::uint64_t FirstTag = 0>
struct mixed : rl::test_suite<mixed<Capacity, FirstTag>, 3> {
    watched_stack<Capacity, FirstTag> watched;

    void before() {
        for (std::uint32_t index = 0; index < Capacity; ++index) {
            watched.push(index);
        }
    }
    void thread(unsigned) {
        std::uint32_t mine[6];
        unsigned count = 0;
        for (int step = 0; step < 6; ++step) {
            if (count != 0 && any_below(2) == 0) {
                // Any of them: an index that comes back in another order is what the tag is for.
                std::swap(mine[any_below(count)], mine[count - 1]);
                watched.push(mine[--count]);
            } else if (const auto index = watched.pop(); index != zcpool::no_index) {
                mine[count++] = index;
            }
        }
    }
    void after() { watched.check_nothing_lost(); }
};

/// For searches: one takes two and puts the first back, while another takes one.
struct comes_back : rl::test_suite<comes_back, 2> {
    watched_stack<3, last_tag - 2> watched;

    void before() {
        for (const std::uint32_t index : {2U, 1U, 0U}) {
            watched.push(index);
        }
    }
    void thread(unsigned thread) {
        const auto first = watched.pop();
        if (thread == 1) {
            static_cast<void>(watched.pop());
            watched.push(first);
        }
    }
    void after() { watched.check_nothing_lost(); }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n1", mixed<1>>(500'000),
                         random_case<"n2", mixed<2>>(500'000),
                         random_case<"n3", mixed<3>>(500'000),
                         random_case<"wrap", mixed<3, last_tag - 3>>(500'000),
                         search_case<"search_comes_back", comes_back>(4),
                     });
}
