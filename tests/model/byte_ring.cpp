// SPDX-License-Identifier: MIT
// The ring of bytes: what is committed is seen whole, what is consumed is overwritten only then.
#include "harness.hpp"
#include "watched_ring.hpp"

namespace {

using namespace zcpool_model;

inline constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();

/// Each tries so often, with ranges of any length.
template <std::size_t Capacity, std::uint64_t Begin = 0>
struct streams : rl::test_suite<streams<Capacity, Begin>, 2> {
    watched_ring<Capacity, Begin> ring;

    void thread(unsigned side) {
        for (int step = 0; step < 8; ++step) {
            const unsigned most = 1 + any_below(Capacity);
            const unsigned least = 1 + any_below(most);
            if (side == 0) {
                ring.write(least, most);
            } else {
                ring.read(least, most);
            }
        }
    }
    void after() {
        while (ring.read(1, Capacity) != 0) {
        }
        RL_ASSERT(ring.was_read == ring.written);
        RL_ASSERT(ring.writer.space(Capacity).size() == Capacity);
    }
};

/// As streams, where either side dies: the other one goes on with what was handed over.
template <std::size_t Capacity>
struct with_deaths : rl::test_suite<with_deaths<Capacity>, 2> {
    watched_ring<Capacity, last - 3> ring;

    void thread(unsigned side) {
        survives(any_point(24), [&] {
            for (int step = 0; step < 8; ++step) {
                if (side == 0) {
                    ring.write(1, Capacity);
                } else {
                    ring.read(1, 1 + any_below(Capacity));
                }
            }
        });
    }
};

/// For searches: three messages of two bytes through four.
struct three_messages : rl::test_suite<three_messages, 2> {
    watched_ring<4, last - 3> ring;

    void thread(unsigned side) {
        for (int step = 0; step < 3; ++step) {
            if (side == 0) {
                ring.write(2, 2);
            } else {
                ring.read(1, 2);
            }
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n1", streams<1>>(500'000),
                         random_case<"n2", streams<2>>(500'000),
                         random_case<"n4", streams<4>>(500'000),
                         random_case<"wrap", streams<4, last - 5>>(500'000),
                         random_case<"deaths", with_deaths<2>>(500'000),
                         search_case<"search_three_messages", three_messages>(4),
                     });
}
