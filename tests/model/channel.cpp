// SPDX-License-Identifier: MIT
// A channel: the ring, the sleep of its two ends, and who has the slot that a message is about.
//
// What channel_sender.hpp, channel_receiver.hpp and slice_transfer.hpp do around the ring, the flag
// and the word is repeated here.
#include "futex.hpp"
#include "harness.hpp"
#include "watched_slot.hpp"

#include <zcpool/ipc/wake_flag.hpp>
#include <zcpool/ring/spsc_ring.hpp>

namespace {

using namespace zcpool_model;
using memory = zcpool::basic_spsc_memory<zcpool_model::atomic>;
using producer = zcpool::basic_spsc_producer<zcpool_model::atomic>;
using consumer = zcpool::basic_spsc_consumer<zcpool_model::atomic>;
using flag = zcpool::ipc::basic_wake_flag<zcpool_model::atomic>;
using zcpool::accept_outcome;
using zcpool::ring_message;
using zcpool::take_back_outcome;

template <std::size_t Cells>
struct ring {
    memory view() { return {cells, taken}; }

    std::array<memory::cell, Cells> cells;
    memory::position taken;
};

/// Messages about objects of which there are as many as cells: one is written again only when the
/// ring says that it was taken. `First`: the position of the first message.
template <std::size_t Cells, std::uint64_t First = 0>
struct stream : rl::test_suite<stream<Cells, First>, 2> {
    static constexpr int messages = 5;
    ring<Cells> shared;
    rl::var<int> objects[Cells];

    void before() {
        shared.taken.store(First, std::memory_order_relaxed);
        // What the lap before has left.
        for (std::size_t i = 0; i < Cells; ++i) {
            const std::uint64_t before = First + i - Cells;
            shared.view().at(before).first.store(shared.view().lap_of(before),
                                                 std::memory_order_relaxed);
        }
    }
    void thread(unsigned t) {
        if (t == 0) {
            producer in{shared.view(), First};
            for (int n = 0; n < messages;) {
                if (!in.has_room()) {
                    RL_ASSERT(in.refresh());
                    if (!in.has_room()) {
                        rl::yield(1, $);
                        continue;
                    }
                }
                objects[n % Cells]($) = n;
                RL_ASSERT(in.try_push({static_cast<std::uint64_t>(n), ~std::uint64_t(n)}));
                ++n;
            }
        } else {
            consumer out{shared.view(), First};
            for (int n = 0; n < messages;) {
                if (const auto found = out.peek()) {
                    RL_ASSERT(found->first == std::uint64_t(n));
                    RL_ASSERT(found->second == ~std::uint64_t(n));
                    RL_ASSERT(objects[n % Cells]($) == n);
                    RL_ASSERT(out.pop());
                    ++n;
                } else {
                    rl::yield(1, $);
                }
            }
        }
    }
};

/// The producer takes the oldest back where the ring is full. Each message comes out once, or is
/// taken back; never both. The producer counts the objects that came back to it.
template <std::size_t Cells>
struct taking_back : rl::test_suite<taking_back<Cells>, 2> {
    static constexpr int messages = 5;
    ring<Cells> shared;
    rl::var<int> used[messages];  // what the consumer did with each before it took it
    bool is_back[messages] = {};
    bool is_out[messages] = {};

    void thread(unsigned t) {
        if (t == 0) {
            producer in{shared.view()};
            int looked = 0;
            for (int n = 0; n < messages; ++n) {
                while (!in.try_push({static_cast<std::uint64_t>(n), 7 + std::uint64_t(n)})) {
                    const auto outcome = in.take_back();
                    RL_ASSERT(outcome != take_back_outcome::corrupt);
                    if (outcome == take_back_outcome::taken_back) {
                        const int mine = static_cast<int>(in.was_taken()) - 1;
                        RL_ASSERT(!is_out[mine]);
                        is_back[mine] = true;
                    }
                    for (; looked < static_cast<int>(in.was_taken()); ++looked) {
                        // Whoever had it has done with it.
                        RL_ASSERT(is_back[looked] || used[looked]($) == looked);
                    }
                }
            }
        } else {
            consumer out{shared.view()};
            int last = -1;
            while (last != messages - 1) {
                if (const auto found = out.peek()) {
                    const int n = static_cast<int>(found->first);
                    RL_ASSERT(found->second == 7 + found->first);
                    used[n]($) = n;
                    if (out.pop()) {
                        RL_ASSERT(n > last && !is_back[n]);
                        is_out[n] = true;
                        last = n;
                    }
                } else {
                    rl::yield(1, $);
                }
            }
        }
    }
};

/// Both ends sleep: the consumer while there is nothing, the producer while there is no room.
template <std::size_t Cells>
struct sleeping : rl::test_suite<sleeping<Cells>, 2> {
    static constexpr int messages = 3;
    ring<Cells> shared;
    flag news;
    flag room;

    void before() { kernel = {}; }
    static void wake(flag& sleeper) {
        if (sleeper.claim()) {
            sleeper.wake();
        }
    }
    static void sleep(flag& mine) {
        static_cast<void>(mine.sleep(zcpool::sys::clock::time_point::max()));
        mine.withdraw();
    }
    void thread(unsigned t) {
        if (t == 0) {
            producer in{shared.view()};
            for (int n = 0; n < messages; ++n) {
                while (!in.try_push({static_cast<std::uint64_t>(n), 0})) {
                    room.announce();
                    RL_ASSERT(in.refresh());
                    if (in.has_room()) {
                        room.withdraw();
                    } else {
                        sleep(room);
                    }
                }
                wake(news);
            }
        } else {
            consumer out{shared.view()};
            for (int n = 0; n < messages; ++n) {
                while (!out.peek()) {
                    news.announce();
                    if (out.peek()) {
                        news.withdraw();
                    } else {
                        sleep(news);
                    }
                }
                RL_ASSERT(out.pop());
                wake(room);
            }
        }
    }
};

/// One slot goes from a sender to a receiver and is written again by whoever gets it next; either
/// may die anywhere, and a third recovers whom it finds dead. `Deaths`: up to that crash point.
template <bool HandedOver, unsigned Deaths>
struct transfer : rl::test_suite<transfer<HandedOver, Deaths>, 3> {
    static constexpr holder_set sender = 1;
    static constexpr holder_set receiver = 2;
    static constexpr holder_set recoverer = 4;
    ring<2> shared;
    slot_word word;
    rl::var<int> bytes;
    atomic<std::uint32_t> gone[2];

    void write(int value) { bytes($) = value; }

    void send() {
        producer in{shared.view()};
        for (int n = 1; n <= 2; ++n) {
            const auto generation = word.claim(sender);
            if (!generation) {
                continue;  // the receiver has it, or it may fail for no reason
            }
            write(n);
            RL_ASSERT(word.publish(*generation, sender));
            RL_ASSERT(in.try_push({*generation, std::uint64_t(n)}));
            if (any_below(2) == 0) {
                // The channel's end, or the oldest makes room.
                if (in.take_back() == take_back_outcome::taken_back) {
                    static_cast<void>(word.drop(*generation, sender));
                    continue;
                }
            }
            if (!HandedOver) {
                for (int tries = 0; tries < 4 && in.was_taken() != in.pushed(); ++tries) {
                    RL_ASSERT(in.refresh());
                    rl::yield(1, $);
                }
                if (in.was_taken() != in.pushed()) {
                    return;  // it keeps the slice, until after()
                }
                static_cast<void>(word.drop(*generation, sender));
            }
        }
    }
    void receive() {
        consumer out{shared.view()};
        for (int tries = 0; tries < 4; ++tries) {
            const auto found = out.peek();
            if (!found) {
                rl::yield(1, $);
                continue;
            }
            const auto generation = static_cast<std::uint32_t>(found->first);
            const auto outcome = word.accept(generation, sender, receiver, HandedOver);
            RL_ASSERT(outcome != accept_outcome::mine_already);
            const bool mine = outcome == accept_outcome::accepted;
            if (mine) {
                // Also of one that the sender is taking back: the share is real.
                RL_ASSERT(bytes($) != 0);
                RL_ASSERT(!HandedOver || newest(word).holders == receiver);
            }
            const bool popped = out.pop();
            if (mine) {
                RL_ASSERT(!popped || bytes($) == static_cast<int>(found->second));
                RL_ASSERT(word.drop(generation, receiver) != drop_outcome::not_held);
            } else {
                // Lost: taken back before it was accepted.
                RL_ASSERT(!popped || gone[0].newest() != 0);
            }
        }
    }

    void thread(unsigned t) {
        if (t == 2) {
            // Somebody who uses what is free, and recovers the dead.
            for (int n = 0; n < 3; ++n) {
                if (const auto generation = word.claim(recoverer)) {
                    write(9);
                    static_cast<void>(word.drop(*generation, recoverer));
                }
                for (unsigned dead = 0; dead < 2; ++dead) {
                    if (gone[dead].load(std::memory_order_acquire) != 0) {
                        recover(dead);
                    }
                }
            }
            return;
        }
        const bool lived =
            survives(Deaths == 0 ? 0 : any_point(Deaths), [&] { t == 0 ? send() : receive(); });
        if (!lived) {
            gone[t].store(1, std::memory_order_release);
        }
    }
    void recover(unsigned dead) {
        if (word.reap(holder_set{1} << dead, recoverer) == zcpool::reap_outcome::taken_over) {
            write(-1);
            word.free_cleaned();
        }
        if (word.claim_resting(recoverer)) {
            write(-1);
            word.free_cleaned();
        }
    }
    void after() {
        for (unsigned dead = 0; dead < 2; ++dead) {
            if (gone[dead].load(std::memory_order_relaxed) != 0) {
                recover(dead);
            }
        }
        // The sender's end closes: what was not read is taken back.
        if (gone[0].load(std::memory_order_relaxed) == 0) {
            const auto now = newest(word);
            if ((now.holders & sender) != 0) {
                static_cast<void>(word.drop(now.generation, sender));
            }
        }
        if (slot_word::is_resting(newest(word))) {
            recover(0);
        }
        RL_ASSERT(newest(word).state == slot_state::free);
    }
};

/// Two threads of one process receive the same slot, which another process holds, and let go of
/// it: the steps of slice_transfer::receive() and slice::drop().
///
/// `HandedOver`: one of them gets it handed over, and the other was slow with a message of the time
/// when it was a copy, which the sender has taken back.
template <bool HandedOver>
struct record : rl::test_suite<record<HandedOver>, 2> {
    static constexpr holder_set sender = 1;
    static constexpr holder_set receiver = 2;
    static constexpr std::uint32_t travels = 1U << 31;
    slot_word word;
    atomic<std::uint32_t> references;
    rl::var<int> generation;  // what the process knows of the slot, while it has a share
    std::uint32_t sent = 0;

    void before() {
        generation($) = -1;
        while (!word.claim(sender)) {
        }
        RL_ASSERT(word.publish(sent, sender));
    }
    bool receive(bool handed_over) {
        std::uint32_t count = references.load(std::memory_order_relaxed);
        while ((count & travels) != 0 && count != travels) {
            if (references.compare_exchange_weak(count, count + 1, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
                if (handed_over) {
                    RL_ASSERT(word.drop(sent, sender) == drop_outcome::still_held);
                }
                return true;
            }
        }
        const auto outcome = word.accept(sent, sender, receiver, handed_over);
        RL_ASSERT(outcome != accept_outcome::gone || (HandedOver && !handed_over));
        if (outcome != accept_outcome::accepted) {
            return false;
        }
        generation($) = static_cast<int>(sent);
        references.store(travels | 1, std::memory_order_release);
        return true;
    }
    void drop() {
        if (references.load(std::memory_order_acquire) != 1 &&
            (references.fetch_sub(1, std::memory_order_acq_rel) & ~travels) != 1) {
            return;
        }
        RL_ASSERT(generation($) == static_cast<int>(sent));
        const auto outcome = word.drop(sent, receiver);
        RL_ASSERT(outcome == drop_outcome::still_held ||
                  (HandedOver && outcome == drop_outcome::freed));
    }
    void thread(unsigned t) {
        const bool handed_over = HandedOver && t == 1;
        for (int n = 0; n < (handed_over ? 1 : 3);) {
            if (receive(handed_over)) {
                RL_ASSERT(generation($) == static_cast<int>(sent));
                drop();
                ++n;
            } else {
                rl::yield(1, $);
                n += handed_over ? 0 : 1;
            }
        }
    }
    void after() {
        if (HandedOver) {
            RL_ASSERT(newest(word).state == slot_state::free);
        } else {
            RL_ASSERT(newest(word).holders == sender);
        }
    }
};

inline constexpr std::uint64_t last_lap = std::uint64_t{1} << 13;

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"stream1", stream<1>>(300'000),
                         random_case<"stream2", stream<2>>(300'000),
                         random_case<"laps", stream<2, 2 * last_lap - 3>>(300'000),
                         random_case<"wrap", stream<2, ~std::uint64_t{0} - 1>>(300'000),
                         search_case<"search_stream", stream<2>>(4),
                         random_case<"back1", taking_back<1>>(300'000),
                         random_case<"back2", taking_back<2>>(300'000),
                         search_case<"search_back", taking_back<1>>(3),
                         random_case<"sleep1", sleeping<1>>(300'000),
                         random_case<"sleep2", sleeping<2>>(300'000),
                         search_case<"search_sleep", sleeping<1>>(4),
                         random_case<"shared", transfer<false, 0>>(300'000),
                         random_case<"handed", transfer<true, 0>>(300'000),
                         random_case<"record", record<false>>(300'000),
                         random_case<"record_handed", record<true>>(300'000),
                         search_case<"search_record", record<false>>(3),
                         random_case<"shared_deaths", transfer<false, 30>>(500'000),
                         random_case<"handed_deaths", transfer<true, 30>>(500'000),
                     });
}
