// SPDX-License-Identifier: MIT
#pragma once

// A ring that tests share, where the system allows one.

#include <unistd.h>

#include <memory>

#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/uring.hpp>

namespace zcpool_test {

/// Returns: null where io_uring is missing or forbidden: then skip.
inline zcpool::sink::send_ring* test_ring() {
    static const auto ring = zcpool::sink::send_ring::create(64);
    return ring ? ring->get() : nullptr;
}

/// Flushes until the sink is done, has failed, or must wait for its descriptor; ten seconds at most
/// while a completion is to come.
template <class Sink>
zcpool::sink::state settle_ring(Sink& out) {
    auto state = out.flush();
    for (int i = 0; i < 10'000 && out.interest() == zcpool::sink::interest::completion; ++i) {
        ::usleep(1'000);
        state = out.flush();
    }
    return state;
}

/// A sink through the ring of tests that sends everything by reference, and whose flush() waits
/// for the results of its requests, ten seconds at most: what others' is at once.
struct patient_uring : zcpool::sink::uring {
    explicit patient_uring(int fd) : uring(fd, *test_ring(), {.copy_below = 0}) {}
    zcpool::sink::state flush() {
        auto state = uring::flush();
        for (int i = 0; i < 10'000 && state == zcpool::sink::state::blocked &&
                        interest() == zcpool::sink::interest::completion;
             ++i) {
            ::usleep(1'000);
            state = uring::flush();
        }
        return state;
    }
};

/// Waits until the ring of tests has nothing in flight.
inline bool wait_for_ring() {
    for (int i = 0; i < 10'000 && test_ring()->in_flight() != 0; ++i) {
        ::usleep(1'000);
        test_ring()->reap();
    }
    return test_ring()->in_flight() == 0;
}

}  // namespace zcpool_test
