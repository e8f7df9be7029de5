// SPDX-License-Identifier: MIT
#pragma once

// A ring that tests share, where the system allows one.

#include <unistd.h>

#include <memory>

#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/sink.hpp>

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

}  // namespace zcpool_test
