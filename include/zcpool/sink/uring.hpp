// SPDX-License-Identifier: MIT
#pragma once

// Out through an io_uring: sends are requests, and completions say what came of them and when the
// kernel has done with the memory. Not part of zcpool.hpp: it needs liburing and comes with the
// CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC (Linux 6.1).

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
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/send_ring.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/zerocopy.hpp>

namespace zcpool::sink {

/// What sink::uring may be told.
struct uring_options {
    /// Slices below this many bytes are copied: their notification would cost more than it saves.
    std::size_t copy_below = 32_KiB;

    /// The place of the descriptor among the ring's registered files (sys::uring::set_file), which
    /// keeps it until the sink has ended; below 0: it has none.
    int registered_file = -1;
};

/// Sends slices through an io_uring: small ones by requests that copy (SENDMSG; WRITEV for what is
/// no socket), large ones by reference (SENDMSG_ZC), each kept until its last completion. Pool
/// memory and adopted memory alike; slices of pools that the ring was told of
/// (send_ring::register_pool) one by one, from their registered pages (SEND_ZC).
///
/// flush() hands its requests to the kernel by itself, one at a time, so that a short count can
/// continue at the next byte. `blocked` with interest() `writable` means that the descriptor takes
/// no more; with `completion`, that a result is still to come. It is `pending` while the kernel
/// refers to memory; any reap of the ring, by another sink's flush too, hears of it.
///
/// A sink that ends with sends in flight leaves them to the ring, which keeps the memory. The
/// socket may be closed at once: what is in flight does not hold it.
///
/// Expects: a stream socket, a pipe or a file.
/// Sharing: one thread at a time, that of the ring. Does not own descriptor and ring, which must
/// outlive it.
class uring : public outbox {
public:
    static constexpr receipt receipts = receipt::notified;

    /// A descriptor that is not open shows as error() at once; so does want of memory.
    uring(int fd, send_ring& ring, const uring_options& options = {}) noexcept
        : outbox(fd), ring_(&ring), options_(options), line_(new(std::nothrow) ring_line) {
        if (!line_) {
            static_cast<void>(give_up(make_error_code(errc::out_of_memory)));
        }
        if (!ring.can_refer()) {
            refusal_ = std::error_code{ENOSYS, std::system_category()};
        } else if (!is_socket_) {
            refusal_ = std::error_code{ENOTSOCK, std::system_category()};
        }
    }
    uring(uring&&) noexcept = default;
    uring& operator=(uring&& other) noexcept {
        if (this != &other) {
            leave();
            outbox::operator=(static_cast<outbox&&>(other));
            ring_ = other.ring_;
            options_ = other.options_;
            refusal_ = other.refusal_;
            line_ = std::move(other.line_);
            refers_ = other.refers_;
            copies_next_ = other.copies_next_;
        }
        return *this;
    }
    ~uring() { leave(); }

    /// Who is to hear, from send_ring::announce(), that something of this sink has completed.
    void set_owner(void* owner) noexcept {
        if (line_) {
            line_->owner = owner;
        }
    }

    using outbox::push;
    /// Sends what a buffer has; nobody can write to it any more.
    void push(buffer&& last) noexcept { push(std::move(last).freeze()); }

    /// Moves what it can, and lets go of what the kernel has done with.
    /// Complexity: a system call for each request, of up to 8 slices, or one registered one.
    state flush() noexcept {
        ring_->reap();
        const state now = go_on();
        if (line_) {
            line_->has_news = false;  // of whatever came until now
        }
        return now;
    }

    [[nodiscard]] sink::interest interest() const noexcept {
        if (in_flight() != 0 && (queue_.empty() || line_->is_waiting())) {
            return sink::interest::completion;
        }
        return outbox::interest();
    }

    /// Its requests that the kernel has not done with.
    [[nodiscard]] std::size_t in_flight() const noexcept { return line_ ? line_->requests : 0; }
    /// Why everything is copied; empty when it is not.
    [[nodiscard]] std::error_code refusal() const noexcept { return refusal_; }

private:
    [[nodiscard]] bool wants_reference(const slice& each) const noexcept {
        return each.size() >= options_.copy_below && !refusal_ && !copies_next_;
    }

    [[nodiscard]] state go_on() noexcept {
        while (!error_) {
            if (line_ && line_->is_waiting()) {
                return state::blocked;
            }
            if (line_ && line_->result && !take_in(*std::exchange(line_->result, std::nullopt))) {
                return state::blocked;
            }
            if (error_ || queue_.empty()) {
                break;
            }
            if (!request()) {
                return state::blocked;
            }
        }
        return error_ ? state::failed : in_flight() != 0 ? state::pending : state::done;
    }

    /// Hands a request for the first slices to the kernel.
    /// Returns: false when that takes none now.
    [[nodiscard]] bool request() noexcept {
        if (!line_) {  // moved from: there is no descriptor either
            static_cast<void>(give_up(std::error_code{EBADF, std::system_category()}));
            return true;
        }
        // Not small ones along with a large one: a reader with a small window would hardly get on.
        const slice& first = queue_.front();
        refers_ = wants_reference(first);
        const auto place =
            refers_ ? ring_->registered_place(first.data(), first.size()) : std::nullopt;
        const std::size_t most = place ? 1 : parts_a_request;
        std::size_t count = 0;
        send_ring::sent what;
        for (const slice& each : queue_.slices()) {
            if (count == most || wants_reference(each) != refers_ || !what.slices.append(each)) {
                break;
            }
            line_->parts[count++] = {const_cast<std::byte*>(each.data()), each.size()};
        }
        line_->message.msg_iov = line_->parts.data();
        line_->message.msg_iovlen = count;
        what.line = line_.share();
        const auto done = ring_->send({.fd = fd_,
                                       .way = place        ? send_way::registered
                                              : refers_    ? send_way::reference
                                              : is_socket_ ? send_way::copy
                                                           : send_way::write,
                                       .more_follows = count < queue_.slice_count(),
                                       .place = place.value_or(0),
                                       .registered_file = options_.registered_file},
                                      std::move(what));
        if (!done && would_block(done.error())) {
            return false;
        }
        ++stats_.calls;
        if (!done) {
            static_cast<void>(give_up(done.error()));
        }
        ring_->reap();
        return true;
    }

    /// How many of the first bytes belong to large slices.
    [[nodiscard]] std::size_t large_bytes(std::size_t bytes) const noexcept {
        std::size_t large = 0;
        for (const slice& each : queue_.slices()) {
            const std::size_t part = std::min(bytes, each.size());
            large += each.size() >= options_.copy_below ? part : 0;
            bytes -= part;
        }
        return large;
    }

    /// Takes in the result of the last request.
    /// Returns: false when the descriptor takes no more now.
    [[nodiscard]] bool take_in(std::int32_t said) noexcept {
        if (said > 0) {
            const auto bytes = static_cast<std::size_t>(said);
            (refers_ ? stats_.lent_bytes : stats_.copied_bytes) += bytes;
            stats_.fallback_bytes += refers_ ? 0 : large_bytes(bytes);
            copies_next_ = false;
            queue_.consume(bytes);
            return true;
        }
        const std::error_code why{said == 0 ? EIO : -said, std::system_category()};
        if (would_block(why)) {
            return false;
        }
        if (refers_ && (-said == ENOBUFS || -said == ENOMEM)) {
            copies_next_ = true;  // too much is in flight: copy this time
        } else if (refers_ && sys::takes_no_reference(why)) {
            refusal_ = why;  // this kind of socket cannot
        } else if (-said != EINTR) {
            static_cast<void>(give_up(why));
        }
        return true;
    }

    /// Leaves what is in flight to the ring, and asks the kernel to end a request whose result has
    /// not come.
    void leave() noexcept {
        if (line_) {
            line_->owner = nullptr;
            if (line_->is_waiting()) {
                ring_->cancel(*line_);
            }
        }
    }

    send_ring* ring_;
    uring_options options_;
    std::error_code refusal_;
    ring_line_ref line_;
    bool refers_ = false;       ///< the last request
    bool copies_next_ = false;  ///< the next one
};

static_assert(chain_sink<uring>);

}  // namespace zcpool::sink
