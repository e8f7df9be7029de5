// SPDX-License-Identifier: MIT
#pragma once

// Out by reference with a receipt: MSG_ZEROCOPY hands the socket the pages of the memory, and the
// socket's error queue says when it has done with them. So no page is ever replaced, and any memory
// will do. Where the way to the peer copies after all (loopback, veth), it costs more than a write.
// Source: Documentation/networking/msg_zerocopy.rst of Linux.

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/linger_list.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/zerocopy_session.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sink {

/// What sink::zerocopy may be told.
struct zerocopy_options {
    /// Slices below this many bytes are copied: their notice would cost more than it saves.
    std::size_t copy_below = 32_KiB;

    /// How long the peer has, after the sink has gone, to take what is in flight before the
    /// connection is reset.
    std::chrono::milliseconds linger = std::chrono::seconds{30};
};

/// Sends slices by reference and keeps each until the kernel has confirmed every send that covered
/// it, pool memory and adopted memory alike. Small slices are copied; everything is, and refusal()
/// says why, on what is no TCP socket or has been switched to zero copy by somebody else, whose
/// sends would be confused with this sink's.
///
/// flush() is `pending` while the kernel refers to memory: then the error queue becomes readable
/// (EPOLLERR, which need not be asked for), and the next flush() reads it. Nobody else may. From
/// its first send by reference on, the sink has a second descriptor for the socket.
///
/// A sink that ends with sends in flight ends the connection: it is shut down for writing (reset,
/// if SO_LINGER says so), and goes with its memory into linger_list::common(), which must be
/// polled. Wait for `done` to go on using the socket. A peer that does not read keeps the memory;
/// whether it may is for a time limit of the program to decide, which sets SO_LINGER to 0 and ends
/// the sink.
///
/// Expects: a stream socket. A socket that is not TCP, a pipe or a file gets copies. Take the
/// socket out of epoll before closing it (EPOLL_CTL_DEL): while the list has a descriptor for it,
/// closing yours does not, and events would come for a connection that is gone (epoll(7),
/// questions). Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class zerocopy : public outbox {
public:
    static constexpr receipt receipts = receipt::notified;

    /// A descriptor that is not open shows as error() at once.
    explicit zerocopy(int fd, const zerocopy_options& options = {}) noexcept
        : outbox(fd), options_(options) {}
    using outbox::push;
    /// Sends what a buffer has; nobody can write to it any more.
    void push(buffer&& last) noexcept { push(std::move(last).freeze()); }

    /// Moves what it can, and lets go of what the kernel has done with.
    /// Complexity: a system call for each 64 slices that are sent by reference, for each run of
    /// copied ones, and for each notice.
    state flush() noexcept {
        session_.reap();
        while (!queue_.empty()) {
            const auto sent = wants_reference(queue_.front()) ? refer_to_run() : copy_run(0);
            if (!sent) {
                if (would_block(sent.error())) {
                    return state::blocked;
                }
                static_cast<void>(give_up(sent.error()));
                session_.reap();  // what broke the connection may have set memory free
                break;
            }
            queue_.consume(*sent);
        }
        return error_ ? state::failed : in_flight() != 0 ? state::pending : state::done;
    }

    /// What to wait for; the error queue also after a failure, while memory is in flight.
    [[nodiscard]] sink::interest interest() const noexcept {
        return session_.interest_after(outbox::interest());
    }

    /// Sends that the kernel has not confirmed.
    [[nodiscard]] std::size_t in_flight() const noexcept { return session_.in_flight(); }
    [[nodiscard]] zerocopy_counts counts() const noexcept { return session_.counts(); }
    /// Why everything is copied; empty when it is not, and before the first large slice.
    [[nodiscard]] std::error_code refusal() const noexcept { return refusal_; }

private:
    [[nodiscard]] bool wants_reference(const slice& each) const noexcept {
        return each.size() >= options_.copy_below && !refusal_;
    }

    [[nodiscard]] result<std::size_t> refer_to_run() noexcept {
        refusal_ = session_.open(fd_, options_.linger);
        if (refusal_) {
            return copy_run(queue_.front().size());
        }
        const std::size_t count =
            run_length(queue_, [this](const slice& each) { return !wants_reference(each); });
        auto sent = session_->send(queue_, count);
        ++stats_.calls;
        if (sent) {
            stats_.lent_bytes += *sent;
        } else if (sys::is_errno(sent.error(), ENOBUFS) || sys::is_errno(sent.error(), ENOMEM)) {
            session_->count_refused();
            return copy_run(queue_.front().size());
        } else if (sys::takes_no_reference(sent.error())) {
            refusal_ = sent.error();
            return copy_run(queue_.front().size());
        }
        return sent;
    }

    /// Copies the front slice and those behind it that would be copied anyway. `fallback` bytes of
    /// the front slice should have been sent by reference.
    [[nodiscard]] result<std::size_t> copy_run(std::size_t fallback) noexcept {
        const std::size_t count =
            run_length(queue_, [this](const slice& each) { return wants_reference(each); });
        auto sent = copy_out(fd_, is_socket_, queue_, count);
        ++stats_.calls;
        if (sent) {
            stats_.fallback_bytes += *sent < fallback ? *sent : fallback;
            stats_.copied_bytes += *sent;
        }
        return sent;
    }

    zerocopy_options options_;
    std::error_code refusal_;
    lingering_session session_;
};

static_assert(chain_sink<zerocopy>);

}  // namespace zcpool::sink
