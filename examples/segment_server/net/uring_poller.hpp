// SPDX-License-Identifier: MIT
#pragma once

// An event loop's view of the world through an io_uring: accepting, receiving and waiting are
// requests, all of which a turn hands over in the one system call that waits, together with those
// of the sinks where they send through the same ring.
// Source: io_uring(7), io_uring_prep_multishot_accept(3).

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <zcpool/source/receive_ring.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/uring.hpp>

#include <segment_server/net/file_table.hpp>
#include <segment_server/net/ring_socket.hpp>

namespace segment_server {

/// What a poller is made of: the ring of the loop, and where the kernel puts what comes for its
/// connections; none: into the room of each; and where the ring knows its connections' sockets by
/// place; none: it looks them up by descriptor.
struct loop_ring {
    zcpool::sys::uring& ring;
    std::unique_ptr<zcpool::source::receive_ring> slots;
    std::unique_ptr<file_table> files;
};

/// Tells a loop of what happens, as epoll_poller does.
class uring_poller {
public:
    using socket_type = ring_socket;
    using link = ring_link;
    static constexpr bool must_ask = true;

    /// `with.ring`: made for a loop, and not enabled yet.
    uring_poller(int wake, loop_ring with) noexcept
        : ring_(with.ring),
          slots_(std::move(with.slots)),
          files_(std::move(with.files)),
          wake_(wake) {}
    uring_poller(const uring_poller&) = delete;
    uring_poller& operator=(const uring_poller&) = delete;

    [[nodiscard]] socket_type make_socket(zcpool::sys::unique_fd socket, link& one) noexcept {
        const int fd = socket.get();
        return socket_type{std::move(socket), ring_, slots_.get(),
                           files_ ? files_->put(fd) : file_place{}, one};
    }

    [[nodiscard]] static bool is_ready() noexcept { return true; }
    /// In the loop's thread. Returns: false when the ring is another thread's.
    [[nodiscard]] bool begin() noexcept { return ring_.enable().has_value() && watch_wake(); }

    /// Accepts for the loop, which is handed each socket.
    void listen(int listener) noexcept {
        listener_ = listener;
        if (!accepts_) {
            // Before Linux 6.10 a request on a listener that does not block does not wait.
            block(true);
            accepts_ = ask(ring_, nullptr, ring_request::accept, [&](io_uring_sqe* place) {
                ::io_uring_prep_multishot_accept(place, listener_, nullptr, nullptr,
                                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
            });
        }
    }
    /// A multishot request that failed has ended.
    static void rest(int) noexcept {}
    /// The listener is about to be closed. Returns: whether it may be; if not, ask again later.
    [[nodiscard]] bool stop_listening() noexcept {
        block(false);
        if (accepts_ && !cancels_accept_) {
            cancels_accept_ = cancel(nullptr, ring_request::accept, ring_request::end);
        }
        return !accepts_;
    }

    [[nodiscard]] static bool add(link&) noexcept { return true; }
    /// The connection waits for something else than octets. Told of once, it is told of for good,
    /// at edges, as epoll does; and of the peer's end too, whether one wants to know or not.
    void await(link& one) noexcept {
        if ((one.under_way & bit_of(ring_request::ready)) == 0 && !one.is_leaving &&
            ask(ring_, &one, ring_request::ready, [&](io_uring_sqe* place) {
                // Of errors that were not asked for, a multishot request may lose an edge.
                ::io_uring_prep_poll_multishot(place, one.fd, POLLOUT | POLLERR | POLLHUP);
                name_socket(*place, one);
            })) {
            one.under_way |= bit_of(ring_request::ready);
        }
    }
    /// Forgets a connection. Returns: whether it may be destroyed now; if not, the loop is told.
    [[nodiscard]] bool release(link& one) noexcept {
        one.is_leaving = true;
        one.source.reset();  // whose request is none of this connection's any more
        cancel(one, ring_request::receive, ring_request::end_receive);
        cancel(one, ring_request::ready, ring_request::end_ready);
        return one.under_way == 0;
    }

    /// Waits for so many milliseconds at most, for ever below 0, and tells the loop.
    template <class Loop>
    void wait(Loop& loop, int milliseconds) {
        ring_.submit_and_wait(milliseconds);
        loop.read_clocks();
        ring_.reap([&](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            if ((name >> 63) == 0) {
                loop.sent(name, result, flags);
            } else if (!zcpool::source::receive_ring::is_name(name)) {
                completed(loop, name, result, flags);
            } else if (slots_) {
                slots_->take_in(name, result, flags);
            }
        });
        if (slots_) {
            slots_->announce([&](void* one) {
                loop.happened(static_cast<link*>(one)->owner, std::uint32_t{POLLIN});
            });
            slots_->reap();  // what they have taken is room for more
        }
    }

    /// Waits until the kernel receives no more for connections that have ended, for a second at
    /// most. In the loop's thread, when it has no connection any more.
    template <class Loop>
    void finish(Loop& loop) {
        for (int i = 0; i < 100 && slots_ && slots_->in_flight() != 0; ++i) {
            wait(loop, 10);
        }
        slots_.reset();
    }

private:
    static constexpr std::uint64_t request_bits = 15;

    [[nodiscard]] static std::uint8_t bit_of(ring_request what) noexcept {
        return static_cast<std::uint8_t>(1U << static_cast<unsigned>(what));
    }

    [[nodiscard]] bool watch_wake() noexcept {
        return ask(ring_, nullptr, ring_request::wake,
                   [&](io_uring_sqe* place) { ::io_uring_prep_poll_add(place, wake_, POLLIN); });
    }

    /// Ends a request of a connection, by a request that is under way itself.
    void cancel(link& one, ring_request what, ring_request how) noexcept {
        if ((one.under_way & bit_of(what)) == 0) {
            return;
        }
        if (cancel(&one, what, how)) {
            one.under_way |= bit_of(how);
        } else {
            ::shutdown(one.fd, SHUT_RDWR);  // that ends it, too
        }
    }

    [[nodiscard]] bool cancel(const link* one, ring_request what, ring_request how) noexcept {
        return ask(ring_, one, how, [&](io_uring_sqe* place) {
            ::io_uring_prep_cancel64(place, name_of(one, what), 0);
        });
    }

    void block(bool blocks) noexcept {
        const int flags = ::fcntl(listener_, F_GETFL);
        ::fcntl(listener_, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    }

    [[nodiscard]] static bool is_end(ring_request what) noexcept {
        return what == ring_request::end_receive || what == ring_request::end_ready;
    }

    template <class Loop>
    void completed(Loop& loop, std::uint64_t name, int result, std::uint32_t flags) {
        const auto what = static_cast<ring_request>(name & request_bits);
        switch (what) {
            case ring_request::end: return;
            case ring_request::wake:
                loop.wake();
                static_cast<void>(watch_wake());
                return;
            case ring_request::accept: return accepted(loop, result, flags);
            case ring_request::receive:
            case ring_request::ready:
            case ring_request::end_receive:
            case ring_request::end_ready: break;
        }
        const auto address = static_cast<std::uintptr_t>(name << 1 >> 1 & ~request_bits);
        auto& one = *reinterpret_cast<link*>(address);
        if ((flags & IORING_CQE_F_MORE) == 0) {
            one.under_way &= static_cast<std::uint8_t>(~bit_of(what));
        }
        if (one.is_leaving) {
            if (result < 0 && is_end(what) && one.under_way != 0) {
                // Linux 6.18 may not find a receive that an error has just woken.
                ::shutdown(one.fd, SHUT_RDWR);
            }
            if (one.under_way == 0) {
                loop.left(one.owner);
            }
            return;
        }
        if (what == ring_request::receive) {
            one.result = result;
            one.has_result = true;
        }
        const auto events =
            result > 0 ? static_cast<std::uint32_t>(result) : std::uint32_t{POLLOUT};
        loop.happened(one.owner, what == ring_request::receive ? POLLIN : events);
    }

    template <class Loop>
    void accepted(Loop& loop, int result, std::uint32_t flags) {
        accepts_ = (flags & IORING_CQE_F_MORE) != 0;
        if (result >= 0) {
            loop.take_in(zcpool::sys::unique_fd{result});
        }
        if (!accepts_) {
            loop.accepting_ended(result < 0 ? -result : 0);
        }
    }

    zcpool::sys::uring& ring_;
    std::unique_ptr<zcpool::source::receive_ring> slots_;
    std::unique_ptr<file_table> files_;
    int wake_;
    int listener_ = -1;
    bool accepts_ = false;
    bool cancels_accept_ = false;
};

}  // namespace segment_server
