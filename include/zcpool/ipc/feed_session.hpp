// SPDX-License-Identifier: MIT
#pragma once

// What a feed is made of, on the heap, so that it can outlive the feed while the reader still has
// frames.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/feed_account.hpp>
#include <zcpool/ipc/feed_memory.hpp>
#include <zcpool/ipc/waker.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/wake_socket.hpp>

namespace zcpool::ipc {

/// What the message says with which a feed is handed over: then come the data file for reading
/// only, the feed's memory, and where the reader is woken by events, its end of that.
inline constexpr std::uint64_t feed_word =
    feed_table::expected_magic ^ std::uint64_t{feed_table::expected_version} << 32;

/// How the reader of a feed is woken; by an event of which it has one end, the owner the other.
using feed_waker = basic_waker<sys::wake_socket>;

/// Sharing: one thread at a time. Keeps the pool's memory.
class feed_session {
public:
    /// Errors: `out_of_memory`; the errno of what the system refused.
    [[nodiscard]] static result<unique_object<feed_session>> create(
        pool_core& core, int socket, const feed_table& table) noexcept {
        auto memory = feed_memory::create(table);
        if (!memory) {
            return fail(memory.error());
        }
        auto account = feed_account::create(table.frames);
        if (!account) {
            return fail(account.error());
        }
        unique_object<feed_frame[]> sent{new (std::nothrow) feed_frame[table.capacity]};
        if (!sent) {
            return fail(errc::out_of_memory);
        }
        auto own = sys::call([&] { return sys::provider::duplicate(socket); });
        if (!own) {
            return fail(own.error());
        }
        sys::unique_fd socket_copy{*own};
        sys::wake_socket::pair event;
        if (static_cast<wake_by>(table.wakes_by) == wake_by::event) {
            auto both = sys::wake_socket::create();
            if (!both) {
                return fail(both.error());
            }
            event = std::move(*both);
        }
        unique_object<feed_session> made{
            new (std::nothrow) feed_session{core, std::move(*memory), std::move(*account),
                                            std::move(sent), std::move(socket_copy)}};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        made->news_ = feed_waker{std::move(event.signals)};
        made->reader_event_ = std::move(event.is_woken);
        return made;
    }
    feed_session(const feed_session&) = delete;
    feed_session& operator=(const feed_session&) = delete;
    ~feed_session() {
        if (!core_.in_creator()) {
            memory_.forget();
        }
        core_.unpin();
    }

    /// Hands everything to the reader, once. `data`: the pool's data file, open for reading only.
    [[nodiscard]] result<void> send_files(int data) noexcept {
        const auto text = std::bit_cast<std::array<std::byte, sizeof feed_word>>(feed_word);
        const std::array<int, 3> fds{data, memory_.fd(), reader_event_.get()};
        auto done =
            sys::send_fds(socket_.get(), text, array_view{fds}.first(reader_event_ ? 3 : 2));
        reader_event_.reset();  // from here on it is the reader's alone
        return done;
    }

    /// Errors: `foreign_slice`, `full`, `closed`, `corrupt`; `peer_gone` once is_reader_gone() has
    /// said so.
    [[nodiscard]] result<void> send(const slice& what) noexcept {
        if (is_gone_) {
            return fail(errc::peer_gone);
        }
        if (!what.in_pool() || !is_inside(what.bytes()) || what.empty()) {
            return fail(errc::foreign_slice);
        }
        if (auto done = collect(); !done) {
            return done;
        }
        if (!account_.has_room() || !ring_.has_room()) {
            return fail(errc::full);
        }
        feed_frame frame = account_.add(what, memory_.receipts());
        frame.offset = core_.offset_of(what.data());
        frame.length = static_cast<std::uint32_t>(what.size());
        at(ring_.pushed()) = frame;
        static_cast<void>(ring_.try_push(frame.to_message()));
        news_.wake(memory_.header().news);
        return {};
    }

    /// Takes the oldest message back that was not read.
    /// Returns: false when the reader has read all.
    [[nodiscard]] bool drop_oldest() noexcept {
        // The reader may be faster with one, but has no more of them than the ring holds.
        for (std::size_t n = ring_.capacity(); n != 0; --n) {
            const std::uint64_t oldest = ring_.was_taken();
            switch (ring_.take_back()) {
                case take_back_outcome::taken_back: account_.cancel(at(oldest)); return true;
                case take_back_outcome::corrupt: return false;
                case take_back_outcome::too_late: break;
            }
            if (ring_.was_taken() == ring_.pushed()) {
                return false;
            }
        }
        return false;
    }

    /// Lets go of what came back.
    /// Errors: `closed`, `corrupt`.
    [[nodiscard]] result<void> collect() noexcept {
        if (!core_.in_creator()) {
            return fail(errc::closed);
        }
        account_.collect(memory_.receipts());
        if (!ring_.refresh()) {
            return fail(errc::corrupt);
        }
        // sync(channel): seq_cst; what the reader gave back before is seen above the next time.
        return memory_.header().reader_closed.load(memory_order_seq_cst) != 0
                   ? result<void>{fail(errc::closed)}
                   : result<void>{};
    }

    /// Whether the reader's end of the socket is closed. Then nothing is outstanding any more, but
    /// what the lent budget does not allow to be let go yet.
    [[nodiscard]] bool is_reader_gone() noexcept {
        if (!core_.in_creator()) {
            return false;
        }
        is_gone_ = is_gone_ || sys::has_hung_up(socket_.get());
        if (is_gone_) {
            account_.abandon();
        }
        return is_gone_;
    }

    /// Tells the reader that nothing more comes, and takes back what it has not read.
    void close() noexcept {
        if (!core_.in_creator()) {
            return;
        }
        // sync(channel): seq_cst; the reader sees it, or we see that it sleeps.
        memory_.header().owner_closed.store(1, memory_order_seq_cst);
        news_.wake(memory_.header().news);
        for (std::size_t n = ring_.capacity(); n != 0 && ring_.refresh() && drop_oldest(); --n) {
        }
        static_cast<void>(collect());
    }

    [[nodiscard]] std::size_t outstanding() const noexcept { return account_.size(); }
    /// Whether this process is not one that was forked from the owner.
    [[nodiscard]] bool in_creator() const noexcept { return core_.in_creator(); }

private:
    friend class lingering_feeds;

    feed_session(pool_core& core, feed_memory memory, feed_account account,
                 unique_object<feed_frame[]> sent, sys::unique_fd socket) noexcept
        : core_(core),
          memory_(std::move(memory)),
          ring_(memory_.ring()),
          account_(std::move(account)),
          sent_(std::move(sent)),
          socket_(std::move(socket)) {
        core.pin();
    }

    [[nodiscard]] bool is_inside(std::span<const std::byte> bytes) const noexcept {
        const auto pool = std::span<const std::byte>{core_.memory().data(), core_.memory().size()};
        return bytes.data() >= pool.data() && bytes.data() < pool.data() + pool.size();
    }
    [[nodiscard]] feed_frame& at(std::uint64_t position) noexcept {
        return sent_[static_cast<std::size_t>(position) & (ring_.capacity() - 1)];
    }

    pool_core& core_;
    feed_memory memory_;
    spsc_producer ring_;
    feed_account account_;
    feed_waker news_;
    sys::unique_fd reader_event_;       ///< until it is handed over
    unique_object<feed_frame[]> sent_;  ///< what the messages are about, by position
    sys::unique_fd socket_;
    bool is_gone_ = false;
    unique_object<feed_session> next_;  ///< in lingering_feeds
};

}  // namespace zcpool::ipc
