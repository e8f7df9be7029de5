// SPDX-License-Identifier: MIT
#pragma once

// A ring that tests share, where the system allows one.

#include <poll.h>
#include <unistd.h>

#include <memory>

#include <zcpool/sink/linked_splice.hpp>
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

/// A sink that splices through the ring of tests whatever it may, and whose flush() waits for the
/// results of its requests for as long as something happens: what waits for the descriptor is
/// blocked, as others' is.
struct patient_linked_splice : zcpool::sink::linked_splice {
    explicit patient_linked_splice(int fd) : linked_splice(fd, *test_ring(), {.copy_below = 0}) {}
    zcpool::sink::state flush() {
        auto state = linked_splice::flush();
        while (state == zcpool::sink::state::blocked &&
               interest() == zcpool::sink::interest::completion) {
            pollfd readable{test_ring()->fd(), POLLIN, 0};
            if (::poll(&readable, 1, 50) == 0) {
                break;
            }
            state = linked_splice::flush();
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
