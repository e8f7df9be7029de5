// SPDX-License-Identifier: MIT
#include <calibrate/measurement.hpp>

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <zcpool/zcpool.hpp>
#if CALIBRATE_URING
#include <zcpool/sink/uring.hpp>
#endif

namespace calibrate {
namespace {

using namespace zcpool::literals;
namespace sink = zcpool::sink;

using send_pool = zcpool::pool<zcpool::size_classes<4_KiB, 8_KiB, 16_KiB, 32_KiB, 64_KiB, 128_KiB,
                                                    256_KiB, 512_KiB, 1_MiB, 2_MiB>>;

send_pool make_pool(zcpool::lending lending) {
    // settle 0: no account of what peers may hold, so that every slot is renewed at once.
    zcpool::pool_options options{.slots = {256, 128, 64, 64, 64, 32, 16, 8, 8, 8},
                                 .lending = lending,
                                 .lent_settle_time = std::chrono::milliseconds{0}};
    options.locking = zcpool::lock_policy::none;
    auto made = send_pool::create(options);
    if (!made) {
        throw std::system_error{made.error(), "a pool to send from"};
    }
    return std::move(*made);
}

double thread_cpu_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

using moment = std::chrono::steady_clock::time_point;

/// Thrown in the middle of a round.
struct time_is_up {};

void wait_for(sink::interest what, int socket, int ring) noexcept {
    pollfd wanted{what == sink::interest::completion ? ring : socket, 0, 0};
    wanted.events = what == sink::interest::writable     ? POLLOUT
                    : what == sink::interest::completion ? POLLIN
                                                         : 0;
    ::poll(&wanted, 1, 50);
}

/// Flushes until the sink may be given the next message; with `settled`, until the kernel has let
/// go of all.
template <class Sink>
void drive(Sink& out, int socket, int ring, bool settled, moment end) {
    for (;;) {
        const sink::state now = out.flush();
        if (now == sink::state::failed) {
            throw std::system_error{out.error(), "sending"};
        }
        if (now == sink::state::done || (now == sink::state::pending && !settled)) {
            return;
        }
        if (std::chrono::steady_clock::now() >= end) {
            throw time_is_up{};
        }
        wait_for(out.interest(), socket, ring);
    }
}

}  // namespace

/// The sinks and what they send.
struct measurement::ways_out {
    ways_out(path over, const std::string& to, std::size_t run)
        : plain(over, to), bytes_a_run(run) {
        if (over != path::unix_socket) {
            // The kernel numbers the sends of a socket, so that this sink has one of its own.
            referring = std::make_unique<connection>(over, to);
            by_reference.emplace(referring->fd(), sink::zerocopy_options{.copy_below = 0});
            open_ring();
        }
    }

    void open_ring() {
#if CALIBRATE_URING
        auto made = sink::send_ring::create(64);
        if (!made) {
            ring_refusal = made.error().message();
        } else if (!(*made)->can_refer()) {
            ring_refusal = "no SENDMSG_ZC before Linux 6.1";
        } else {
            ring = std::move(*made);
            through_ring.emplace(plain.fd(), *ring, sink::uring_options{.copy_below = 0});
        }
#else
        ring_refusal = "this build is without liburing";
#endif
    }

    [[nodiscard]] bool has(way which) const noexcept {
        switch (which) {
            case way::zerocopy: return by_reference.has_value();
#if CALIBRATE_URING
            case way::uring: return through_ring.has_value();
#else
            case way::uring: return false;
#endif
            default: return true;
        }
    }

    [[nodiscard]] double cost(way which, std::size_t bytes) {
        switch (which) {
            case way::write: return cost_of(plain, copying, bytes);
            case way::sendfile: return cost_of(plain, by_sendfile, bytes);
            case way::splice: return cost_of(plain, by_splice, bytes);
            case way::vmsplice: return cost_of(plain, by_vmsplice, bytes);
            case way::zerocopy: return cost_of(*referring, *by_reference, bytes);
            case way::uring:
#if CALIBRATE_URING
                return cost_of(plain, *through_ring, bytes, ring->fd());
#else
                break;
#endif
            case way::fresh: return cost_of_fresh(by_sendfile, lending, bytes);
        }
        return 0;
    }
    /// What a way is compared with.
    [[nodiscard]] double baseline(way which, std::size_t bytes) {
        return which == way::fresh ? cost_of_fresh(copying, keeping, bytes)
                                   : cost_of(plain, copying, bytes);
    }

    /// Processor time a byte of sending one slice again and again.
    template <class Sink>
    double cost_of(connection& over, Sink& out, std::size_t bytes, int ring_fd = -1) {
        const zcpool::slice& view = frozen(bytes);
        return cost_of_messages(over, bytes, [&](std::size_t left) {
            out.push(view);
            drive(out, over.fd(), ring_fd, left == 0, end);
        });
    }
    /// The same of slots that are acquired and filled for each message.
    template <class Sink>
    double cost_of_fresh(Sink& out, const send_pool& pool, std::size_t bytes) {
        return cost_of_messages(plain, bytes, [&](std::size_t left) {
            zcpool::buffer next = pool.try_acquire(bytes);
            if (!next) {
                throw std::runtime_error{"the pool has no slot: the peer holds too much"};
            }
            std::memset(next.space().data(), static_cast<int>(left & 0xFF), bytes);
            next.commit(bytes);
            out.push(std::move(next).freeze());
            drive(out, plain.fd(), -1, left == 0, end);
        });
    }
    template <class Send>
    double cost_of_messages(connection& over, std::size_t bytes, Send&& send) {
        const std::size_t count = std::max<std::size_t>(2, bytes_a_run / bytes);
        const double begin = thread_cpu_ns();
        for (std::size_t left = count; left-- != 0;) {
            send(left);
        }
        const double spent = thread_cpu_ns() - begin;
        if (!over.wait_drained(bytes * count, end)) {
            throw time_is_up{};
        }
        return spent / static_cast<double>(bytes * count);
    }

    const zcpool::slice& frozen(std::size_t bytes) {
        zcpool::slice& kept = filled[bytes];
        if (kept.empty()) {
            zcpool::buffer next = lending.try_acquire(bytes);
            std::memset(next.space().data(), 'z', bytes);
            next.commit(bytes);
            kept = std::move(next).freeze();
        }
        return kept;
    }

    send_pool lending = make_pool(zcpool::lending::cached);
    send_pool keeping = make_pool(zcpool::lending::never);
    connection plain;
    std::unique_ptr<connection> referring;
    std::size_t bytes_a_run;
    moment end;
    std::map<std::size_t, zcpool::slice> filled;
    sink::write copying{plain.fd()};
    sink::sendfile by_sendfile{plain.fd(), {.copy_below = 0}};
    sink::splice by_splice{plain.fd(), {.copy_below = 0}};
    sink::vmsplice by_vmsplice{plain.fd(), {.copy_below = 0}};
    std::optional<sink::zerocopy> by_reference;
    std::string ring_refusal;
#if CALIBRATE_URING
    std::unique_ptr<sink::send_ring> ring;
    std::optional<sink::uring> through_ring;
#endif
};

measurement::measurement(path over, const std::string& to, const std::vector<std::size_t>& sizes,
                         std::size_t bytes_a_run)
    : out_(std::make_unique<ways_out>(over, to, bytes_a_run)) {
    costs_.over = over;
    costs_.name = over == path::loopback      ? "TCP over loopback"
                  : over == path::unix_socket ? "AF_UNIX"
                                              : "TCP to " + to;
    costs_.congestion_control = out_->plain.congestion_control();
    costs_.uring_refusal = out_->ring_refusal;
    costs_.rows.resize(sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        costs_.rows[i].bytes = sizes[i];
    }
}

measurement::~measurement() = default;

void measurement::run_pass(moment end) try {
    is_odd_ = !is_odd_;
    out_->end = end;
    for (row& each : costs_.rows) {
        for (std::size_t i = 0; i < way_count; ++i) {
            const way which{static_cast<std::uint8_t>(i)};
            if (!out_->has(which)) {
                continue;
            }
            if (std::chrono::steady_clock::now() >= end) {
                return;
            }
            // Not counted: whoever runs behind something else finds everything cold.
            static_cast<void>(out_->baseline(which, each.bytes));
            double mine = 0;
            double other = 0;
            for (const bool subject_next : {is_odd_, !is_odd_, !is_odd_, is_odd_}) {
                (subject_next ? mine : other) += subject_next ? out_->cost(which, each.bytes)
                                                              : out_->baseline(which, each.bytes);
            }
            each.ways[i].add(mine / 2, other / 2);
        }
    }
} catch (time_is_up) {
    // What was begun does not count.
}

path_costs measurement::costs() const {
    path_costs now = costs_;
    now.was_copied = out_->by_reference && out_->by_reference->counts().copied != 0;
    return now;
}

}  // namespace calibrate
