// SPDX-License-Identifier: MIT
#pragma once

// The way in that needs nothing: recvmsg for sockets, read for pipes and files, straight into slots
// of a pool.

#include <cstddef>
#include <source_location>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::source {

/// What source::read may be told.
struct read_options {
    /// Bytes of the largest slots that it asks for: the pool's largest that are no larger. It
    /// begins with the smallest, and asks for the next larger ones when a read has filled one.
    std::size_t block_bytes = 64_KiB;

    /// Bytes of slots that it holds at most before they are taken, filled or not; at least one
    /// slot.
    std::size_t hold_at_most = 1_MiB;
};

/// Reads into buffers of a pool, and gives what came as a chain.
///
/// A source that waits holds no slot. When the pool has none of the size that is wanted it takes a
/// smaller one, and when there is none at all, it says `exhausted` and leaves the bytes where they
/// are: the peer is held back by its own window.
///
/// Expects: a stream socket, a non-blocking pipe, or a file. The pool outlives it.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class read : public inbox {
public:
    /// A descriptor that is not open shows as error() at once. A checked pool remembers `where`.
    read(int fd, pool_view pool, const read_options& options = {},
         std::source_location where = std::source_location::current()) noexcept
        : pool_(pool),
          hold_at_most_(options.hold_at_most),
          where_(where),
          fd_(fd),
          top_class_(class_within(options.block_bytes)) {
        if (auto answer = sys::is_socket(fd)) {
            is_socket_ = *answer;
        } else {
            error_ = answer.error();
        }
    }
    /// Leaves `other` with nothing to take and no descriptor: it fails when it is pulled.
    read(read&& other) noexcept
        : inbox(static_cast<inbox&&>(other)),
          pool_(other.pool_),
          hold_at_most_(other.hold_at_most_),
          where_(other.where_),
          current_(std::move(other.current_)),
          fd_(std::exchange(other.fd_, -1)),
          is_socket_(other.is_socket_),
          has_ended_(other.has_ended_),
          top_class_(other.top_class_),
          next_class_(other.next_class_),
          held_(std::exchange(other.held_, 0)) {}
    read& operator=(read&& other) noexcept {
        if (this != &other) {
            inbox::operator=(static_cast<inbox&&>(other));
            pool_ = other.pool_;
            hold_at_most_ = other.hold_at_most_;
            where_ = other.where_;
            current_ = std::move(other.current_);
            fd_ = std::exchange(other.fd_, -1);
            is_socket_ = other.is_socket_;
            has_ended_ = other.has_ended_;
            top_class_ = other.top_class_;
            next_class_ = other.next_class_;
            held_ = std::exchange(other.held_, 0);
        }
        return *this;
    }
    ~read() = default;

    /// Reads what has come, as much as it may hold. Who waits for edges (EPOLLET) pulls until it
    /// says something else than `data`.
    ///
    /// Complexity: a system call for each slot that is filled, and one more when the last one was.
    /// Concurrency: never blocks on a socket.
    state pull() noexcept {
        const std::size_t before = available();
        state stopped = state::data;
        while (stopped == state::data) {
            stopped = read_once();
        }
        if (current_ && current_.size() == 0) {
            held_ -= current_.capacity();
            current_.reset();
        }
        const std::size_t came = available() - before;
        if (came != 0 && next_class_ != 0 && came <= pool_.slot_bytes(next_class_ - 1)) {
            --next_class_;
        }
        stats_.exhausted += stopped == state::exhausted ? 1 : 0;
        return remember(came != 0 ? state::data : stopped);
    }

    /// Bytes that came and were not taken yet.
    [[nodiscard]] std::size_t available() const noexcept { return came_.size() + current_.size(); }

    /// Gives what came, and what is left of its last slot with it: to gather more in one slot, take
    /// later.
    [[nodiscard]] chain take() noexcept {
        seal();
        held_ = 0;
        return std::exchange(came_, chain{});
    }

    /// What to wait for, as the last pull() left it.
    [[nodiscard]] source::interest interest() const noexcept {
        switch (last()) {
            case state::data:
            case state::blocked: return source::interest::readable;
            case state::exhausted: return source::interest::slot;
            case state::full:
                return held_ == 0 ? source::interest::readable : source::interest::none;
            case state::ended:
            case state::failed: break;
        }
        return source::interest::none;
    }

private:
    /// Returns: `data` when a slot was filled, so that there may be more; else why not.
    [[nodiscard]] state read_once() noexcept {
        if (error_) {
            return state::failed;
        }
        if (has_ended_) {
            return state::ended;
        }
        if (!current_ || current_.size() == current_.capacity()) {
            if (held_ != 0 && held_ + pool_.slot_bytes(0) > hold_at_most_) {
                return state::full;
            }
            if (auto why = take_slot()) {
                if (why == errc::exhausted) {
                    return state::exhausted;
                }
                error_ = why;
                return state::failed;
            }
        }
        const auto room = current_.space();
        auto got = is_socket_ ? sys::receive(fd_, room) : sys::read_some(fd_, room);
        ++stats_.calls;
        if (!got) {
            if (sys::would_block(got.error())) {
                return state::blocked;
            }
            error_ = got.error();
            return state::failed;
        }
        if (*got == 0) {
            has_ended_ = true;
            return state::ended;
        }
        current_.commit(*got);
        stats_.bytes += *got;
        if (*got < room.size()) {
            return state::blocked;  // emptied, as far as is known without another call
        }
        next_class_ += next_class_ < top_class_ ? 1 : 0;
        return state::data;
    }

    /// Makes a buffer the current one: of the size that is wanted, or of the next smaller that
    /// there is. Returns: why there is none.
    [[nodiscard]] std::error_code take_slot() noexcept {
        // Room for the current buffer's slice and one more, so that nothing that was read can be
        // lost for want of it.
        if (!came_.reserve(came_.slice_count() + 2)) {
            return make_error_code(errc::out_of_memory);
        }
        seal();
        std::size_t index = next_class_;
        if (held_ + pool_.slot_bytes(index) > hold_at_most_) {
            index = class_within(hold_at_most_ > held_ ? hold_at_most_ - held_ : 0);
        }
        for (;; --index) {
            auto taken = pool_.acquire(pool_.slot_bytes(index), priority::normal, where_);
            if (taken) {
                current_ = std::move(*taken);
                held_ += current_.capacity();
                return {};
            }
            if (taken.error() != errc::exhausted || index == 0) {
                return taken.error();
            }
        }
    }

    /// The class of the largest slots of no more than so many bytes; the smallest, if all have
    /// more.
    [[nodiscard]] std::size_t class_within(std::size_t bytes) const noexcept {
        std::size_t index = pool_.class_count() - 1;
        while (index != 0 && pool_.slot_bytes(index) > bytes) {
            --index;
        }
        return index;
    }

    /// Turns the current buffer into the chain's last slice.
    void seal() noexcept {
        [[maybe_unused]] const bool kept = came_.append(std::move(current_).freeze());
        ZCPOOL_ASSERT(kept, "the room for a buffer that was filled was not reserved");
    }

    pool_view pool_;
    std::size_t hold_at_most_;
    std::source_location where_;
    buffer current_;
    int fd_;
    bool is_socket_ = false;
    bool has_ended_ = false;
    std::size_t top_class_;
    std::size_t next_class_ = 0;  ///< of the slot that is asked for next
    std::size_t held_ = 0;        ///< bytes of the slots that hold what was not taken
};

static_assert(chain_source<read>);

}  // namespace zcpool::source
