// SPDX-License-Identifier: MIT
#pragma once

// What every way out has in common: the words of its answers, its counters, and the concept.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::sink {

/// What flush() came to.
enum class [[nodiscard]] state : std::uint8_t {
    done,     ///< everything that was pushed is out, and no memory is held
    blocked,  ///< the descriptor takes no more now: wait for interest(), then flush again
    pending,  ///< everything was handed over, but the kernel still holds memory; completions will
              ///< come
    failed,   ///< error() says why; what was queued has been dropped
};

/// What to wait for before the next flush().
enum class interest : std::uint8_t {
    none,         ///< nothing: there is nothing to do
    writable,     ///< the descriptor can take more (EPOLLOUT)
    error_queue,  ///< notifications (EPOLLERR)
    completion,   ///< the ring that the sink sends through: its descriptor is readable (EPOLLIN)
};

/// How a sink learns that the kernel has let go of the memory.
enum class receipt : std::uint8_t {
    copied,    ///< the call copied: at its return
    notified,  ///< the kernel says so later
    none,      ///< never: the slots are marked as lent and their pages replaced
};

/// What a sink did. Bytes that went out are `copied_bytes + lent_bytes`.
struct stats {
    std::uint64_t calls = 0;         ///< system calls that moved bytes or were refused
    std::uint64_t copied_bytes = 0;  ///< sent by a call that copies
    std::uint64_t lent_bytes = 0;    ///< sent by reference
    std::uint64_t fallback_bytes =
        0;  ///< of the copied: those that this sink would have lent but might not
};

/// The descriptor, the queue and the error that every sink keeps. Base of the sinks; use those.
class outbox {
public:
    /// Adds bytes behind what was pushed before. Dropped when the sink has failed: error() says so
    /// at once.
    void push(slice tail) noexcept { keep(queue_.append(std::move(tail))); }
    /// Adds bytes behind what was pushed before, and leaves `tail` empty. Dropped when the sink has
    /// failed.
    void push(chain&& tail) noexcept { keep(queue_.append(std::move(tail))); }

    /// Bytes that were pushed and are not out yet.
    [[nodiscard]] std::size_t queued() const noexcept { return queue_.size(); }
    /// Why the sink failed; empty while it works.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    /// What to wait for; nothing when the queue is empty, also because the sink failed.
    [[nodiscard]] sink::interest interest() const noexcept {
        return queue_.empty() ? sink::interest::none : sink::interest::writable;
    }
    [[nodiscard]] const sink::stats& stats() const noexcept { return stats_; }

protected:
    /// A descriptor that is not open shows as error() at once.
    explicit outbox(int fd) noexcept : fd_(fd) {
        if (auto answer = sys::is_socket(fd)) {
            is_socket_ = *answer;
        } else {
            static_cast<void>(give_up(answer.error()));
        }
    }
    /// Leaves `other` without a descriptor: it fails when it is flushed with something pushed.
    outbox(outbox&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)),
          is_socket_(other.is_socket_),
          error_(other.error_),
          stats_(other.stats_),
          queue_(std::move(other.queue_)) {}
    outbox& operator=(outbox&& other) noexcept {
        fd_ = std::exchange(other.fd_, -1);
        is_socket_ = other.is_socket_;
        queue_ = std::move(other.queue_);
        error_ = other.error_;
        stats_ = other.stats_;
        return *this;
    }
    ~outbox() = default;

    /// Ends in failure for good and lets go of what was queued.
    state give_up(std::error_code why) noexcept {
        error_ = why;
        queue_.clear();
        return state::failed;
    }

    // The queue last: it begins with what each send touches, as do these.
    int fd_;
    bool is_socket_ = false;
    std::error_code error_;
    sink::stats stats_;
    chain queue_;

private:
    void keep(bool appended) noexcept {
        if (!appended) {
            static_cast<void>(give_up(make_error_code(errc::out_of_memory)));
        } else if (error_) {
            queue_.clear();
        }
    }
};

}  // namespace zcpool::sink

namespace zcpool {

/// One way out for one connection: takes slices and chains, moves them when asked, never blocks.
/// Without a receipt it must not take a buffer, whose owner could write while the peer reads.
template <class Sink>
concept chain_sink =
    std::movable<Sink> && requires(Sink out, const Sink observed, slice one, chain many) {
        { out.push(std::move(one)) } noexcept;
        { out.push(std::move(many)) } noexcept;
        { out.flush() } noexcept -> std::same_as<sink::state>;
        { observed.queued() } noexcept -> std::same_as<std::size_t>;
        { observed.error() } noexcept -> std::same_as<std::error_code>;
        { observed.interest() } noexcept -> std::same_as<sink::interest>;
        { observed.stats() } noexcept -> std::convertible_to<sink::stats>;
        { Sink::receipts } -> std::convertible_to<sink::receipt>;
    } && (Sink::receipts != sink::receipt::none || !requires(Sink out, buffer writable) {
        out.push(std::move(writable));
    });

}  // namespace zcpool
