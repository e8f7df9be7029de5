// SPDX-License-Identifier: MIT
// The registry of processes: a place is used again while others still grant to, and sweep for, the
// one who had it before.
#include "harness.hpp"
#include "watched_slot.hpp"

#include <zcpool/pool/process_registry.hpp>

namespace {

using namespace zcpool_model;
using zcpool::process_seat;
using zcpool::process_state;
using registry = zcpool::basic_process_registry<zcpool_model::atomic>;

/// One slot. Place 0 grants it to place 1, whose process died before anybody knows, and may die
/// itself; `Recoverers` recover; and the last thread takes place 1 as soon as it is free, and uses
/// the slot: what it holds nobody takes from it, and what was granted to the dead one does not stay
/// behind.
template <unsigned Recoverers>
struct reuse : rl::test_suite<reuse<Recoverers>, 2 + Recoverers> {
    static constexpr unsigned granter = 0;
    static constexpr unsigned place = 1;
    static constexpr unsigned heir = 1 + Recoverers;

    watched_slot slot;
    registry::entry entries[2 + Recoverers];
    registry places{entries};
    process_seat seats[2 + Recoverers];
    process_seat dead;
    bool joined = false;
    atomic<std::uint32_t> granter_died;

    void before() {
        slot.begin(0);
        for (unsigned p = 0; p < 2 + Recoverers; ++p) {
            if (p != heir) {
                seats[p] = places.join_at(p, {p + 1, p}).value();
            }
        }
        // The thread of place 1 is a recoverer, at the place behind all others; the process that
        // had place 1 died before.
        dead = seats[place];
        seats[place] = places.join_at(heir, {heir + 1, heir}).value();
        // Half of the time it leaves something behind.
        if (any_below(2) == 0) {
            const auto generation = slot.claim(dead.bit());
            if (any_below(2) == 0) {
                slot.publish(*generation, dead.bit());
            }
        }
    }
    void thread(unsigned t) {
        if (t == granter) {
            if (!survives(any_point(80), [this] { grant(); })) {
                granter_died.store(1, std::memory_order_release);
            }
        } else if (t == heir) {
            inherit();
        } else {
            for (int round = 0; round < 3; ++round) {
                mark_the_dead();
                recover(t);
            }
        }
    }
    void mark_the_dead() {
        places.mark_dying(place, dead.status);
        if (granter_died.load(std::memory_order_acquire) != 0) {
            places.mark_dying(granter, seats[granter].status);
        }
    }
    void recover(unsigned t) {
        const process_seat me = seats[t];
        places.recover(me, [this, me](holder_set gone) {
            const reap_outcome outcome = slot.reap(gone, me.bit());
            if (outcome == reap_outcome::taken_over ||
                (outcome == reap_outcome::resting && slot.claim_resting(me.bit()))) {
                slot.renew();
                slot.free_cleaned();
            }
        });
    }
    struct watched_grant {
        watched_slot& slot;
        bool grant(std::uint32_t generation, holder_set me, holder_set other) {
            return slot.word.grant(generation, me, other);
        }
        drop_outcome drop(std::uint32_t generation, holder_set who) {
            return slot.word.drop(generation, who);
        }
    };
    void grant() {
        const process_seat me = seats[granter];
        for (int round = 0; round < 3; ++round) {
            if (const auto generation = slot.claim(me.bit())) {
                slot.publish(*generation, me.bit());
                watched_grant word{slot};
                places.grant(word, *generation, me, dead);
                slot.drop(*generation, me.bit());
            }
        }
    }
    void inherit() {
        for (int round = 0; round < 8 && !joined; ++round) {
            if (const auto seat = places.join_at(place, {100, 100})) {
                joined = true;
                for (int step = 0; step < 3; ++step) {
                    if (const auto generation = slot.claim(seat->bit())) {
                        slot.publish(*generation, seat->bit());
                        slot.read(*generation, seat->bit());
                        slot.drop(*generation, seat->bit());  // asserts that it was held
                    }
                }
            }
        }
    }
    void after() {
        // Quiet now: the first recovery that looks finds everything.
        mark_the_dead();
        recover(place);
        RL_ASSERT(places.those(process_state::dying) == 0);
        RL_ASSERT(places.those(process_state::swept) == 0);
        RL_ASSERT(joined || places.join_at(place, {200, 200}));
        slot.check_available(seats[place].bit());
    }
};

/// For searches: place 0 grants to place 1, and dies before it looks again; place 1 is found dead
/// and is recovered at any moment. The share does not outlive them.
struct granter_dies : rl::test_suite<granter_dies, 2> {
    slot_word word;
    registry::entry entries[3];
    registry places{entries};
    process_seat seats[3];
    std::uint32_t generation = 0;

    struct last_step {
        slot_word& word;
        bool grant(std::uint32_t generation, holder_set me, holder_set other) {
            const bool granted = word.grant(generation, me, other);
            fates[this_thread()].points_left = 1;
            return granted;
        }
        drop_outcome drop(std::uint32_t generation, holder_set who) {
            return word.drop(generation, who);
        }
    };
    void before() {
        for (unsigned p = 0; p < 3; ++p) {
            seats[p] = places.join_at(p, {p + 1, p}).value();
        }
        generation = word.claim(seats[0].bit()).value();
        word.publish(generation, seats[0].bit());
    }
    void thread(unsigned t) {
        if (t == 0) {
            survives(0, [this] {
                last_step last{word};
                places.grant(last, generation, seats[0], seats[1]);
            });
        } else {
            recover(1);
        }
    }
    void recover(unsigned dead) {
        places.mark_dying(dead, seats[dead].status);
        places.recover(seats[2], [this](holder_set gone) { word.reap(gone, seats[2].bit()); });
    }
    void after() {
        recover(0);
        recover(1);
        RL_ASSERT((newest(word).holders & ~zcpool::kernel_holder) == 0);
        RL_ASSERT(places.those(process_state::free) >> 1 & 1);
    }
};

/// Two processes want the last place; one gets it.
struct last_place : rl::test_suite<last_place, 3> {
    registry::entry entries[1];
    registry places{entries};
    std::optional<process_seat> got[3];

    void thread(unsigned t) { got[t] = places.join({t + 1, t}); }
    void after() {
        int seats = 0;
        for (unsigned t = 0; t < 3; ++t) {
            seats += got[t] ? 1 : 0;
            RL_ASSERT(!got[t] || places.was(0) == got[t]->status);
        }
        RL_ASSERT(seats == 1);
    }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"reuse", reuse<1>>(1'000'000),
                         random_case<"reuse_two_recoverers", reuse<2>>(1'000'000),
                         search_case<"search_granter_dies", granter_dies>(3),
                         search_case<"search_last_place", last_place>(3),
                     });
}
