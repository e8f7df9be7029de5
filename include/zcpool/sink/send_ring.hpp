// SPDX-License-Identifier: MIT
#pragma once

// An io_uring that sends for many sinks, and keeps what its requests refer to. Not part of
// zcpool.hpp: it needs liburing and comes with the CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC (Linux 6.1).

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
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
#include <zcpool/sink/ring_requests.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sink {

/// Slices that one request may refer to: as many as a chain keeps without an allocation.
inline constexpr std::size_t parts_a_request = chain::inline_slices;

/// What a sink and its requests have in common. It goes with the last of them: the kernel may read
/// the message until the request's result has come.
struct ring_line {
    std::size_t holders = 1;   ///< the sink, its requests, and the list of news
    std::size_t requests = 0;  ///< that are not over
    std::uint64_t request = 0;
    bool is_waiting = false;  ///< for the result of `request`
    bool is_listed = false;   ///< stands in the ring's list of news
    bool has_news = false;    ///< something has completed since the sink last looked
    void* owner = nullptr;    ///< who flushes the sink, and wants to hear of it
    ring_line* next_listed = nullptr;
    std::optional<std::int32_t> result;
    msghdr message{};
    std::array<iovec, parts_a_request> parts{};
};

/// A counted reference to a line; of one thread.
class ring_line_ref {
public:
    ring_line_ref() noexcept = default;
    /// Takes over the count that a new line begins with.
    explicit ring_line_ref(ring_line* first) noexcept : line_(first) {}
    ring_line_ref(ring_line_ref&& other) noexcept : line_(std::exchange(other.line_, nullptr)) {}
    ring_line_ref& operator=(ring_line_ref&& other) noexcept {
        if (this != &other) {
            drop();
            line_ = std::exchange(other.line_, nullptr);
        }
        return *this;
    }
    ~ring_line_ref() { drop(); }

    /// Expects: not empty.
    [[nodiscard]] ring_line_ref share() const noexcept {
        ++line_->holders;
        return ring_line_ref{line_};
    }
    /// Gives up the reference without dropping it.
    [[nodiscard]] ring_line* release() noexcept { return std::exchange(line_, nullptr); }
    [[nodiscard]] ring_line* operator->() const noexcept { return line_; }
    [[nodiscard]] explicit operator bool() const noexcept { return line_ != nullptr; }

private:
    void drop() noexcept {
        if (line_ != nullptr && --line_->holders == 0) {
            delete line_;
        }
        line_ = nullptr;
    }
    ring_line* line_ = nullptr;
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
    /// Errors: `out_of_memory`; EBUSY when the kernel takes no request.
    [[nodiscard]] result<void> send(int fd, bool is_socket, bool by_reference, bool more_follows,
                                    sent what) noexcept {
        ring_line* const line = what.line.operator->();
        io_uring_sqe* const place = ring_->next_request();
        if (place == nullptr) {
            return fail(std::error_code{EBUSY, std::system_category()});
        }
        // What a loop drives waits in the ring: by the time that "would block" is heard of, the
        // socket may have become writable, and announced it.
        const unsigned flags = (is_driven_ ? 0 : MSG_DONTWAIT) | MSG_NOSIGNAL |
                               (more_follows ? unsigned{MSG_MORE} : 0);
        if (!is_socket) {
            ::io_uring_prep_writev(place, fd, line->message.msg_iov,
                                   static_cast<unsigned>(line->message.msg_iovlen),
                                   static_cast<std::uint64_t>(-1));
        } else {
            ::io_uring_prep_sendmsg(place, fd, &line->message, flags);
            if (by_reference) {
                place->opcode = sys::op_sendmsg_zc;
            }
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
        submit();
        return {};
    }

    /// Asks the kernel to end a request, or does not hand it over if that has not happened yet:
    /// its descriptor may be another's by then. Its completions come all the same.
    void cancel(std::uint64_t request) noexcept {
        ring_->disarm(request);
        if (io_uring_sqe* const place = ring_->next_request(); place != nullptr) {
            ::io_uring_prep_cancel64(place, request, 0);
            place->user_data = ignored;
            submit();
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

    void submit() noexcept {
        if (!is_driven_) {
            // Refused, it stays prepared and goes with the next one.
            static_cast<void>(ring_->submit());
        }
    }

    void list(const ring_line_ref& line) noexcept {
        line->has_news = true;
        if (line->owner != nullptr && !std::exchange(line->is_listed, true)) {
            line->next_listed = first_news_.release();
            first_news_ = line.share();
        }
    }

    std::unique_ptr<sys::uring> ring_;
    std::unique_ptr<ring_requests<sent>> sends_;
    bool is_driven_;
    ring_line_ref first_news_;  ///< the last that came, and the first to be told of
    bool can_refer_;
};

}  // namespace zcpool::sink
