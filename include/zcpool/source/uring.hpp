// SPDX-License-Identifier: MIT
#pragma once

// In through an io_uring: one request receives for as long as the connection lives, and the kernel
// puts what comes into slots of the pool. Not part of zcpool.hpp: it needs liburing and comes with
// the CMake target zcpool::uring.
// Source: io_uring_enter(2), IORING_RECV_MULTISHOT (Linux 6.0).

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/source/receive_line.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/source/source.hpp>

namespace zcpool::source {

/// What source::uring may be told.
struct receive_options {
    /// Slots that it holds at most before they are taken. The kernel stops when it hears of it: by
    /// then as many more may have come as the ring has.
    std::size_t most_slots = 16;

    /// The place of the socket among the ring's registered files (sys::uring::set_file), which
    /// keeps it until the source has ended; below 0: it has none.
    int registered_file = -1;
};

/// Receives through a ring, from the first pull() on: what comes lies in slots of the ring's pool.
///
/// `blocked` means that nothing has come: wait until the ring's descriptor is readable. While the
/// pool has no slot it is `exhausted`, and goes on when a pull, or any reap of the ring, finds one:
/// the stream is never ended by it. While what it holds is not taken it is `full`, and the peer is
/// held back by its own window; take() goes on.
///
/// A source that ends leaves its request to the ring, which asks the kernel to end it and drops
/// what may come until then. Its socket may be closed at once.
///
/// Expects: a stream socket.
/// Sharing: one thread at a time, that of the ring. Does not own descriptor and ring, which must
/// outlive it.
class uring {
public:
    /// Want of memory shows as error() at once.
    uring(int fd, receive_ring& ring, const receive_options& options = {}) noexcept
        : ring_(&ring), line_(new(std::nothrow) receive_line) {
        if (line_) {
            line_->fd = fd;
            line_->registered_file = options.registered_file;
            line_->most_slots = options.most_slots == 0 ? 1 : options.most_slots;
        }
    }
    /// Leaves `other` with nothing to take: it fails when it is pulled.
    uring(uring&&) noexcept = default;
    uring& operator=(uring&& other) noexcept {
        if (this != &other) {
            leave();
            ring_ = other.ring_;
            line_ = std::move(other.line_);
            told_ = other.told_;
        }
        return *this;
    }
    ~uring() { leave(); }

    /// Who is to hear, from receive_ring::announce(), that something has come for this source.
    void set_owner(void* owner) noexcept {
        if (line_) {
            line_->owner = owner;
        }
    }

    /// Looks for what has come, and sees to it that more can. To be repeated while it says `data`:
    /// the end may have come with the last bytes, and is not announced once more.
    /// Complexity: a system call only when a request has to be made: at first, and when the last
    /// one has ended.
    state pull() noexcept {
        if (!line_) {
            return state::failed;
        }
        ring_->reap();
        go_on();
        ring_->reap();  // of what was there already
        line_->has_news = false;
        if (line_->bytes != told_) {
            told_ = line_->bytes;
            return state::data;
        }
        return standing();
    }

    /// Gives what came, and goes on if that was in the way.
    [[nodiscard]] chain take() noexcept {
        if (!line_) {
            return {};
        }
        chain all = std::exchange(line_->came, chain{});
        if (!all.empty()) {
            go_on();
        }
        return all;
    }

    /// Bytes that came and were not taken yet.
    [[nodiscard]] std::size_t available() const noexcept { return line_ ? line_->came.size() : 0; }
    /// Why the source failed; empty while it works.
    [[nodiscard]] std::error_code error() const noexcept {
        return line_ ? line_->error : make_error_code(errc::out_of_memory);
    }
    [[nodiscard]] source::stats stats() const noexcept {
        return line_ ? source::stats{line_->requests, line_->bytes, line_->exhausted}
                     : source::stats{};
    }
    /// What to wait for, as things stand.
    [[nodiscard]] source::interest interest() const noexcept {
        if (!line_) {
            return source::interest::none;
        }
        switch (standing()) {
            case state::blocked:
                // Where the kernel took no request there is nothing to complete.
                return line_->is_armed ? source::interest::completion : source::interest::readable;
            case state::exhausted: return source::interest::slot;
            case state::data:
            case state::full:
            case state::ended:
            case state::failed: break;
        }
        return source::interest::none;
    }

private:
    [[nodiscard]] state standing() const noexcept {
        return line_->error        ? state::failed
               : line_->has_ended  ? state::ended
               : line_->is_full()  ? state::full
               : line_->is_starved ? state::exhausted
                                   : state::blocked;
    }

    void go_on() noexcept {
        if (line_->wants_more()) {
            ring_->arm(line_);
        }
    }

    /// Leaves what is in flight to the ring.
    void leave() noexcept {
        if (line_) {
            line_->owner = nullptr;
            line_->is_abandoned = true;
            line_->came.clear();
            ring_->cancel(line_);
            line_ = receive_line_ref{};
        }
    }

    receive_ring* ring_;
    receive_line_ref line_;
    std::uint64_t told_ = 0;  ///< of the bytes that came, those that a pull has told of
};

static_assert(chain_source<uring>);

}  // namespace zcpool::source
