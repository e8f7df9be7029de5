// SPDX-License-Identifier: MIT
#pragma once

// One thread's share of the server: a listener of its own, a way to hear of what happens, and the
// connections that it accepted.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <list>
#include <new>
#include <utility>
#include <vector>

#include <zcpool/sink/linger_list.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <segment_server/net/connection.hpp>
#include <segment_server/net/connection_quota.hpp>

namespace segment_server {

/// Accepts and serves until it is told to drain, then until the last response is out or its time is
/// up.
///
/// Poller: epoll_poller or uring_poller, which calls the members that follow run().
/// Concurrency: run() in one thread; stop() from any.
template <class Origin, class Poller>
class event_loop {
public:
    /// `poller`: the arguments of the poller behind the descriptor that wakes it.
    template <class... Arguments>
    event_loop(zcpool::sys::unique_fd listener, Origin& origin, connection_quota& quota,
               const connection_limits& limits, moment drain_time, Arguments&&... poller)
        : listener_(std::move(listener)),
          wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          origin_(origin),
          quota_(quota),
          limits_(limits),
          drain_time_(drain_time),
          poller_(wake_.get(), std::forward<Arguments>(poller)...) {}
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    /// Whether the system gave what a loop needs.
    [[nodiscard]] bool is_ready() const noexcept { return wake_ && poller_.is_ready(); }

    /// Serves. Returns: false when connections had to be cut off to end in time.
    bool run() {
        if (!poller_.begin()) {
            return false;
        }
        poller_.listen(listener_.get());
        while (!draining_ || listener_ || !connections_.empty()) {
            poller_.wait(*this, patience());
            if (is_told_to_drain_) {
                // After the events, which may be of connections that this closes.
                is_told_to_drain_ = false;
                begin_to_drain();
            }
            feed_hungry();
            if (now_ >= next_tick_) {
                tick();
            }
            attend_ring();
            if (draining_ && now_ >= drain_deadline_) {
                return cut_off();
            }
        }
        finish();
        return true;
    }

    /// Tells the loop to drain.
    void stop() noexcept { ::eventfd_write(wake_.get(), 1); }

    void read_clocks() {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
        now_ = moment{std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000};
        ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
        origin_.set_date(time.tv_sec);
    }

    void wake() noexcept {
        eventfd_t ignored = 0;
        ::eventfd_read(wake_.get(), &ignored);
        is_told_to_drain_ = true;
    }

    /// There may be somebody to accept.
    void accept_some() {
        for (int i = 0; i < accepts_a_turn; ++i) {
            zcpool::sys::unique_fd socket{
                ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            if (!socket) {
                accept_failed(errno);
                return;
            }
            take_in(std::move(socket));
        }
    }

    /// The poller, which accepted, does so no longer, with an errno or 0.
    void accepting_ended(int why) {
        accept_failed(why);
        if (draining_) {
            close_listener();
        } else {
            is_resting_ = true;  // until the next tick, so that no error makes this loop spin
        }
    }

    /// Somebody was accepted.
    void take_in(zcpool::sys::unique_fd socket) {
        const std::size_t open = quota_.enter();
        if (open > quota_.limit() + turned_away_limit) {
            quota_.leave();
            origin_.counters().connections_refused.add(1);
            return;
        }
        connections_.emplace_front(std::move(socket), *this);
        entry& one = connections_.front();
        one.position = connections_.begin();
        origin_.counters().connections_accepted.add(1);
        if (open > quota_.limit()) {
            origin_.counters().connections_refused.add(1);
            settle(one, one.served.turn_away(status::unavailable, now_));
            if (connections_.empty() || &connections_.front() != &one || one.is_leaving) {
                return;
            }
        }
        if (!poller_.add(one.link)) {
            forget(one);
        } else if (draining_) {
            settle(one, one.served.drain(now_));
        } else if constexpr (Poller::must_ask) {
            settle(one, one.served.run(EPOLLIN, now_));
        }
    }

    /// Something happened to a connection.
    void happened(void* owner, std::uint32_t events) {
        auto& one = *static_cast<entry*>(owner);
        settle(one, one.served.run(events, now_));
    }

    /// Nothing of a connection that was let go is under way any more.
    void left(void* owner) { destroy(*static_cast<entry*>(owner)); }

    /// A request of a sink has completed.
    void sent(std::uint64_t name, std::int32_t result, std::uint32_t flags) noexcept {
        if constexpr (sends_through_ring) {
            origin_.sinks().ring().take_in(name, result, flags);
        }
    }

private:
    using connection_type = connection<Origin, typename Poller::socket_type>;
    using fate = typename connection_type::fate;

    struct entry {
        entry(zcpool::sys::unique_fd socket, event_loop& loop)
            : link{.owner = this, .fd = socket.get()},
              served(loop.poller_.make_socket(std::move(socket), link), loop.origin_, loop.limits_,
                     loop.now_) {
            served.set_owner(this);
        }
        typename Poller::link link;
        connection_type served;
        bool is_leaving = false;
        typename std::list<entry>::iterator position;
    };

    static constexpr bool sends_through_ring = requires(Origin& origin) { origin.sinks().ring(); };
    static constexpr moment tick_time{50};
    static constexpr int accepts_a_turn = 64;
    // Above the limit so many may still wait for their 503; what is above that is closed at once.
    static constexpr std::size_t turned_away_limit = 64;

    [[nodiscard]] int patience() const noexcept {
        if (!hungry_.empty()) {
            return 0;
        }
        const bool is_idle =
            connections_.empty() && !is_resting_ && zcpool::sink::linger_list::common().size() == 0;
        return is_idle ? -1 : static_cast<int>(tick_time.count());
    }

    // Last in a turn: connections that this closes may have events in it, and whatever ran before
    // may have taken in what completed for others.
    void attend_ring() {
        if constexpr (sends_through_ring) {
            auto& ring = origin_.sinks().ring();
            ring.reap();
            ring.announce([this](void* owner) { happened(owner, 0); });
        }
    }

    // While this thread lives, which such rings need. What the kernel still refers to then stays.
    void finish() {
        poller_.finish(*this);
        if constexpr (sends_through_ring) {
            origin_.sinks().ring().finish();
        }
    }

    void settle(entry& one, fate after) {
        if (after == fate::closed) {
            return forget(one);
        }
        if (after == fate::hungry && !one.served.is_listed_hungry) {
            one.served.is_listed_hungry = true;
            hungry_.push_back(&one);
        }
        if (one.served.awaits_output()) {
            poller_.await(one.link);
        }
    }

    void forget(entry& one) {
        if (one.is_leaving) {
            return;
        }
        one.is_leaving = true;
        if (one.served.is_listed_hungry) {
            std::erase(hungry_, &one);
        }
        one.served.set_owner(nullptr);
        if (poller_.release(one.link)) {
            destroy(one);
        }
    }

    void destroy(entry& one) {
        connections_.erase(one.position);
        quota_.leave();
        origin_.counters().connections_closed.add(1);
    }

    void feed_hungry() {
        // Whoever is still hungry afterwards stands in the list again, for the next turn.
        turn_.swap(hungry_);
        for (entry* one : turn_) {
            one->served.is_listed_hungry = false;
        }
        for (entry* one : turn_) {
            settle(*one, one->served.run(0, now_));
        }
        turn_.clear();
    }

    // Any other error is of the connection that was lost before it was accepted, or EAGAIN.
    void accept_failed(int why) {
        if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM) {
            origin_.counters().accept_failures.add(1);
            poller_.rest(listener_.get());
            is_resting_ = true;
        }
    }

    void tick() {
        next_tick_ = now_ + tick_time;
        if (is_resting_ && listener_) {
            is_resting_ = false;
            poller_.listen(listener_.get());
        }
        for_each([this](entry& one) { return one.served.expire(now_); });
        // What the kernel still had to send when a connection was closed.
        zcpool::sink::linger_list::common().poll();
    }

    void begin_to_drain() {
        if (draining_) {
            return;
        }
        draining_ = true;
        drain_deadline_ = now_ + drain_time_;
        close_listener();
        for_each([this](entry& one) { return one.served.drain(now_); });
    }

    void close_listener() {
        if (listener_ && poller_.stop_listening()) {
            accept_some();  // Closing the listener would reset those who are waiting in it.
            listener_.reset();
            is_resting_ = false;
        }
    }

    template <class Act>
    void for_each(Act&& act) {
        for (auto next = connections_.begin(); next != connections_.end();) {
            entry& one = *next++;
            if (!one.is_leaving) {
                settle(one, act(one));
            }
        }
    }

    bool cut_off() {
        const bool clean = connections_.empty();
        for_each([](entry& one) {
            reset_on_close(one.served.fd());
            return fate::closed;
        });
        for (int i = 0; i < 100 && !connections_.empty(); ++i) {
            poller_.wait(*this, 10);
        }
        if (!connections_.empty()) {
            // The kernel may still write there: memory that is lost is better.
            static_cast<void>(new (std::nothrow) std::list<entry>{std::move(connections_)});
        }
        finish();
        return clean;
    }

    zcpool::sys::unique_fd listener_;
    zcpool::sys::unique_fd wake_;
    Origin& origin_;
    connection_quota& quota_;
    connection_limits limits_;
    moment drain_time_;
    moment drain_deadline_{};
    moment now_{};
    moment next_tick_{};
    bool is_told_to_drain_ = false;
    bool draining_ = false;
    bool is_resting_ = false;
    std::list<entry> connections_;
    std::vector<entry*> hungry_;
    std::vector<entry*> turn_;
    Poller poller_;
};

}  // namespace segment_server
