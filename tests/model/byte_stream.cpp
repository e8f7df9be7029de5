// SPDX-License-Identifier: MIT
// A stream whose ends sleep: nobody sleeps for ever beside bytes, or room, or the end; and what was
// written before the end is read.
//
// What byte_stream.hpp does around the ring and the words is repeated here: the wait, without the
// looks before it and without deadlines, and the wake-up behind each commit and consume. That one
// sleeps for ever is reported as a deadlock.
//
// The barrier between processes is lopsided in the library: nothing on the side of those who wake,
// membarrier(2) on the other. Here both sides are fences of all seq_cst operations, which promise
// the two sides the same; that the kernel's barrier does this is taken from its manual.
#include "harness.hpp"
#include "watched_ring.hpp"

#include <zcpool/ipc/sleep_word.hpp>

namespace zcpool_model {

/// The kernel's side of the futex words: who sleeps on which. Its lock makes the look at the word
/// and going to sleep one step.
struct futex_queue {
    std::array<const void*, most_threads> slept_on{};  // by thread; null: awake
};
inline futex_queue kernel;

inline void futex_wait(atomic<std::uint32_t>& word, std::uint32_t expected, std::uint32_t,
                       zcpool::sys::clock::time_point) {
    rl::context& context = rl::ctx();
    context.sched();
    if (word.newest() == expected) {
        kernel.slept_on[this_thread()] = &word;
        context.park_current_thread(false, false, false, $);
    }
}

inline void futex_wake(atomic<std::uint32_t>& word, std::uint32_t, std::uint32_t) {
    rl::context& context = rl::ctx();
    context.sched();
    for (unsigned thread = 0; thread < most_threads; ++thread) {
        if (kernel.slept_on[thread] == &word) {
            kernel.slept_on[thread] = nullptr;
            context.unpark_thread(static_cast<rl::thread_id_t>(thread), false, $);
        }
    }
}

}  // namespace zcpool_model

namespace {

using namespace zcpool_model;
using zcpool::ipc::barrier_kind;

/// A barrier with both sides, or without one of them.
template <bool Light, bool Heavy>
struct barrier {
    static void light() { fence(Light); }
    static void heavy() { fence(Heavy); }

private:
    static void fence(bool is_there) {
        if (is_there) {
            rl::atomic_thread_fence(rl::mo_seq_cst, $);
        }
    }
};
using whole = barrier<true, true>;

/// A stream of `Bytes` bytes, each committed by itself, through a ring of `Capacity`.
template <barrier_kind Kind, std::size_t Capacity, unsigned Bytes, class Barrier = whole>
struct stream : rl::test_suite<stream<Kind, Capacity, Bytes, Barrier>, 2> {
    using sleep_word = zcpool::ipc::basic_sleep_word<zcpool_model::atomic, Barrier>;

    watched_ring<Capacity> ring;
    sleep_word writer;
    sleep_word reader;

    void before() { kernel = {}; }

    void thread(unsigned side) {
        if (side == 0) {
            for (unsigned i = 0; i < Bytes; ++i) {
                wait(writer, reader, [&] { return !ring.writer.space().empty(); });
                ring.write(1, 1);
                static_cast<void>(reader.wake(Kind));
            }
            writer.close();
            static_cast<void>(reader.wake(Kind));
        } else {
            const auto is_there = [&] { return !ring.reader.readable().empty(); };
            while (wait(reader, writer, is_there)) {
                ring.read(1, Capacity);
                static_cast<void>(writer.wake(Kind));
            }
            RL_ASSERT(ring.was_read == Bytes);
        }
    }

    /// As stream_end::wait(). Returns: false when it was closed before `holds()`.
    template <class Condition>
    bool wait(sleep_word& mine, sleep_word& theirs, Condition holds) {
        while (!holds()) {
            if (theirs.was_closed()) {
                return holds();
            }
            mine.sleep_unless([&] { return holds() || theirs.was_closed(); }, Kind,
                              zcpool::sys::clock::time_point::max());
        }
        return true;
    }
};

constexpr auto full = barrier_kind::full;
constexpr auto lopsided = barrier_kind::lopsided;

}  // namespace

int main(int argc, char** argv) {
    return run_cases(
        argc, argv,
        {
            random_case<"lopsided_n1", stream<lopsided, 1, 3>>(500'000),
            random_case<"lopsided_n2", stream<lopsided, 2, 4>>(2'000'000),
            random_case<"full_n1", stream<full, 1, 3>>(500'000),
            random_case<"full_n2", stream<full, 2, 4>>(2'000'000),
            search_case<"search_lopsided", stream<lopsided, 1, 2>>(4),
            search_case<"search_full", stream<full, 1, 2>>(4),
#ifdef ZCPOOL_MODEL_ONLY  // for mutants.py: must not be clean
            random_case<"no_light", stream<lopsided, 1, 2, barrier<false, true>>>(500'000),
            random_case<"no_heavy", stream<lopsided, 1, 2, barrier<true, false>>>(500'000),
#endif
        });
}
