// SPDX-License-Identifier: MIT
// The slot word alone: who may touch a slot's bytes, whatever the schedule.
#include "harness.hpp"
#include "watched_slot.hpp"

namespace {

using namespace zcpool_model;

inline constexpr std::uint32_t near_the_end = zcpool::generation_limit - 2;

/// A process's handle to the slot.
struct handle {
    enum class kind : std::uint8_t { none, owner, reader } is = kind::none;
    std::uint32_t generation = 0;
    std::optional<std::uint32_t> before;  // the generation of the handle before
};

/// Three processes, six steps each, on one slot. A descriptor travels in a box of its receiver,
/// which orders nothing: only the word shows that the share has arrived, and orders the bytes.
///
/// A share is granted only to a process that is known to have none, as from its return channel. The
/// set has one bit a process, so two shares would be one; and grant() may believe an old value in
/// which the bit still stands.
template <std::uint32_t First, bool Zeroes = false>
struct mixed : rl::test_suite<mixed<First, Zeroes>, 3> {
    watched_slot slot;
    handle handles[3];
    atomic<std::uint32_t> box[3];
    bool promised[3] = {};  // somebody is granting to it, or has, and it has not taken the share
    atomic<std::uint32_t> returned[3];  // how many handles it has given up
    std::uint32_t taken[3] = {};        // how many it has had

    void before() { slot.begin(First, Zeroes); }

    void thread(unsigned t) {
        handle& mine = handles[t];
        for (int step = 0; step < 6; ++step) {
            switch (mine.is) {
                case handle::kind::none: take(t); break;
                case handle::kind::owner: use(t); break;
                case handle::kind::reader: share(t); break;
            }
        }
        if (mine.is != handle::kind::none) {
            drop(t);
        }
    }
    void take(unsigned t) {
        const holder_set me = holder_set{1} << t;
        if (promised[t]) {
            receive(t);
        } else if (any_below(2) == 0) {
            if (const auto generation = slot.claim(me)) {
                own(t, *generation);
            }
        } else if (slot.claim_resting(me)) {
            clean(t, any_below(4));
        } else if (slot.claim_trimmed(me)) {
            clean(t, 1 + any_below(3));
        }
    }
    void clean(unsigned t, unsigned how) {
        switch (how) {
            case 0: slot.keep_resting(); break;
            case 1: slot.quarantine(); break;
            case 2:
                slot.renew();
                slot.free_cleaned();
                break;
            default: slot.renew(); own(t, slot.finish_cleaning(holder_set{1} << t));
        }
    }
    void own(unsigned t, std::uint32_t generation) {
        ++taken[t];
        handles[t].is = handle::kind::owner;
        handles[t].generation = generation;
        check_handle_before(t);
    }
    void use(unsigned t) {
        const unsigned what = any_below(8);
        if (what < 2) {
            drop(t);
        } else if (what == 2) {
            handle& mine = handles[t];
            mine.is = handle::kind::none;
            mine.before = mine.generation;
            slot.trim(mine.generation, holder_set{1} << t);
            returned[t].fetch_add(1, std::memory_order_release);
        } else {
            slot.publish(handles[t].generation, holder_set{1} << t);
            handles[t].is = handle::kind::reader;
            check_handle_before(t);
        }
    }
    /// An older handle of this process is no good, though it holds the slot by another.
    void check_handle_before(unsigned t) {
        if (handles[t].before && slot.was_owned_since(*handles[t].before)) {
            slot.check_stale(*handles[t].before, holder_set{1} << t);
        }
    }
    void share(unsigned t) {
        const holder_set me = holder_set{1} << t;
        const auto generation = handles[t].generation;
        slot.read(generation, me);
        switch (const unsigned what = any_below(5)) {
            case 0: slot.grant(generation, me, kernel_holder); break;
            case 1:
            case 2: {
                const unsigned other = (t + what) % 3;
                // A value that is right is the newest, and then its drop() is seen by grant().
                const auto back = returned[other].load(std::memory_order_acquire);
                if (!promised[other] && back == taken[other]) {
                    promised[other] = true;
                    slot.grant(generation, me, holder_set{1} << other);
                    box[other].store(generation + 1, std::memory_order_relaxed);
                }
                break;
            }
            default: drop(t);
        }
    }
    void receive(unsigned t) {
        const holder_set me = holder_set{1} << t;
        const auto generation = box[t].load(std::memory_order_relaxed) - 1;
        const auto now = slot.word.was();
        if (now.generation == generation && (now.holders & me) != 0 && promised[t]) {
            box[t].store(0, std::memory_order_relaxed);
            promised[t] = false;
            ++taken[t];
            handles[t].is = handle::kind::reader;
            handles[t].generation = generation;
            slot.read(generation, me);
        }
    }
    void drop(unsigned t) {
        handle& mine = handles[t];
        mine.is = handle::kind::none;
        mine.before = mine.generation;
        slot.drop(mine.generation, holder_set{1} << t);
        returned[t].fetch_add(1, std::memory_order_release);
    }
    void after() {
        for (unsigned t = 0; t < 3; ++t) {
            if (promised[t]) {
                receive(t);
                drop(t);
            }
        }
        slot.check_available(1);
    }
};

/// For searches: an owner frees the slot and the others claim it.
struct claims : rl::test_suite<claims, 3> {
    watched_slot slot;

    void before() { slot.begin(near_the_end); }
    void thread(unsigned t) {
        const holder_set me = holder_set{1} << t;
        if (const auto generation = slot.claim(me)) {
            slot.drop(*generation, me);
        }
    }
    void after() { slot.check_available(1); }
};

/// Has the first process claim and publish the slot, and the second hold it too.
/// Returns: its generation.
std::uint32_t share_with_second(watched_slot& slot) {
    while (!slot.claim(1)) {  // may fail for no reason
    }
    const std::uint32_t generation = newest(slot.word).generation;
    slot.publish(generation, 1);
    slot.grant(generation, 1, 2);
    return generation;
}

/// For searches: two readers of a lent slot give it up, and the third process renews it.
struct renewal : rl::test_suite<renewal, 3> {
    watched_slot slot;
    std::uint32_t generation = 0;

    void before() {
        slot.begin(0);
        generation = share_with_second(slot);
        slot.grant(generation, 1, kernel_holder);
    }
    void thread(unsigned t) {
        const holder_set me = holder_set{1} << t;
        if (t < 2) {
            slot.read(generation, me);
            slot.drop(generation, me);
            return;
        }
        for (int tries = 0; tries < 2; ++tries) {
            if (slot.claim_resting(me)) {
                slot.renew();
                slot.free_cleaned();
            } else if (const auto mine = slot.claim(me)) {
                slot.drop(*mine, me);
            }
        }
    }
    void after() { slot.check_available(1); }
};

/// For searches: two readers of a slot that is to be zeroed give it up, and the third takes it.
struct zeroing : rl::test_suite<zeroing, 3> {
    watched_slot slot;
    std::uint32_t generation = 0;

    void before() {
        slot.begin(0, true);
        generation = share_with_second(slot);
    }
    void thread(unsigned t) {
        const holder_set me = holder_set{1} << t;
        if (t < 2) {
            slot.read(generation, me);
            slot.drop(generation, me);
            return;
        }
        for (int tries = 0; tries < 2; ++tries) {
            if (const auto mine = slot.claim(me)) {
                slot.drop(*mine, me);
            }
        }
    }
    void after() { slot.check_available(1); }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"mixed", mixed<0>>(2'000'000),
                         random_case<"wrap", mixed<near_the_end>>(1'000'000),
                         random_case<"zeroing", mixed<0, true>>(1'000'000),
                         search_case<"search_claims", claims>(2),
                         search_case<"search_renewal", renewal>(2),
                         search_case<"search_zeroing", zeroing>(2),
                     });
}
