// SPDX-License-Identifier: MIT
#pragma once

// One thread's share of the server: a listener of its own, an epoll instance, and the connections
// that it accepted.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <list>
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
/// Concurrency: run() in one thread; stop() from any.
template <class Origin>
class event_loop {
public:
    event_loop(zcpool::sys::unique_fd listener, Origin& origin, connection_quota& quota,
               const connection_limits& limits, moment drain_time)
        : listener_(std::move(listener)),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)),
          wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          origin_(origin),
          quota_(quota),
          limits_(limits),
          drain_time_(drain_time) {
        watch(listener_.get(), EPOLLIN, &listener_);
        watch(wake_.get(), EPOLLIN, &wake_);
        if constexpr (sends_through_ring) {
            watch(origin_.sinks().ring().fd(), EPOLLIN, &origin_);
        }
    }
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    /// Whether the system gave what a loop needs.
    [[nodiscard]] bool is_ready() const noexcept { return epoll_ && wake_ && watches_; }

    /// Serves. Returns: false when connections had to be cut off to end in time.
    bool run() {
        while (!draining_ || !connections_.empty()) {
            const int count = ::epoll_wait(epoll_.get(), events_.data(),
                                           static_cast<int>(events_.size()), patience());
            read_clocks();
            for (int i = 0; i < count; ++i) {
                dispatch(events_[static_cast<std::size_t>(i)]);
            }
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
        return true;
    }

    /// Tells the loop to drain.
    void stop() noexcept { ::eventfd_write(wake_.get(), 1); }

private:
    using connection_type = connection<Origin>;
    using fate = typename connection_type::fate;

    struct entry {
        entry(zcpool::sys::unique_fd socket, Origin& origin, const connection_limits& limits,
              moment now)
            : served(std::move(socket), origin, limits, now) {}
        connection_type served;
        typename std::list<entry>::iterator position;
    };

    static constexpr bool sends_through_ring = requires(Origin& origin) { origin.sinks().ring(); };
    static constexpr moment tick_time{50};
    static constexpr int accepts_a_turn = 64;
    // Above the limit so many may still wait for their 503; what is above that is closed at once.
    static constexpr std::size_t turned_away_limit = 64;

    void watch(int fd, std::uint32_t events, void* tag) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.ptr = tag;
        watches_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 && watches_;
    }

    [[nodiscard]] int patience() const noexcept {
        if (!hungry_.empty()) {
            return 0;
        }
        const bool is_idle =
            connections_.empty() && !is_resting_ && zcpool::sink::linger_list::common().size() == 0;
        return is_idle ? -1 : static_cast<int>(tick_time.count());
    }

    void read_clocks() {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
        now_ = moment{std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000};
        ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
        origin_.set_date(time.tv_sec);
    }

    void dispatch(const epoll_event& event) {
        if (event.data.ptr == &listener_) {
            accept_some();
        } else if (event.data.ptr == &wake_) {
            eventfd_t ignored = 0;
            ::eventfd_read(wake_.get(), &ignored);
            is_told_to_drain_ = true;
        } else if (event.data.ptr != &origin_) {  // the ring's turn comes after all others
            auto& one = *static_cast<entry*>(event.data.ptr);
            settle(one, one.served.run(event.events, now_));
        }
    }

    // Last in a turn: connections that this closes may have events in it, and whatever ran before
    // may have taken in what completed for others.
    void attend_ring() {
        if constexpr (sends_through_ring) {
            auto& ring = origin_.sinks().ring();
            ring.reap();
            ring.announce([this](void* owner) {
                auto& one = *static_cast<entry*>(owner);
                settle(one, one.served.run(0, now_));
            });
        }
    }

    void settle(entry& one, fate after) {
        if (after == fate::closed) {
            forget(one);
        } else if (after == fate::hungry && !one.served.is_listed_hungry) {
            one.served.is_listed_hungry = true;
            hungry_.push_back(&one);
        }
    }

    void forget(entry& one) {
        if (one.served.is_listed_hungry) {
            std::erase(hungry_, &one);
        }
        // Closing alone would not do: what a sink left in flight has a descriptor of its own for
        // the socket, and the kernel would go on announcing events of a connection that is gone.
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.served.fd(), nullptr);
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

    void accept_some() {
        for (int i = 0; i < accepts_a_turn; ++i) {
            zcpool::sys::unique_fd socket{
                ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            if (!socket) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                    rest();
                }
                // Any other error is of the connection that was lost before it was accepted, or
                // EAGAIN.
                return;
            }
            take_in(std::move(socket));
        }
    }

    void take_in(zcpool::sys::unique_fd socket) {
        const std::size_t open = quota_.enter();
        if (open > quota_.limit() + turned_away_limit) {
            quota_.leave();
            origin_.counters().connections_refused.add(1);
            return;
        }
        connections_.emplace_front(std::move(socket), origin_, limits_, now_);
        entry& one = connections_.front();
        one.position = connections_.begin();
        one.served.set_owner(&one);
        origin_.counters().connections_accepted.add(1);
        if (open > quota_.limit()) {
            origin_.counters().connections_refused.add(1);
            settle(one, one.served.turn_away(status::unavailable, now_));
            if (connections_.empty() || &connections_.front() != &one) {
                return;
            }
        }
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.ptr = &one;
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.served.fd(), &event) != 0) {
            forget(one);
        }
    }

    // The listener would be announced again and again while there is no descriptor for what it has.
    void rest() {
        origin_.counters().accept_failures.add(1);
        listen_for(0);
        is_resting_ = true;
    }

    void listen_for(std::uint32_t events) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.ptr = &listener_;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
    }

    void tick() {
        next_tick_ = now_ + tick_time;
        if (is_resting_ && listener_) {
            is_resting_ = false;
            listen_for(EPOLLIN);
        }
        for_each([this](entry& one) { return one.served.expire(now_); });
        // What the kernel still had to send when a connection was closed.
        zcpool::sink::linger_list::common().poll();
    }

    void begin_to_drain() {
        if (draining_) {
            return;
        }
        accept_some();  // Closing the listener would reset those who are waiting in it.
        listener_.reset();
        is_resting_ = false;
        draining_ = true;
        drain_deadline_ = now_ + drain_time_;
        for_each([this](entry& one) { return one.served.drain(now_); });
    }

    template <class Act>
    void for_each(Act&& act) {
        for (auto next = connections_.begin(); next != connections_.end();) {
            entry& one = *next++;
            settle(one, act(one));
        }
    }

    bool cut_off() {
        const bool clean = connections_.empty();
        for (entry& one : connections_) {
            reset_on_close(one.served.fd());
        }
        hungry_.clear();
        while (!connections_.empty()) {
            forget(connections_.front());
        }
        return clean;
    }

    zcpool::sys::unique_fd listener_;
    zcpool::sys::unique_fd epoll_;
    zcpool::sys::unique_fd wake_;
    Origin& origin_;
    connection_quota& quota_;
    connection_limits limits_;
    moment drain_time_;
    moment drain_deadline_{};
    moment now_{};
    moment next_tick_{};
    bool watches_ = true;
    bool is_told_to_drain_ = false;
    bool draining_ = false;
    bool is_resting_ = false;
    std::list<entry> connections_;
    std::vector<entry*> hungry_;
    std::vector<entry*> turn_;
    std::array<epoll_event, 128> events_{};
};

}  // namespace segment_server
