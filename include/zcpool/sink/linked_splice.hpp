// SPDX-License-Identifier: MIT
#pragma once

// Out by reference through a pipe, as sink::splice, but by requests to an io_uring: one splices
// from the pool's file into the pipe, and one that is linked to it from there to the descriptor. So
// neither interrupts the thread, which hands many connections' over in one call; the kernel works
// them out in threads of its own. Not part of zcpool.hpp: it needs liburing and comes with the
// CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_OP_SPLICE, IOSQE_IO_LINK.

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/ring_line.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/splice_progress.hpp>
#include <zcpool/sys/transfer.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sink {

/// Sends slices of lending pools by reference, each by two linked requests to a ring, and copies
/// the rest with calls of its own: small ones, adopted memory, pools that never lend or have no
/// file, and everything while the pool's lent budget is used up, or no pipe or descriptor is to be
/// had (counted as fallback).
///
/// A slice is two requests and not a share of a longer chain: were one cut in two, which the kernel
/// may do when it has no memory, its halves would run side by side, and bytes change places.
///
/// A request that moves pages says when they are in the socket, not when the peer has them: so each
/// slot is marked as lent first, as in sink::splice, and kept until its pages are in the pipe.
///
/// `blocked` with interest() `completion` means that a result is still to come, also while the
/// descriptor takes no more; with `writable`, that a copy has to wait. Never `pending`.
///
/// The requests go to a duplicate of the descriptor, which the kernel looks up late. A sink that
/// ends while the ring works for it shuts a socket down for writing and has the ring stop; until
/// that completes, the duplicate keeps the socket open.
///
/// Expects: a non-blocking stream socket, a non-blocking pipe, or a file (not opened to append:
/// then it copies); a ring of at least two requests.
/// Sharing: one thread at a time, that of the ring. Does not own descriptor and ring, which must
/// outlive it.
class linked_splice : public lending_outbox {
public:
    /// A descriptor that is not open shows as error() at once; so does want of memory.
    linked_splice(int fd, send_ring& ring, const pipe_options& options = {}) noexcept
        : lending_outbox(fd, {options.copy_below, options.copies_first}),
          ring_(&ring),
          pipes_(options.pipes),
          pipe_bytes_(options.pipe_bytes),
          line_(new(std::nothrow) ring_line) {
        if (!line_) {
            static_cast<void>(give_up(make_error_code(errc::out_of_memory)));
        }
    }
    linked_splice(linked_splice&&) noexcept = default;
    linked_splice& operator=(linked_splice&& other) noexcept {
        if (this != &other) {
            leave();
            lending_outbox::operator=(static_cast<lending_outbox&&>(other));
            ring_ = other.ring_;
            pipes_ = other.pipes_;
            pipe_bytes_ = other.pipe_bytes_;
            room_ = other.room_;
            line_ = std::move(other.line_);
            progress_ = other.progress_;
            fills_ = other.fills_;
            is_full_ = other.is_full_;
            copies_next_ = other.copies_next_;
        }
        return *this;
    }
    ~linked_splice() { leave(); }

    /// Who is to hear, from send_ring::announce(), that something of this sink has completed.
    void set_owner(void* owner) noexcept {
        if (line_) {
            line_->owner = owner;
        }
    }

    /// Moves what it can.
    /// Complexity: a system call for each slice, none for what a loop's ring sends; a slice that
    /// the pipe cannot hold is several.
    state flush() noexcept {
        ring_->reap();
        const state now = go_on();
        if (line_) {
            line_->has_news = false;  // of whatever came until now
        }
        return now;
    }

    [[nodiscard]] sink::interest interest() const noexcept {
        const bool is_under_way = !error_ && line_ && line_->is_waiting();
        return is_under_way ? sink::interest::completion : outbox::interest();
    }

    /// What the pipe that was used last holds, and why it is less than was asked for or why there
    /// was none; all zero before anything was lent.
    [[nodiscard]] const sys::pipe_room& pipe_room() const noexcept { return room_; }

private:
    [[nodiscard]] state go_on() noexcept {
        while (!error_) {
            if (line_ && line_->is_waiting()) {
                return state::blocked;
            }
            if (line_ && line_->result) {
                take_in();
                continue;
            }
            if (queue_.empty()) {
                break;
            }
            const auto moved = move_some();
            if (!moved && would_block(moved.error())) {
                give_back_pipe();
                return state::blocked;
            }
            if (!moved) {
                static_cast<void>(give_up(moved.error()));
            }
        }
        if (error_) {
            if (line_ && !line_->is_waiting()) {  // a push may have failed in the middle of one
                drop_pipe();
            }
            return state::failed;
        }
        give_back_pipe();
        return state::done;
    }

    /// Copies the first slices, or has the ring move the first one.
    [[nodiscard]] result<void> move_some() noexcept {
        if (!line_) {  // moved from: there is no descriptor either
            return fail(std::error_code{EBADF, std::system_category()});
        }
        const slice& front = queue_.front();
        if (progress_.in_pipe() == 0 && !wants_lending(front)) {
            return copied(0);
        }
        splice_order order;
        send_ring::sent what;
        if (progress_.in_pipe() == 0) {
            const auto where =
                !std::exchange(copies_next_, false) && has_pipe() ? front.lend() : std::nullopt;
            if (!where) {
                return copied(front.size());
            }
            const std::size_t in_first_page =
                reinterpret_cast<std::uintptr_t>(front.data()) % page_size;
            order.from = where->fd;
            order.offset = where->offset;
            order.bytes = std::min(front.size(), room_.bytes - in_first_page);
            if (!what.slices.append(front)) {
                return fail(errc::out_of_memory);
            }
        } else {
            order.bytes = progress_.in_pipe();
            order.waits = is_full_;
        }
        order.more_follows = order.bytes < queue_.size();
        what.line = line_.share();
        const auto done = ring_->splice(order, std::move(what));
        fills_ = order.from >= 0;
        stats_.calls += done ? 1 : 0;
        ring_->reap();
        return done;
    }

    /// Copies the first slices. `fallback` bytes of the front one should have been lent.
    [[nodiscard]] result<void> copied(std::size_t fallback) noexcept {
        const auto sent = copy_run(fallback);
        if (!sent) {
            return fail(sent.error());
        }
        queue_.consume(*sent);
        return {};
    }

    /// Takes in the results of the last requests.
    void take_in() noexcept {
        const auto first = std::exchange(line_->result_before, std::nullopt);
        const auto last = std::exchange(line_->result, std::nullopt);
        const splice_outcome came = progress_.take_in(fills_ ? first : std::nullopt, *last);
        queue_.consume(came.sent);
        stats_.lent_bytes += came.sent;
        // A short count says so as well as a refusal: there is no need to be refused first.
        is_full_ = came.outlook == splice_outlook::is_blocked ||
                   (came.sent != 0 && progress_.in_pipe() != 0);
        copies_next_ = came.outlook == splice_outlook::takes_none;
        if (came.outlook == splice_outlook::is_broken) {
            const std::error_code why{came.error, std::system_category()};
            if (progress_.in_pipe() != 0 && takes_no_pages(why)) {
                drop_pipe();  // what it holds is still in the queue
            } else {
                static_cast<void>(give_up(why));
            }
        }
    }

    /// Gets a pipe, and a descriptor for the requests, where there are none.
    [[nodiscard]] bool has_pipe() noexcept {
        if (!line_->target) {
            auto own = sys::unique_fd::duplicate(fd_);
            if (!own) {
                room_ = {0, own.error()};
                return false;
            }
            line_->target = std::move(*own);
        }
        return sys::get_pipe(line_->pipe, pipes_, pipe_bytes_, room_);
    }

    /// Expects: no request uses it.
    void give_back_pipe() noexcept {
        if (pipes_ != nullptr && progress_.in_pipe() == 0 && line_ && line_->pipe) {
            pipes_->give_back(std::move(line_->pipe));
        }
    }

    /// Expects: no request uses it.
    void drop_pipe() noexcept {
        line_->pipe = sized_pipe{};
        progress_.drop();
    }

    /// Leaves what the ring works on to it, and has it stop. What is in the pipe goes with that.
    void leave() noexcept {
        if (line_) {
            line_->owner = nullptr;
            if (line_->is_waiting()) {
                // What a stop may come too late for cannot get any further then.
                static_cast<void>(sys::shutdown_writing(line_->target.get()));
                ring_->cancel(*line_);
            }
        }
    }

    send_ring* ring_;
    pipe_pool* pipes_;
    std::size_t pipe_bytes_;
    sys::pipe_room room_;
    ring_line_ref line_;
    splice_progress progress_;
    bool fills_ = false;        ///< the last requests: the pipe was empty before
    bool is_full_ = false;      ///< the descriptor took no more, the last time
    bool copies_next_ = false;  ///< the next slice: the pipe took nothing
};

static_assert(chain_sink<linked_splice>);

}  // namespace zcpool::sink
