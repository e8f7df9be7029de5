// SPDX-License-Identifier: MIT
#pragma once

// An io_uring that receives for many sources into slots of a pool. Not part of zcpool.hpp: it needs
// liburing and comes with the CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_RECV_MULTISHOT (Linux 6.0), IORING_REGISTER_PBUF_RING (5.19).

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <source_location>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/source/provided_slots.hpp>
#include <zcpool/source/receive_line.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::source {

/// What a receive_ring may be told.
struct receive_ring_options {
    /// Slots that the kernel has at any time, for all sources together; a power of two, at most
    /// 32,768.
    unsigned buffers = 64;

    /// Bytes of each of them at least: the pool's class that fits.
    std::size_t buffer_bytes = 16_KiB;

    /// Requests that can be prepared between two calls.
    unsigned entries = 64;
};

/// An io_uring, its own or an event loop's, the slots that it fills (provided_slots), and the
/// sources that they come for.
///
/// Sharing: one thread, with its sources, which it must outlive; the pool must outlive it. Ending
/// it waits for what is in flight, for a second, where the ring is its own; what the kernel could
/// then still write to is never freed.
class receive_ring {
public:
    /// A ring of its own. Takes the slots, as many as there are; at least one.
    ///
    /// Errors: those of sys::uring::create and provided_slots::create; `out_of_memory`. A checked
    /// pool remembers `where`.
    [[nodiscard]] static result<std::unique_ptr<receive_ring>> create(
        pool_view pool, const receive_ring_options& options = {},
        std::source_location where = std::source_location::current()) noexcept {
        auto ring = sys::uring::create(options.entries);
        if (!ring) {
            return fail(ring.error());
        }
        sys::uring& own = **ring;
        return over(own, std::move(*ring), pool, options, where);
    }

    /// Receives through the ring of an event loop, which submits its requests with its own, and
    /// hands completions whose name is_name() to take_in(); then it announces, and reaps for what
    /// has become free. A source that is pulled meanwhile only looks at what has been taken in. The
    /// loop keeps names above 2^63 + 2^62 and the buffer group 0 free.
    ///
    /// The loop's ring outlives it, and it ends in the loop's thread, when in_flight() is 0: after
    /// the sources have ended, and their last completions have been taken in.
    /// Errors: those of provided_slots::create; `out_of_memory`. `options.entries` says nothing.
    [[nodiscard]] static result<std::unique_ptr<receive_ring>> create_driven(
        sys::uring& ring, pool_view pool, const receive_ring_options& options = {},
        std::source_location where = std::source_location::current()) noexcept {
        return over(ring, nullptr, pool, options, where);
    }
    receive_ring(const receive_ring&) = delete;
    receive_ring& operator=(const receive_ring&) = delete;
    ~receive_ring() {
        announce([](void*) {});
        while (first_starved_) {
            first_starved_ = receive_line_ref{std::exchange(first_starved_->next_starved, nullptr)};
        }
        if (!is_driven()) {
            finish();
        }
        if (in_flight_ != 0) {
            slots_.abandon();
        }
    }

    /// Begins to receive for a line, unless it does, or there is no slot: then it does when one is
    /// back. Where the kernel takes no request now, the line is not armed: try again.
    void arm(const receive_line_ref& line) noexcept {
        if (line->is_armed || line->is_starved) {
            return;
        }
        if (with_kernel() == 0 && refill() == 0) {
            starve(line);
            return;
        }
        io_uring_sqe* const request = ring_->next_request();
        if (request == nullptr) {
            return;
        }
        const bool is_registered = line->registered_file >= 0;
        // No length: that of the buffer, which before Linux 6.0 has to be said.
        ::io_uring_prep_recv(request, is_registered ? line->registered_file : line->fd, nullptr,
                             is_multishot_ ? 0 : slots_.buffer_bytes(), 0);
        request->flags |= is_registered ? IOSQE_FIXED_FILE : 0U;
        if (is_multishot_) {
            request->ioprio |= IORING_RECV_MULTISHOT;
        }
        line->is_multishot = is_multishot_;
        request->flags |= IOSQE_BUFFER_SELECT;
        request->buf_group = group;
        const std::uint64_t name = name_of(line.share().release());
        request->user_data = name;
        line->is_armed = true;
        ++line->requests;
        ++in_flight_;
        // Left prepared, it would wait for the next request of anybody, and its descriptor might
        // be another's by then.
        if (!submit() && ring_->disarm(name, ignored)) {
            line->is_armed = false;
            --line->requests;
            --in_flight_;
            static_cast<void>(receive_line_ref{line.get()});  // the request's own
        }
    }

    /// Asks the kernel to receive no more for a line. What came before its last completion comes
    /// all the same.
    void cancel(const receive_line_ref& line) noexcept {
        if (!line->is_armed || line->is_cancelled) {
            return;
        }
        const std::uint64_t name = name_of(line.get());
        // One that the loop has not handed over yet receives nothing; it completes all the same.
        if (ring_->disarm(name, name)) {
            line->is_cancelled = true;
            return;
        }
        if (io_uring_sqe* const request = ring_->next_request(); request != nullptr) {
            ::io_uring_prep_cancel64(request, name, 0);
            request->user_data = ignored;
            line->is_cancelled = true;
            static_cast<void>(submit());  // refused, it goes with the next one
        }
    }

    /// Takes in what has completed, for all sources, unless a loop does that, and fills empty
    /// places.
    /// Complexity: no system call, but for what is armed or cancelled by it.
    void reap() noexcept {
        if (!is_driven()) {
            take_in_all();
        }
        static_cast<void>(refill());
    }

    /// Whether a completion of the loop's ring is for take_in().
    [[nodiscard]] static constexpr bool is_name(std::uint64_t name) noexcept {
        return name >> 62 == 3;
    }

    /// Takes in one completion.
    /// Complexity: no system call of its own; an acquire for each slot that it brings.
    void take_in(std::uint64_t name, std::int32_t result, std::uint32_t flags) noexcept {
        if (name == ignored) {
            return;
        }
        auto* const named =
            // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel carries names as numbers.
            reinterpret_cast<receive_line*>(static_cast<std::uintptr_t>(name & ~ignored));
        const bool is_last = (flags & IORING_CQE_F_MORE) == 0;
        // The request's own reference ends with it.
        const receive_line_ref line =
            is_last ? receive_line_ref{named} : receive_line_ref::to(named);
        if ((flags & IORING_CQE_F_BUFFER) != 0) {
            const auto slot = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
            const bool is_wanted = result > 0 && !line->is_abandoned;
            slice came = slots_.take(slot, is_wanted ? static_cast<std::size_t>(result) : 0);
            if (is_wanted && came.empty()) {  // a slot that the kernel was not given
                line->error = std::error_code{EIO, std::system_category()};
            }
            line->keep(std::move(came));
        }
        if (is_last) {
            --in_flight_;
            line->is_armed = false;
            line->is_cancelled = false;
            end_request(line, result);
        } else if (!line->wants_more()) {
            cancel(line);
        }
        list(line);
    }

    /// Gives the kernel slots for the places that are empty, and goes on with the sources that
    /// waited for them. Call it, or reap(), when a slot_event says that the pool has some.
    ///
    /// Returns: slots that the kernel has now.
    unsigned refill() noexcept {
        slots_.refill();
        while (with_kernel() != 0 && first_starved_) {
            const receive_line_ref line = std::move(first_starved_);
            first_starved_ = receive_line_ref{std::exchange(line->next_starved, nullptr)};
            line->is_starved = false;
            if (line->wants_more()) {
                arm(line);
                if (!line->is_armed) {
                    list(line);  // whoever pulls it tries again
                }
            }
        }
        return with_kernel();
    }

    /// Calls `act(owner)` for each source that something has come for and that was not pulled
    /// since: pull it. Every reap is for all sources, so that the descriptor alone does not tell.
    /// Complexity: no system call.
    template <class Act>
    void announce(Act&& act) noexcept {
        while (first_news_) {
            const receive_line_ref line = std::move(first_news_);
            first_news_ = receive_line_ref{std::exchange(line->next_listed, nullptr)};
            line->is_listed = false;
            if (std::exchange(line->has_news, false) && line->owner != nullptr) {
                act(line->owner);
            }
        }
    }

    /// Whether an event loop runs the ring.
    [[nodiscard]] bool is_driven() const noexcept { return own_ == nullptr; }
    /// Readable when something has completed: then reap, and announce.
    [[nodiscard]] int fd() const noexcept { return ring_->fd(); }
    /// Requests that the kernel has not done with.
    [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
    /// Slots that the kernel may fill.
    [[nodiscard]] unsigned with_kernel() const noexcept { return slots_.with_kernel(); }
    /// Whether one request brings many completions; not before Linux 6.0, where each brings one.
    [[nodiscard]] bool is_multishot() const noexcept { return is_multishot_; }

private:
    static constexpr std::uint16_t group = 0;
    /// The bits that tell its names from others', and the name of nobody.
    static constexpr std::uint64_t ignored = std::uint64_t{3} << 62;

    receive_ring(sys::uring& ring, std::unique_ptr<sys::uring> own, provided_slots slots) noexcept
        : own_(std::move(own)), ring_(&ring), slots_(std::move(slots)) {}

    [[nodiscard]] static result<std::unique_ptr<receive_ring>> over(
        sys::uring& ring, std::unique_ptr<sys::uring> own, pool_view pool,
        const receive_ring_options& options, std::source_location where) noexcept {
        auto slots =
            provided_slots::create(ring, group, pool, options.buffers, options.buffer_bytes, where);
        if (!slots) {
            return fail(slots.error());
        }
        std::unique_ptr<receive_ring> made{
            new (std::nothrow) receive_ring{ring, std::move(own), std::move(*slots)}};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        return made;
    }

    [[nodiscard]] static std::uint64_t name_of(const receive_line* line) noexcept {
        return ignored | reinterpret_cast<std::uintptr_t>(line);
    }

    void take_in_all() noexcept {
        ring_->reap([this](std::uint64_t name, std::int32_t result, std::uint32_t flags) {
            take_in(name, result, flags);
        });
    }

    /// Goes on after the last completion of a request, unless it was the end of the stream.
    void end_request(const receive_line_ref& line, std::int32_t result) noexcept {
        switch (result < 0 ? -result : 0) {
            case 0: line->has_ended = line->has_ended || result == 0; break;
            case ENOBUFS: return starve(line);
            case EAGAIN:
                return;  // which is left to the next pull, so that this cannot go in circles
            case ECANCELED:
            case EINTR: break;
            case EINVAL:  // of a kernel before Linux 6.0, once for each line
                is_multishot_ = is_multishot_ && !line->is_multishot;
                if (std::exchange(line->is_multishot, false)) {
                    break;
                }
                [[fallthrough]];
            default: line->error = std::error_code{-result, std::system_category()};
        }
        if (line->wants_more()) {
            arm(line);
        }
    }

    void starve(const receive_line_ref& line) noexcept {
        if (line->is_abandoned) {
            return;
        }
        ++line->exhausted;
        line->is_starved = true;
        line->next_starved = first_starved_.release();
        first_starved_ = line.share();
    }

    void list(const receive_line_ref& line) noexcept {
        line->has_news = true;
        if (line->owner != nullptr && !std::exchange(line->is_listed, true)) {
            line->next_listed = first_news_.release();
            first_news_ = line.share();
        }
    }

    /// Ends what is in flight, and waits for it, for a second at most.
    void finish() noexcept {
        for (int i = 0; i < 100 && in_flight_ != 0; ++i) {
            if (io_uring_sqe* const request = ring_->next_request(); request != nullptr) {
                ::io_uring_prep_cancel64(request, 0, 0);
                request->cancel_flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
                request->user_data = ignored;
            }
            static_cast<void>(submit());
            ring_->wait(10);
            take_in_all();
        }
    }

    /// Returns: false when the kernel refused what then stays prepared.
    [[nodiscard]] bool submit() noexcept { return is_driven() || ring_->submit().has_value(); }

    std::unique_ptr<sys::uring> own_;
    sys::uring* ring_;
    provided_slots slots_;
    std::size_t in_flight_ = 0;
    bool is_multishot_ = true;
    receive_line_ref first_news_;
    receive_line_ref first_starved_;
};

}  // namespace zcpool::source
