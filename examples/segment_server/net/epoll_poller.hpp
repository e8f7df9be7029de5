// SPDX-License-Identifier: MIT
#pragma once

// An event loop's view of the world through epoll, edge-triggered for connections.
// Source: epoll(7).

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include <zcpool/sys/unique_fd.hpp>

#include <segment_server/net/ready_socket.hpp>

namespace segment_server {

/// Tells a loop of what happens. See uring_poller for the other one.
class epoll_poller {
public:
    using socket_type = ready_socket;
    /// Whether a connection hears of its input only when it has asked for it.
    static constexpr bool must_ask = false;

    /// What it needs to know of a connection: its owner is what events are told with.
    struct link {
        void* owner = nullptr;
        int fd = -1;
    };

    /// `ring`: an io_uring that sinks send through, whose descriptor becomes readable; or -1.
    epoll_poller(int wake, int ring) noexcept : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
        watch(wake, &wake_tag);
        if (ring >= 0) {
            watch(ring, &ring_tag);
        }
    }

    [[nodiscard]] static socket_type make_socket(zcpool::sys::unique_fd socket, link&) noexcept {
        return socket_type{std::move(socket)};
    }

    /// Whether the system gave what it needs.
    [[nodiscard]] bool is_ready() const noexcept { return epoll_ && watches_; }
    [[nodiscard]] static bool begin() noexcept { return true; }

    /// Listens. `accept()` of the loop is called when there may be somebody.
    void listen(int listener) noexcept {
        if (!has_listener_) {
            has_listener_ = true;
            return watch(listener, &listener_tag);
        }
        listen_for(listener, EPOLLIN);
    }
    // The listener would be announced again and again while there is no descriptor for what it has.
    void rest(int listener) noexcept { listen_for(listener, 0); }
    /// The listener is about to be closed. Returns: whether it may be.
    [[nodiscard]] static bool stop_listening() noexcept { return true; }

    /// Begins to watch a connection.
    [[nodiscard]] bool add(link& one) noexcept {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.ptr = one.owner;
        return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.fd, &event) == 0;
    }
    /// Edges tell of everything.
    static void await(link&) noexcept {}
    /// Forgets a connection. Returns: whether it may be destroyed now.
    [[nodiscard]] bool release(link& one) noexcept {
        // Closing alone would not do: what a sink left in flight has a descriptor of its own for
        // the socket, and the kernel would go on announcing events of a connection that is gone.
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.fd, nullptr);
        return true;
    }

    /// Waits for so many milliseconds at most, for ever below 0, and tells the loop.
    template <class Loop>
    void wait(Loop& loop, int milliseconds) {
        const int count = ::epoll_wait(epoll_.get(), events_.data(),
                                       static_cast<int>(events_.size()), milliseconds);
        loop.read_clocks();
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events_[static_cast<std::size_t>(i)];
            if (event.data.ptr == &listener_tag) {
                loop.accept_some();
            } else if (event.data.ptr == &wake_tag) {
                loop.wake();
            } else if (event.data.ptr != &ring_tag) {  // whose turn comes after all others
                loop.happened(event.data.ptr, event.events);
            }
        }
    }

    /// Nothing is under way behind connections that have ended.
    template <class Loop>
    static void finish(Loop&) noexcept {}

private:
    void watch(int fd, void* tag) noexcept {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = tag;
        watches_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 && watches_;
    }
    void listen_for(int listener, std::uint32_t events) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.ptr = &listener_tag;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener, &event);
    }

    static inline char listener_tag = 0;
    static inline char wake_tag = 0;
    static inline char ring_tag = 0;

    zcpool::sys::unique_fd epoll_;
    bool watches_ = true;
    bool has_listener_ = false;
    std::array<epoll_event, 128> events_{};
};

}  // namespace segment_server
