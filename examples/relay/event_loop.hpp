// SPDX-License-Identifier: MIT
#pragma once

// Everything that happens, in one thread: clients that come, sockets that can go on, time, signals.

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <list>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <zcpool/sys/unique_fd.hpp>

#include <common/address.hpp>
#include <relay/connection.hpp>
#include <relay/options.hpp>

namespace relay {

/// Relays until SIGTERM or SIGINT; SIGUSR1 prints the statistics.
template <class Direction>
class event_loop {
public:
    /// `signals`: a signalfd of the three.
    event_loop(zcpool::sys::unique_fd listener, zcpool::sys::unique_fd signals,
               const examples::address& to, const options& values, surroundings& around)
        : listener_(std::move(listener)),
          signals_(std::move(signals)),
          to_(to),
          values_(values),
          around_(around),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    /// Returns: false when the system did not give what a loop needs.
    bool run() {
        read_clock();
        next_line_ = now_ + values_.statistics_every.count();
        if (!epoll_ || !watch(listener_.get(), EPOLLIN, &listener_tag) ||
            !watch(signals_.get(), EPOLLIN, &signals_tag)) {
            return false;
        }
        while (!is_over_) {
            std::array<epoll_event, 128> events;
            const int count = ::epoll_wait(epoll_.get(), events.data(),
                                           static_cast<int>(events.size()), patience());
            read_clock();
            for (int i = 0; i < count; ++i) {
                happened(events[static_cast<std::size_t>(i)]);
            }
            go_on_with_listed();
            if (now_ >= next_tick_) {
                tick();
            }
            bury();
        }
        connections_.clear();
        say();
        return true;
    }

private:
    using entry = connection<Direction>;

    static constexpr moment tick_time = 50;
    static constexpr int accepts_a_turn = 64;

    void read_clock() noexcept {
        timespec time{};
        ::clock_gettime(CLOCK_MONOTONIC, &time);
        now_ = moment{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
    }

    /// How long nothing need be looked at: not at all while somebody can go on.
    [[nodiscard]] int patience() const noexcept {
        if (!eager_.empty()) {
            return 0;
        }
        const bool keeps_time =
            !connections_.empty() || is_resting_ || values_.statistics_every.count() != 0;
        return keeps_time ? static_cast<int>(tick_time) : -1;
    }

    bool watch(int fd, std::uint32_t events, void* tag) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.ptr = tag;
        return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
    }

    void happened(const epoll_event& event) {
        if (event.data.ptr == &listener_tag) {
            accept_some();
        } else if (event.data.ptr == &signals_tag) {
            take_signals();
        } else if (auto& one = *static_cast<entry*>(event.data.ptr); !one.is_closed) {
            if ((event.events & EPOLLERR) != 0 && one.take_error() != 0) {
                fail(one);
            } else if (!one.is_connected && (event.events & EPOLLOUT) == 0) {
                return;  // of the client, which waits with us
            } else {
                go_on(one);
            }
        }
    }

    void accept_some() {
        for (int i = 0; i < accepts_a_turn; ++i) {
            zcpool::sys::unique_fd client{
                ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            if (!client) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                    rest();
                }
                return;
            }
            ++around_.counted.accepted;
            if (open_ >= values_.max_connections) {
                ++around_.counted.refused;
                reset_on_close(client.get());
                continue;
            }
            relay_to_peer(std::move(client));
        }
    }

    void relay_to_peer(zcpool::sys::unique_fd client) {
        zcpool::sys::unique_fd upstream{
            ::socket(to_.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        if (!upstream) {
            ++around_.counted.refused;
            reset_on_close(client.get());
            return;
        }
        const bool begun =
            ::connect(upstream.get(), reinterpret_cast<const sockaddr*>(&to_.storage),
                      to_.length) == 0 ||
            errno == EINPROGRESS;
        entry& one =
            connections_.emplace_front(std::move(client), std::move(upstream), around_, now_);
        ++open_;
        // Edges: what cannot go on now says nothing until it can, whatever the other side does.
        constexpr std::uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        if (!begun || !watch(one.upstream(), all, &one) || !watch(one.client(), all, &one)) {
            fail(one);
        }
    }

    void go_on(entry& one) {
        if (!one.is_connected) {
            if (one.take_error() != 0) {
                return fail(one);
            }
            sockaddr_storage peer{};
            socklen_t length = sizeof peer;
            if (::getpeername(one.upstream(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
                return;  // not yet: it was the client that is writable
            }
            one.is_connected = true;
        }
        switch (one.move(now_)) {
            case fate::waiting: return;
            case fate::starved: ++around_.counted.waits; return list(one, starved_);
            case fate::more: return list(one, eager_);
            case fate::ended: ++around_.counted.finished; return close(one);
            case fate::failed: return fail(one);
        }
    }

    /// Those that had more to do than a turn allows, or wait for what others give back.
    void go_on_with_listed() {
        turn_.swap(eager_);
        turn_.insert(turn_.end(), starved_.begin(), starved_.end());
        starved_.clear();
        for (entry* each : turn_) {
            each->is_listed = false;
            if (!each->is_closed) {
                go_on(*each);
            }
        }
        turn_.clear();
    }

    static void list(entry& one, std::vector<entry*>& where) {
        if (!std::exchange(one.is_listed, true)) {
            where.push_back(&one);
        }
    }

    /// At the end of a turn: events of it may have been of connections that others of it closed.
    void bury() {
        if (std::exchange(has_closed_, false)) {
            constexpr auto is_closed = [](const entry* each) { return each->is_closed; };
            std::erase_if(eager_, is_closed);
            std::erase_if(starved_, is_closed);
            connections_.remove_if([](const entry& each) { return each.is_closed; });
        }
    }

    void fail(entry& one) {
        ++(one.is_connected ? around_.counted.aborted : around_.counted.connect_failures);
        one.reset();
        close(one);
    }

    void close(entry& one) {
        if (!std::exchange(one.is_closed, true)) {
            --open_;
            has_closed_ = true;
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.client(), nullptr);
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.upstream(), nullptr);
        }
    }

    void rest() noexcept {
        if (!std::exchange(is_resting_, true)) {
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
        }
    }

    void tick() {
        next_tick_ = now_ + tick_time;
        if (std::exchange(is_resting_, false)) {
            watch(listener_.get(), EPOLLIN, &listener_tag);
        }
        for (entry& each : connections_) {
            if (each.is_closed) {
                continue;
            }
            const moment limit =
                (each.is_connected ? values_.idle_timeout : values_.connect_timeout).count();
            if (now_ - each.last_moved() < limit) {
                continue;
            }
            if (each.is_connected) {
                ++around_.counted.idle_timeouts;
                each.reset();
                close(each);
            } else {
                fail(each);
            }
        }
        if (values_.statistics_every.count() != 0 && now_ >= next_line_) {
            next_line_ = now_ + values_.statistics_every.count();
            say();
        }
    }

    void take_signals() {
        signalfd_siginfo told{};
        while (::read(signals_.get(), &told, sizeof told) == sizeof told) {
            if (told.ssi_signo == SIGUSR1) {
                say();
            } else {
                is_over_ = true;
            }
        }
    }

    void say() {
        std::uint64_t slots = 0;
        if (around_.pool) {
            const auto stats = around_.pool->stats();
            for (const auto& each : stats) {
                slots += each.in_use;
            }
        }
        fmt::print("{}\n", around_.counted.line(open_, slots));
        std::fflush(stdout);
    }

    static inline char listener_tag = 0;
    static inline char signals_tag = 0;

    zcpool::sys::unique_fd listener_;
    zcpool::sys::unique_fd signals_;
    examples::address to_;
    const options& values_;
    surroundings& around_;
    zcpool::sys::unique_fd epoll_;
    std::list<entry> connections_;
    std::size_t open_ = 0;  ///< of them, those that are not closed
    bool has_closed_ = false;
    std::vector<entry*> eager_;
    std::vector<entry*> starved_;
    std::vector<entry*> turn_;
    moment now_ = 0;
    moment next_tick_ = 0;
    moment next_line_ = 0;
    bool is_resting_ = false;
    bool is_over_ = false;
};

}  // namespace relay
