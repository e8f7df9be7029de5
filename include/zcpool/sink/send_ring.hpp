// SPDX-License-Identifier: MIT
#pragma once

// An io_uring that sends for many sinks, and keeps what its requests refer to. Not part of
// zcpool.hpp: it needs liburing and comes with the CMake target zcpool::uring.
// Source: io_uring_enter(2).

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
#include <zcpool/sink/send_order.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sink {

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
        bool is_before = false;  ///< another request of the line is linked to it
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
    /// Errors: `pages_replaceable` for a pool that lends, feeds, is shared or checked, or was
    /// trimmed, as a registration goes on sending from the pages that it found; `unsupported`
    /// without SEND_ZC (Linux 6.0); `too_large` beyond 64 GiB; the errno of io_uring_register,
    /// ENOMEM beyond RLIMIT_MEMLOCK. `report`, if given, names the value, the limit and the remedy.
    /// Refused, the ring sends from the pool all the same.
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
        prepare(*place, order, line->message, !is_driven_);
        const auto name = sends_->begin(std::move(what));
        if (!name) {
            ::io_uring_prep_nop(place);
            place->user_data = ignored;
            return fail(errc::out_of_memory);
        }
        place->user_data = *name;
        line->request = *name;
        line->before = ring_line::none;
        ++line->requests;
        line->awaited = 1;
        // Left prepared, it would wait for the next request of anybody, and no event announces
        // when that can be made.
        if (!submit() && take_back(*name, *line)) {
            return fail(std::error_code{EAGAIN, std::system_category()});
        }
        return {};
    }

    /// Moves bytes through a line's pipe; the line waits for the results. Of two requests the
    /// second is cancelled by the kernel when the first does less than was asked for.
    ///
    /// `what.slices`: what the bytes from a file belong to, kept until they are in the pipe.
    /// Errors: `out_of_memory`; EAGAIN when the kernel takes no request now.
    [[nodiscard]] result<void> splice(const splice_order& order, sent what) noexcept {
        ring_line* const line = what.line.get();
        const bool are_two = order.is_pair();
        if (!ring_->make_room(are_two ? 2 : 1)) {
            return fail(std::error_code{EAGAIN, std::system_category()});
        }
        const auto last = sends_->begin(sent{{}, what.line.share()});
        what.is_before = true;
        const auto first = last && are_two ? sends_->begin(std::move(what)) : last;
        if (!first) {
            static_cast<void>(last ? sends_->withdraw(*last) : sent{});
            return fail(errc::out_of_memory);
        }
        line->request = *last;
        line->before = are_two ? *first : ring_line::none;
        line->awaited = are_two ? 2 : 1;
        line->requests += line->awaited;
        if (are_two) {
            io_uring_sqe* const place = ring_->next_request();
            prepare_first(*place, order, *line);
            place->user_data = *first;
        }
        io_uring_sqe* const place = ring_->next_request();
        prepare_last(*place, order, *line);
        place->user_data = *last;
        if (!submit() && take_back(*last, *line)) {
            if (!are_two || take_back(*first, *line)) {
                return fail(std::error_code{EAGAIN, std::system_category()});
            }
            line->result = -ECANCELED;  // as the kernel says of a request that is cut off
        }
        return {};
    }

    /// Asks the kernel to end what a line waits for, or does not hand it over if that has not
    /// happened yet: its descriptor may be another's by then. The completions come all the same.
    void cancel(const ring_line& line) noexcept {
        for (const std::uint64_t request : {line.before, line.request}) {
            if (request == ring_line::none) {
                continue;
            }
            ring_->disarm(request, request);
            if (io_uring_sqe* const place = ring_->next_request(); place != nullptr) {
                ::io_uring_prep_cancel64(place, request, 0);
                place->user_data = ignored;
            }
        }
        static_cast<void>(submit());  // refused, they go with the next one
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
        const ring_line_ref line = what->line.share();  // the request may end two lines below
        const bool is_before = what->is_before;
        const auto came = sends_->complete(name, result, flags);
        if (came.result) {
            (is_before ? line->result_before : line->result) = came.result;
            --line->awaited;
        }
        line->requests -= came.is_over ? 1 : 0;
        if (!line->is_waiting()) {
            list(line);
        }
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
    static constexpr std::uint64_t ignored = ring_line::none;

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

    /// Takes a request back that the kernel refused. Returns: false when it has it.
    [[nodiscard]] bool take_back(std::uint64_t name, ring_line& line) noexcept {
        if (!ring_->disarm(name, ignored)) {
            return false;
        }
        static_cast<void>(sends_->withdraw(name));
        --line.requests;
        --line.awaited;
        return true;
    }

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
