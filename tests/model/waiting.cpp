// SPDX-License-Identifier: MIT
// Sleeping until a slot comes back: nobody sleeps beside a slot that he could have.
//
// What core.hpp does around the wait list is repeated here: the waiter's loop, the wake-up behind a
// release, and the wake-up that a waiter passes on. The deadline never comes; that a waiter sleeps
// for ever is reported as a deadlock.
#include "futex.hpp"
#include "harness.hpp"
#include "watched_slot.hpp"

#include <zcpool/pool/waiting.hpp>

namespace {

using namespace zcpool_model;
using wait_list = zcpool::basic_wait_list<zcpool_model::atomic>;

/// A pool of two classes with one slot each. A class may spill into the next.
struct pool {
    watched_slot slots[2];
    atomic<std::uint32_t> waiters[2];
    atomic<std::uint32_t> sequence;
    wait_list list{sequence};

    void begin() {
        slots[0].begin(0);
        slots[1].begin(0);
        kernel = {};
    }
    struct taken {
        unsigned index = 0;
        std::uint32_t generation = 0;
    };
    /// A thorough search: the words.
    std::optional<taken> search(unsigned from, unsigned to, holder_set me) {
        for (unsigned index = from; index < to; ++index) {
            const auto now = slots[index].word.was();
            if (slot_word::is_trimmed(now) && slots[index].claim_trimmed(me)) {
                slots[index].renew();
                return taken{index, slots[index].finish_cleaning(me)};
            }
            if (now.state == slot_state::free) {
                if (const auto generation = slots[index].claim(me)) {
                    return taken{index, *generation};
                }
            }
        }
        return std::nullopt;
    }
    taken wait(unsigned from, unsigned to, holder_set me) {
        std::uint32_t usable = 0;
        for (unsigned index = from; index < to; ++index) {
            usable |= std::uint32_t{1} << index;
            wait_list::enter(waiters[index]);
        }
        for (;;) {
            const auto ticket = list.ticket();
            if (const auto found = search(from, to, me)) {
                return *found;
            }
            list.sleep(ticket, usable, zcpool::sys::clock::time_point::max());
        }
    }
    taken take(unsigned from, unsigned to, holder_set me) {
        const taken found = wait(from, to, me);
        for (unsigned index = from; index < to; ++index) {
            wait_list::leave(waiters[index]);
        }
        // A wake-up is for one waiter; this one took one slot, and may have been woken for another.
        for (unsigned index = from; index < to; ++index) {
            list.wake_one(index, waiters[index]);
        }
        return found;
    }
    void give_back(taken that, holder_set me) {
        slots[that.index].drop(that.generation, me);
        list.wake_one(that.index, waiters[that.index]);
    }
};

/// Each takes the one slot in turn, and gives it back.
template <unsigned Threads>
struct one_slot : rl::test_suite<one_slot<Threads>, Threads> {
    pool shared;

    void before() { shared.begin(); }
    void thread(unsigned t) {
        const holder_set me = holder_set{1} << t;
        shared.give_back(shared.take(0, 1, me), me);
    }
    void after() { shared.slots[0].check_available(1); }
};

/// One waits for the second class, one for either; a third gives both slots back. Where the second
/// was woken for the second class, and finds the first, the other waiter must be woken instead.
struct two_classes : rl::test_suite<two_classes, 3> {
    pool shared;
    pool::taken given[2];

    void before() {
        shared.begin();
        for (unsigned index = 0; index < 2; ++index) {
            std::optional<std::uint32_t> generation;
            while (!(generation = shared.slots[index].claim(4))) {  // may fail for no reason
            }
            given[index] = {index, *generation};
        }
    }
    void thread(unsigned t) {
        if (t == 2) {
            // The second class first, or the first: another order shows another mistake.
            const unsigned first = any_below(2);
            shared.give_back(given[first], 4);
            shared.give_back(given[1 - first], 4);
            return;
        }
        const holder_set me = holder_set{1} << t;
        shared.give_back(shared.take(1 - t, 2, me), me);
    }
};

/// As above, but each waits for a class of its own, and keeps what it gets: a wake-up that went to
/// the wrong one is made up by nobody.
struct own_classes : rl::test_suite<own_classes, 3> {
    pool shared;
    pool::taken given[2];

    void before() {
        shared.begin();
        for (unsigned index = 0; index < 2; ++index) {
            std::optional<std::uint32_t> generation;
            while (!(generation = shared.slots[index].claim(4))) {
            }
            given[index] = {index, *generation};
        }
    }
    void thread(unsigned t) {
        if (t == 2) {
            shared.give_back(given[0], 4);
            shared.give_back(given[1], 4);
        } else {
            static_cast<void>(shared.take(t, t + 1, holder_set{1} << t));
        }
    }
};

/// One waits, another renews the resting slot and makes it free.
struct renewed : rl::test_suite<renewed, 2> {
    pool shared;

    void before() {
        shared.begin();
        std::optional<std::uint32_t> generation;
        while (!(generation = shared.slots[0].claim(2))) {
        }
        shared.slots[0].publish(*generation, 2);
        shared.slots[0].grant(*generation, 2, kernel_holder);
        shared.slots[0].drop(*generation, 2);
    }
    void thread(unsigned t) {
        if (t == 0) {
            shared.give_back(shared.take(0, 1, 1), 1);
            return;
        }
        while (!shared.slots[0].claim_resting(2)) {
        }
        shared.slots[0].renew();
        shared.slots[0].free_cleaned();
        shared.list.wake_one(0, shared.waiters[0]);
    }
    void after() { shared.slots[0].check_available(1); }
};

/// One waits, another gives the pages of its slot back to the system.
struct trimmed : rl::test_suite<trimmed, 2> {
    pool shared;
    std::uint32_t generation = 0;

    void before() {
        shared.begin();
        while (!shared.slots[0].claim(2)) {
        }
        generation = newest(shared.slots[0].word).generation;
    }
    void thread(unsigned t) {
        if (t == 0) {
            shared.give_back(shared.take(0, 1, 1), 1);
        } else {
            shared.slots[0].trim(generation, 2);
            shared.list.wake_one(0, shared.waiters[0]);
        }
    }
    void after() { shared.slots[0].check_available(1); }
};

/// For searches: one waits while another, who had the slot before, gives it back.
struct one_release : rl::test_suite<one_release, 2> {
    pool shared;
    std::uint32_t generation = 0;

    void before() {
        shared.begin();
        while (!shared.slots[0].claim(2)) {
        }
        generation = newest(shared.slots[0].word).generation;
    }
    void thread(unsigned t) {
        if (t == 0) {
            static_cast<void>(shared.take(0, 1, 1));
        } else {
            shared.give_back({0, generation}, 2);
        }
    }
};

/// As one_release, where the waiter has been counted before, as one that was woken in vain and
/// looks again. What remains between them is the ticket, which must be read before the word.
struct counted : rl::test_suite<counted, 2> {
    pool shared;
    std::uint32_t generation = 0;

    void before() {
        shared.begin();
        while (!shared.slots[0].claim(2)) {
        }
        generation = newest(shared.slots[0].word).generation;
        shared.waiters[0].store(1, std::memory_order_relaxed);
    }
    void thread(unsigned t) {
        if (t == 1) {
            shared.give_back({0, generation}, 2);
            return;
        }
        for (;;) {
            const auto ticket = shared.list.ticket();
            if (shared.search(0, 1, 1)) {
                return;
            }
            shared.list.sleep(ticket, 1, zcpool::sys::clock::time_point::max());
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"two_threads", one_slot<2>>(1'000'000),
                         random_case<"three_threads", one_slot<3>>(1'000'000),
                         random_case<"two_classes", two_classes>(1'000'000),
                         random_case<"own_classes", own_classes>(1'000'000),
                         random_case<"renewed", renewed>(1'000'000),
                         random_case<"trimmed", trimmed>(1'000'000),
                         random_case<"counted", counted>(1'000'000),
                         search_case<"search_one_release", one_release>(4),
                         search_case<"search_renewed", renewed>(4),
                         search_case<"search_trimmed", trimmed>(4),
                         search_case<"search_three_threads", one_slot<3>>(2),
                     });
}
