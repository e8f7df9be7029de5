// SPDX-License-Identifier: MIT
#pragma once

// Frames of a pool for one reader that is not trusted: of another user, say. It gets the slots for
// reading only, and a ring of its own; it can lose its own frames, and read whatever the pool
// holds, but touch nothing that another process relies on.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/feed_account.hpp>
#include <zcpool/ipc/feed_memory.hpp>
#include <zcpool/ipc/feed_session.hpp>
#include <zcpool/ipc/lingering_feeds.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// How a feed is made.
struct feed_options {
    std::uint32_t frames = 16;    ///< that the reader may hold at a time, at most 4,096
    std::uint32_t capacity = 16;  ///< messages that wait for it; rounded up to a power of two
    back_pressure when_full = back_pressure::drop_oldest;  ///< never wait: it would be its hostage
    wake_by wakes_by = wake_by::futex;
};

/// The owner's end. A slice that was sent is kept until the reader gives it back, or is gone: its
/// socket says so. That is noticed at each send, and at reclaim().
///
/// The pool need not be shared: the reader has no place in it.
/// Sharing: one thread at a time. In a forked child it does nothing. When it goes, frames that the
/// reader still has stay with lingering_feeds.
class feed {
public:
    /// Makes a feed of a pool and hands it to the peer of a connected UNIX stream socket, which is
    /// from then on the reader's sign of life: a duplicate of it stays with the feed.
    ///
    /// Errors: `invalid_options` for 0 or too many frames, or back_pressure::wait; `unsupported`
    /// for a pool that has no file; `pages_registered`, or what the pool's trial said, where pages
    /// cannot be replaced, as those must be that a reader was sending when it died; the errno of
    /// what the system refused.
    [[nodiscard]] static result<feed> open(int socket, pool_view pool,
                                           const feed_options& options = {}) noexcept {
        if (options.frames == 0 || options.frames > max_feed_frames || options.capacity == 0 ||
            options.capacity > max_feed_frames || options.when_full == back_pressure::wait) {
            return fail(errc::invalid_options);
        }
        pool_core& core = pool_sharing::core_of(pool);
        if (core.is_closed()) {
            return fail(errc::closed);
        }
        if (!core.memory().has_file()) {
            return fail(errc::unsupported);
        }
        if (auto done = pool_sharing::allow_replacing(core); !done) {
            return fail(done.error());
        }
        const feed_table table{.capacity = std::bit_ceil(options.capacity),
                               .frames = options.frames,
                               .wakes_by = static_cast<std::uint32_t>(options.wakes_by),
                               .data_bytes = core.memory().size()};
        auto session = feed_session::create(core, socket, table);
        if (!session) {
            return fail(session.error());
        }
        // Not the pool's own descriptor, which is for writing.
        auto data = core.memory().file().reopen_read_only();
        if (!data) {
            return fail(data.error());
        }
        if (auto sent = (*session)->send_files(data->get()); !sent) {
            return fail(sent.error());
        }
        lingering_feeds::common().try_poll();
        return feed{std::move(*session), options.when_full};
    }

    feed(feed&&) noexcept = default;
    feed& operator=(feed&& other) noexcept {
        std::swap(session_, other.session_);
        std::swap(when_full_, other.when_full_);
        std::swap(stats_, other.stats_);
        return *this;
    }
    ~feed() {
        if (session_) {
            lingering_feeds::common().adopt(std::move(session_));
        }
    }

    /// Sends a slice; where the reader holds all it may, or does not read, as the policy says.
    ///
    /// Errors: `foreign_slice`; `closed` when the reader has closed; `peer_gone` when its socket
    /// was; `corrupt` when it wrote what cannot be: the feed is then of no use any more.
    /// Complexity: a few words, and a look at each frame that the reader has; a system call when it
    /// sleeps.
    /// Concurrency: lock-free.
    [[nodiscard]] result<send_outcome> send(const slice& what) noexcept {
        auto sent = try_send(what);
        if (sent) {
            return send_outcome::sent;
        }
        if (sent.error() != errc::full) {
            return fail(sent.error());
        }
        if (session_->is_reader_gone()) {
            return fail(errc::peer_gone);
        }
        ++stats_.dropped;
        // Frames that the reader has in its hands cannot be taken away.
        if (when_full_ == back_pressure::drop_oldest && session_->drop_oldest()) {
            sent = try_send(what);
            if (sent) {
                return send_outcome::sent_for_oldest;
            }
            // A reader that said what it had not read was given back may still hold too many.
            if (sent.error() != errc::full) {
                return fail(sent.error());
            }
        }
        return send_outcome::dropped;
    }

    /// Sends a slice if there is room, whatever the policy.
    ///
    /// Errors: as send(), and `full`.
    [[nodiscard]] result<void> try_send(const slice& what) noexcept {
        if (!session_) {
            return fail(errc::closed);
        }
        auto done = session_->send(what);
        stats_.sent += done ? 1U : 0U;
        return done;
    }

    /// Lets go of frames that the reader has given back, or that it had when it went.
    ///
    /// Errors: `closed`, `peer_gone`, `corrupt`.
    /// Complexity: a system call, and a look at each frame that it has.
    result<void> reclaim() noexcept {
        if (!session_) {
            return fail(errc::closed);
        }
        return session_->is_reader_gone() ? result<void>{fail(errc::peer_gone)}
                                          : session_->collect();
    }

    /// Frames that the reader has, or will get.
    [[nodiscard]] std::size_t outstanding() const noexcept {
        return session_ ? session_->outstanding() : 0;
    }
    [[nodiscard]] sender_stats stats() const noexcept { return stats_; }

private:
    feed(unique_object<feed_session> session, back_pressure when_full) noexcept
        : session_(std::move(session)), when_full_(when_full) {}

    unique_object<feed_session> session_;
    back_pressure when_full_;
    sender_stats stats_;
};

}  // namespace zcpool::ipc
