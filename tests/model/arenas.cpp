// SPDX-License-Identifier: MIT
// Slots in arenas: the real cursor and slot words, with the steps of slab_arenas.hpp and of
// page_renewer::clean_arena(), which are no templates. A slot that was lent is nobody's before its
// whole arena was renewed, an arena is renewed while nobody has a slot of it, and no slot is lost.
#include "harness.hpp"

#include <zcpool/pool/arena_cursor.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace {

using namespace zcpool_model;
using cursor = zcpool::basic_arena_cursor<zcpool_model::atomic>;
using slot_word = zcpool::basic_slot_word<zcpool_model::atomic>;
using zcpool::drop_outcome;
using zcpool::holder_set;
using zcpool::no_index;
using zcpool::slot_state;

constexpr holder_set me = 1;  // all threads are one process

template <std::uint32_t Arenas, std::uint32_t ArenaSlots>
class watched_arenas {
public:
    static constexpr std::uint32_t slots = Arenas * ArenaSlots;

    watched_arenas() {
        tested_.open(debts_, slots, ArenaSlots);
        for (auto& each : bytes_) {
            each($) = 0;
        }
    }

    /// slab_arenas::take(), whose hints are all lost.
    std::uint32_t take() {
        if (const auto slot = take_next(); slot != no_index) {
            return slot;
        }
        for (std::uint32_t arena = 0; arena < Arenas; ++arena) {
            if (tested_.was_in_use(arena)) {
                if (const auto slot = take_single(arena); slot != no_index) {
                    return slot;
                }
                continue;
            }
            while (tested_.win(arena) && open_again(arena)) {
                if (const auto slot = take_next(); slot != no_index) {
                    return slot;
                }
            }
        }
        return take_next();
    }

    /// Hands the slot to a call without a receipt.
    void lend(std::uint32_t slot) {
        RL_ASSERT(words_[slot].publish(generations_[slot], me));
        RL_ASSERT(words_[slot].grant(generations_[slot], me, zcpool::kernel_holder));
        lent_[slot] = true;
    }

    void give_back(std::uint32_t slot) {
        bytes_[slot]($) = bytes_[slot]($) + 1;
        RL_ASSERT(owned_[slot]);
        const auto outcome = words_[slot].drop(generations_[slot], me);
        owned_[slot] = false;
        RL_ASSERT(outcome == (lent_[slot] ? drop_outcome::resting : drop_outcome::freed));
        static_cast<void>(tested_.come_back(tested_.arena_of(slot)));
    }

    /// What is current is used up, and then everything can be had.
    void check_nothing_lost() {
        std::uint32_t rest[slots];
        std::uint32_t count = 0;
        for (auto slot = take(); slot != no_index; slot = take()) {
            rest[count++] = slot;
        }
        while (count != 0) {
            give_back(rest[--count]);
        }
        for (std::uint32_t i = 0; i < slots; ++i) {
            RL_ASSERT(take() != no_index);
        }
        RL_ASSERT(take() == no_index);
    }

private:
    std::uint32_t claim(std::uint32_t slot) {
        const auto generation = words_[slot].claim(me);
        if (!generation) {
            return no_index;
        }
        RL_ASSERT(!owned_[slot]);
        RL_ASSERT(!lent_[slot]);  // else its pages are the kernel's
        owned_[slot] = true;
        generations_[slot] = *generation;
        bytes_[slot]($) = bytes_[slot]($) + 1;
        return slot;
    }

    std::uint32_t take_next() {
        for (auto next = tested_.take(); next != no_index; next = tested_.take()) {
            if (const auto slot = claim(next); slot != no_index) {
                return slot;
            }
            static_cast<void>(tested_.come_back(tested_.arena_of(next)));
        }
        return no_index;
    }

    std::uint32_t take_single(std::uint32_t arena) {
        if (needs_renewal(arena)) {
            return no_index;
        }
        for (std::uint32_t slot = first(arena); slot < first(arena + 1); ++slot) {
            if (words_[slot].was().state != slot_state::free) {
                continue;
            }
            if (!tested_.borrow(arena)) {
                return no_index;
            }
            if (const auto found = claim(slot); found != no_index) {
                return found;
            }
            static_cast<void>(tested_.come_back(arena));
        }
        return no_index;
    }

    bool needs_renewal(std::uint32_t arena) {
        for (std::uint32_t slot = first(arena); slot < first(arena + 1); ++slot) {
            if ((words_[slot].was().holders & zcpool::kernel_holder) != 0) {
                return true;
            }
        }
        return false;
    }

    bool open_again(std::uint32_t arena) {
        if (needs_renewal(arena) && !clean(arena)) {
            tested_.lose(arena);
            return false;
        }
        static_cast<void>(tested_.start(arena));
        return true;
    }

    /// page_renewer::clean_arena().
    bool clean(std::uint32_t arena) {
        for (std::uint32_t slot = first(arena); slot < first(arena + 1); ++slot) {
            if (!words_[slot].claim(me) && !words_[slot].claim_resting(me)) {
                for (std::uint32_t back = first(arena); back < slot; ++back) {
                    const auto now = words_[back].was();
                    if (now.state == slot_state::owned) {
                        static_cast<void>(words_[back].drop(now.generation, me));
                    } else {
                        words_[back].keep_resting();
                    }
                }
                return false;
            }
        }
        for (std::uint32_t slot = first(arena); slot < first(arena + 1); ++slot) {
            RL_ASSERT(!owned_[slot]);
            lent_[slot] = false;
            bytes_[slot]($) = 0;
        }
        for (std::uint32_t slot = first(arena); slot < first(arena + 1); ++slot) {
            words_[slot].free_cleaned();
        }
        return true;
    }

    static std::uint32_t first(std::uint32_t arena) { return arena * ArenaSlots; }

    cursor::debt debts_[Arenas];
    cursor tested_;
    slot_word words_[slots];
    rl::var<int> bytes_[slots];
    std::uint32_t generations_[slots] = {};
    bool owned_[slots] = {};
    bool lent_[slots] = {};
};

/// Three threads, five steps each.
template <std::uint32_t Arenas, std::uint32_t ArenaSlots>
struct mixed : rl::test_suite<mixed<Arenas, ArenaSlots>, 3> {
    watched_arenas<Arenas, ArenaSlots> watched;

    void thread(unsigned) {
        std::uint32_t mine[5];
        unsigned count = 0;
        for (int step = 0; step < 5; ++step) {
            if (count != 0 && any_below(2) == 0) {
                std::swap(mine[any_below(count)], mine[count - 1]);
                if (any_below(2) == 0) {
                    watched.lend(mine[count - 1]);
                }
                watched.give_back(mine[--count]);
            } else if (const auto slot = watched.take(); slot != no_index) {
                mine[count++] = slot;
            }
        }
        while (count != 0) {
            watched.give_back(mine[--count]);
        }
    }
    void after() { watched.check_nothing_lost(); }
};

/// For searches: each takes a slot, one of them lends it, and takes another one.
struct both_take : rl::test_suite<both_take, 2> {
    watched_arenas<2, 1> watched;

    void thread(unsigned thread) {
        for (int i = 0; i < 2; ++i) {
            const auto slot = watched.take();
            if (slot != no_index) {
                if (thread == 0) {
                    watched.lend(slot);
                }
                watched.give_back(slot);
            }
        }
    }
    void after() { watched.check_nothing_lost(); }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"one", mixed<1, 2>>(300'000),
                         random_case<"two", mixed<2, 2>>(300'000),
                         random_case<"single_slots", mixed<3, 1>>(300'000),
                         search_case<"search_both_take", both_take>(1),
                     });
}
