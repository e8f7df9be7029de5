// SPDX-License-Identifier: MIT
#pragma once

// Everything between the options and the event loops: listeners, threads, the signal that ends
// them.

#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <common/address.hpp>

#include <segment_server/net/event_loop.hpp>
#include <segment_server/net/socket_options.hpp>
#include <segment_server/options.hpp>

namespace segment_server {

/// Blocks the signals that end the server, in this thread and those it starts, and ignores the two
/// that are mere noise: of sendfile to a peer that has gone, and of a writer that waits for a read
/// lease.
inline sigset_t take_signals() noexcept {
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGIO, SIG_IGN);
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    return ending;
}

/// Opens a listener for each thread, all at the same port.
[[nodiscard]] inline std::expected<std::vector<zcpool::sys::unique_fd>, std::string> open_listeners(
    const options& values) {
    auto where =
        examples::parse_address("--listen", values.listen, examples::address_use::to_listen);
    if (!where) {
        return std::unexpected{where.error()};
    }
    const socket_options accepted{values.congestion, values.send_timeout};
    std::vector<zcpool::sys::unique_fd> listeners;
    for (unsigned i = 0; i < values.threads; ++i) {
        auto listener = examples::listen_at(*where);
        if (!listener) {
            return std::unexpected{fmt::format("--listen {}: {}; choose another port, or 0 for any",
                                               values.listen, listener.error().message())};
        }
        accepted.apply(listener->get());
        *where = examples::bound_address(listener->get());
        listeners.push_back(std::move(*listener));
    }
    return listeners;
}

/// Runs an event loop a thread until SIGTERM or SIGINT, and until what is in flight has been sent.
///
/// `make_origin(i)` gives the origin of the i-th loop, `what_poller_needs(i, origin)` what its
/// poller is made of. Returns: the exit code; 1 when connections had to be cut off.
template <class Poller, class MakeOrigin, class WhatPollerNeeds>
int serve(const options& values, std::vector<zcpool::sys::unique_fd> listeners,
          connection_quota& quota, MakeOrigin&& make_origin, WhatPollerNeeds&& what_poller_needs) {
    using origin_type = decltype(make_origin(std::size_t{0}));
    connection_limits limits{values.head, values.header_timeout, values.idle_timeout,
                             values.send_timeout};
    const sigset_t ending = take_signals();

    const std::string address = to_string(examples::bound_address(listeners.front().get()));
    std::deque<origin_type> origins;
    std::deque<event_loop<origin_type, Poller>> loops;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
        origins.push_back(make_origin(i));
        loops.emplace_back(std::move(listeners[i]), origins.back(), quota, limits,
                           values.drain_timeout, what_poller_needs(i, origins.back()));
        if (!loops.back().is_ready()) {
            fmt::print(stderr, "segment_server: no descriptors for an event loop\n");
            return 1;
        }
    }
    zcpool::atomic<bool> clean{true};
    std::vector<std::jthread> threads;
    for (auto& loop : loops) {
        threads.emplace_back([&loop, &clean] {
            if (!loop.run()) {
                // relaxed: read after the join.
                clean.store(false, zcpool::memory_order_relaxed);
            }
        });
    }
    fmt::print("ready {}\n", address);
    std::fflush(stdout);

    int signal_number = 0;
    ::sigwait(&ending, &signal_number);
    for (auto& loop : loops) {
        loop.stop();
    }
    threads.clear();  // joins
    // relaxed: the threads have ended.
    return clean.load(zcpool::memory_order_relaxed) ? 0 : 1;
}

}  // namespace segment_server
