// SPDX-License-Identifier: MIT
#pragma once

// An io_uring that sends for many sinks, and keeps what its requests refer to. Not part of
// zcpool.hpp: it needs liburing and comes with the CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC (Linux 6.1).

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sink/fixed_buffers.hpp>
#include <zcpool/sink/ring_line.hpp>
#include <zcpool/sink/ring_requests.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sink {

/// How a request sends the message of a line.
enum class send_way : std::uint8_t {
    write,       ///< WRITEV, for what is no socket
    copy,        ///< SENDMSG
    reference,   ///< SENDMSG_ZC
    registered,  ///< SEND_ZC of one part, from a registered buffer
};

/// A request to send a line's message.
struct send_order {
    int fd = -1;
    send_way way = send_way::copy;
    bool more_follows = false;
    std::uint16_t place = 0;  ///< of the registered buffer
};

/// An io_uring and the sends in flight of the sinks that use it.
///
/// Sharing: one thread, with its sinks, which it must outlive. Ending it with sends in flight waits
/// for them for a second; what the kernel then still refers to is never freed.
class send_ring {
public:
    /// What a request refers to.
    struct sent {
        chain slices;
        ring_line_ref line;
    };

    /// Errors: those of sys::uring::create.
    [[nodiscard]] static result<std::unique_ptr<send_ring>> create(unsigned entries) noexcept {
        auto ring = sys::uring::create(entries);
        if (!ring) {
            return fail(ring.error());
        }
        return over(std::move(*ring), false);
    }

    /// Sends through the ring of an event loop, which submits its requests with its own, and hands
    /// completions to take_in(): so that many sends are one system call. A sink then always waits
    /// for a completion, never for its descriptor. The loop names its requests from 2^63 on.
    ///
    /// Errors: `out_of_memory`.
    [[nodiscard]] static result<std::unique_ptr<send_ring>> create_driven(
        std::unique_ptr<sys::uring> ring) noexcept {
        return over(std::move(ring), true);
    }
    send_ring(const send_ring&) = delete;
    send_ring& operator=(const send_ring&) = delete;
    ~send_ring() {
        announce([](void*) {});
        finish();
        if (in_flight() != 0) {
            // Memory that is lost is better than memory that changes while it is sent.
            static_cast<void>(sends_.release());
        }
    }

    /// Registers a pool's slots, so that sends by reference need not pin and charge their pages
    /// each time. The pool's memory stays while the ring lives; until then it cannot be trimmed or
    /// shared. Of a pool that is registered already, does nothing.
    ///
    /// Errors: `pages_replaceable` for a pool that lends, is shared or checked, or was trimmed, as
    /// a registration goes on sending from the pages that it found; `unsupported` without SEND_ZC
    /// (Linux 6.0); `too_large` beyond 64 GiB; the errno of io_uring_register, ENOMEM beyond
    /// RLIMIT_MEMLOCK. `report`, if given, names the value, the limit and the remedy. Refused, the
    /// ring sends from the pool all the same.
    result<void> register_pool(pool_view pool, registration_report* report = nullptr) noexcept {
        registration_report unwanted;
        return fixed_.add(*ring_, pool, report == nullptr ? unwanted : *report);
    }

    /// Registers what another ring has: for a ring each thread. Pinned and charged once where the
    /// kernel can clone (Linux 6.12), else again.
    ///
    /// Expects: this ring has nothing registered.
    /// Errors: as register_pool().
    result<void> register_all_of(const send_ring& other,
                                 registration_report* report = nullptr) noexcept {
        registration_report unwanted;
        return fixed_.add_all_of(*ring_, other.fixed_, *other.ring_,
                                 report == nullptr ? unwanted : *report);
    }

    /// Where in the ring's table these bytes are registered; nothing where they are not.
    [[nodiscard]] std::optional<std::uint16_t> registered_place(const std::byte* data,
                                                                std::size_t size) const noexcept {
        return fixed_.find(data, size);
    }

    /// Waits for what is in flight, for a second at most. To be called by the thread of a driven
    /// ring before it ends, and when its loop has no requests any more.
    void finish() noexcept {
        for (int i = 0; i < 100 && in_flight() != 0; ++i) {
            static_cast<void>(ring_->submit());
            ring_->wait(10);
            ring_->reap([this](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
                take_in(name, result, flags);
            });
        }
    }

    /// Hands a send of a line's message to the kernel; the line waits for its result.
    ///
    /// Errors: `out_of_memory`; EAGAIN when the kernel takes no request now.
    [[nodiscard]] result<void> send(const send_order& order, sent what) noexcept {
        ring_line* const line = what.line.get();
        io_uring_sqe* const place = ring_->next_request();
        if (place == nullptr) {
            return fail(std::error_code{EAGAIN, std::system_category()});
        }
        // What a loop drives waits in the ring: by the time that "would block" is heard of, the
        // socket may have become writable, and announced it.
        const unsigned flags = (is_driven_ ? 0 : MSG_DONTWAIT) | MSG_NOSIGNAL |
                               (order.more_follows ? unsigned{MSG_MORE} : 0);
        const iovec* const parts = line->message.msg_iov;
        switch (order.way) {
            case send_way::write:
                ::io_uring_prep_writev(place, order.fd, parts,
                                       static_cast<unsigned>(line->message.msg_iovlen),
                                       static_cast<std::uint64_t>(-1));
                break;
            case send_way::copy:
            case send_way::reference:
                ::io_uring_prep_sendmsg(place, order.fd, &line->message, flags);
                if (order.way == send_way::reference) {
                    place->opcode = sys::op_sendmsg_zc;
                }
                break;
            case send_way::registered:
                ::io_uring_prep_send(place, order.fd, parts->iov_base, parts->iov_len,
                                     static_cast<int>(flags));
                place->opcode = sys::op_send_zc;
                place->ioprio = sys::send_from_registered;
                place->buf_index = order.place;
                break;
        }
        const auto name = sends_->begin(std::move(what));
        if (!name) {
            ::io_uring_prep_nop(place);
            place->user_data = ignored;
            return fail(errc::out_of_memory);
        }
        place->user_data = *name;
        line->request = *name;
        ++line->requests;
        line->is_waiting = true;
        // Left prepared, it would wait for the next request of anybody, and no event announces
        // when that can be made.
        if (!submit() && ring_->disarm(*name, ignored)) {
            static_cast<void>(sends_->withdraw(*name));
            --line->requests;
            line->is_waiting = false;
            return fail(std::error_code{EAGAIN, std::system_category()});
        }
        return {};
    }

    /// Asks the kernel to end a request, or does not hand it over if that has not happened yet:
    /// its descriptor may be another's by then. Its completions come all the same.
    void cancel(std::uint64_t request) noexcept {
        ring_->disarm(request, request);
        if (io_uring_sqe* const place = ring_->next_request(); place != nullptr) {
            ::io_uring_prep_cancel64(place, request, 0);
            place->user_data = ignored;
            static_cast<void>(submit());  // refused, it goes with the next one
        }
    }

    /// Takes in what has completed, for all sinks. Nothing where a loop does that.
    void reap() noexcept {
        if (!is_driven_) {
            ring_->reap([this](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
                take_in(name, result, flags);
            });
        }
    }

    /// Takes in one completion.
    void take_in(std::uint64_t name, std::int32_t result, std::uint32_t flags) noexcept {
        const sent* const what = name == ignored ? nullptr : sends_->look(name);
        if (what == nullptr) {
            return;
        }
        const ring_line_ref line = what->line.share();  // the request may end in the next line
        const auto came = sends_->complete(name, result, flags);
        if (came.result) {
            line->result = came.result;
            line->is_waiting = false;
        }
        line->requests -= came.is_over ? 1 : 0;
        list(line);
    }

    /// Calls `act(owner)` for each sink that something has completed for and that was not flushed
    /// since: flush it. Every reap is for all sinks, so that the descriptor alone does not tell.
    /// Complexity: no system call.
    template <class Act>
    void announce(Act&& act) noexcept {
        while (first_news_) {
            const ring_line_ref line = std::move(first_news_);
            first_news_ = ring_line_ref{std::exchange(line->next_listed, nullptr)};
            line->is_listed = false;
            if (std::exchange(line->has_news, false) && line->owner != nullptr) {
                act(line->owner);
            }
        }
    }

    /// Sends that the kernel has not done with.
    [[nodiscard]] std::size_t in_flight() const noexcept { return sends_->size(); }
    /// Whether the kernel can send by reference.
    [[nodiscard]] bool can_refer() const noexcept { return can_refer_; }
    /// Readable when something has completed: then reap, and announce.
    [[nodiscard]] int fd() const noexcept { return ring_->fd(); }
    /// For the loop that drives it.
    [[nodiscard]] sys::uring& ring() noexcept { return *ring_; }

private:
    static constexpr std::uint64_t ignored = INT64_MAX;

    send_ring(std::unique_ptr<sys::uring> ring, std::unique_ptr<ring_requests<sent>> sends,
              bool is_driven) noexcept
        : ring_(std::move(ring)),
          sends_(std::move(sends)),
          is_driven_(is_driven),
          can_refer_(ring_->supports(sys::op_sendmsg_zc)) {}

    [[nodiscard]] static result<std::unique_ptr<send_ring>> over(std::unique_ptr<sys::uring> ring,
                                                                 bool is_driven) noexcept {
        std::unique_ptr<ring_requests<sent>> sends{new (std::nothrow) ring_requests<sent>};
        if (!sends) {
            return fail(errc::out_of_memory);
        }
        std::unique_ptr<send_ring> made{
            new (std::nothrow) send_ring{std::move(ring), std::move(sends), is_driven}};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        return made;
    }

    [[nodiscard]] bool submit() noexcept { return is_driven_ || ring_->submit().has_value(); }

    void list(const ring_line_ref& line) noexcept {
        line->has_news = true;
        if (line->owner != nullptr && !std::exchange(line->is_listed, true)) {
            line->next_listed = first_news_.release();
            first_news_ = line.share();
        }
    }

    fixed_buffers fixed_;  // ends after the ring: then nothing is sent from them any more
    std::unique_ptr<sys::uring> ring_;
    std::unique_ptr<ring_requests<sent>> sends_;
    bool is_driven_;
    ring_line_ref first_news_;  ///< the last that came, and the first to be told of
    bool can_refer_;
};

}  // namespace zcpool::sink
