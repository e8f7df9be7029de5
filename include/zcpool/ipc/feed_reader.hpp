// SPDX-License-Identifier: MIT
#pragma once

// The reader's end of a feed: frames of another user's pool, to be read where they lie.

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/blocking_receive.hpp>
#include <zcpool/ipc/channel_options.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/ipc/feed_memory.hpp>
#include <zcpool/ipc/feed_session.hpp>
#include <zcpool/ipc/feed_view.hpp>
#include <zcpool/ipc/waker.hpp>
#include <zcpool/ring/spsc_ring.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/wake_socket.hpp>

namespace zcpool::ipc {

/// The end that reads.
///
/// Its slices lie in no pool of this process: sinks copy them. The owner can change what they show,
/// and may take back what was not received; what was received stays until it is released.
/// In an event loop it waits on event(), if the owner made one (feed_options::wakes_by).
/// Sharing: one thread at a time; what it received may go to any.
class feed_reader {
public:
    /// Receives a feed from the peer of a connected UNIX stream socket, a duplicate of which stays
    /// open as long as there are slices: by it the owner knows that this reader lives. Descriptors
    /// of a message that is refused are closed.
    ///
    /// Errors: `bad_message`; `not_a_pool`, `not_sealed`, `wrong_access`, `wrong_version`,
    /// `out_of_memory`; the errno of a call.
    /// Concurrency: blocks as the socket does.
    [[nodiscard]] static result<feed_reader> receive_from(int socket) noexcept {
        std::array<std::byte, sizeof feed_word> text{};
        std::array<sys::unique_fd, 3> fds;
        const auto got = sys::receive_fds(socket, text, fds);
        if (!got) {
            return fail(got.error());
        }
        if (got->truncated || (got->fds != 2 && got->fds != 3) || got->bytes != text.size() ||
            std::bit_cast<std::uint64_t>(text) != feed_word) {
            return fail(errc::bad_message);
        }
        auto memory = feed_memory::adopt(std::move(fds[1]));
        if (!memory) {
            return fail(memory.error());
        }
        const bool has_event = static_cast<wake_by>(memory->table().wakes_by) == wake_by::event;
        if (static_cast<bool>(fds[2]) != has_event ||
            (has_event && !sys::wake_socket::is_one(fds[2].get()))) {
            return fail(errc::bad_message);
        }
        const auto status = descriptor_check::check_file(fds[0].get(), file_user::reader);
        if (!status) {
            return fail(status.error());
        }
        if (static_cast<std::uint64_t>(status->st_size) != memory->table().data_bytes) {
            return fail(errc::not_a_pool);
        }
        auto data =
            sys::mapping::read_only(fds[0].get(), static_cast<std::size_t>(status->st_size));
        if (!data) {
            return fail(data.error());
        }
        // It is another user's pool, of which nothing is to lie about here; and a child would read
        // on in what its parent has given back.
        for (const int advice : {MADV_DONTDUMP, MADV_DONTFORK}) {
            if (auto done = data->advise(0, data->size(), advice); !done) {
                return fail(done.error());
            }
        }
        auto own = sys::call([&] { return sys::provider::duplicate(socket); });
        if (!own) {
            return fail(own.error());
        }
        auto view = feed_view::create(std::move(*data), std::move(*memory), sys::unique_fd{*own});
        if (!view) {
            return fail(view.error());
        }
        return feed_reader{*view, feed_waker::adopt(std::move(fds[2]))};
    }

    feed_reader(feed_reader&& other) noexcept
        : view_(std::exchange(other.view_, nullptr)),
          ring_(other.ring_),
          news_(std::move(other.news_)),
          spin_(other.spin_),
          is_corrupt_(other.is_corrupt_),
          received_(other.received_) {}
    feed_reader& operator=(feed_reader&& other) noexcept {
        std::swap(view_, other.view_);
        std::swap(ring_, other.ring_);
        std::swap(news_, other.news_);
        std::swap(spin_, other.spin_);
        std::swap(is_corrupt_, other.is_corrupt_);
        std::swap(received_, other.received_);
        return *this;
    }
    ~feed_reader() {
        close();
        if (view_ != nullptr) {
            view_->drop();
        }
    }

    /// The oldest frame that was sent; empty when there is none, and after an error.
    /// Concurrency: lock-free.
    [[nodiscard]] slice try_receive() noexcept {
        while (is_usable() && !is_corrupt_) {
            const auto message = ring_.peek();
            if (!message) {
                break;
            }
            if (!ring_.pop()) {
                continue;  // the owner had taken it back
            }
            slice got = view_->borrow(feed_frame::of(*message));
            is_corrupt_ = got.empty();
            received_ += got.empty() ? 0U : 1U;
            return got;
        }
        return {};
    }

    /// Waits for a frame: spins for a while (set_spin()), then sleeps.
    ///
    /// Errors: `closed` when the owner has ended the feed; `peer_gone` when its end of the socket
    /// is closed; `corrupt` when it wrote what cannot be.
    /// Concurrency: blocks.
    [[nodiscard]] result<slice> receive() noexcept {
        return receive_until(*this, sys::clock::time_point::max(), spin_);
    }
    /// Likewise; `timed_out` after `timeout`.
    template <class Rep, class Period>
    [[nodiscard]] result<slice> receive_for(std::chrono::duration<Rep, Period> timeout) noexcept {
        return receive_until(*this, sys::deadline_after(timeout), spin_);
    }

    /// Why try_receive() gives nothing and never will; empty: something may come yet.
    [[nodiscard]] std::error_code ended() noexcept {
        if (!is_usable()) {
            return errc::closed;
        }
        if (is_corrupt_) {
            return errc::corrupt;
        }
        // sync(channel): seq_cst; what was sent before is seen below.
        if (header().owner_closed.load(memory_order_seq_cst) != 0 && !ring_.peek()) {
            return errc::closed;
        }
        return {};
    }

    /// With wake_by::event: announces that we wait for news.
    ///
    /// Returns: false when there is something to look at; true: wait until event() is readable,
    /// then call end_wait(). If nothing has come then, ask is_owner_gone(): event() of a feed whose
    /// owner has died is readable for good.
    [[nodiscard]] bool begin_wait() noexcept {
        if (!is_usable()) {
            return false;
        }
        header().news.announce();
        if (ended() || has_news()) {
            header().news.withdraw();
            return false;
        }
        return true;
    }
    /// Ends what begin_wait() began.
    void end_wait() noexcept {
        if (is_usable()) {
            news_.end_wait(header().news);
        }
    }
    /// This end's: valid while it lives. -1: the reader is woken by futex.
    [[nodiscard]] int event() const noexcept { return news_.event(); }

    /// Whether the owner's end of the socket is closed, as it is when it has died.
    /// Complexity: one system call.
    [[nodiscard]] bool is_owner_gone() const noexcept {
        return is_usable() && sys::has_hung_up(view_->socket());
    }

    /// A look whether try_receive() is worth it, which costs next to nothing.
    [[nodiscard]] bool has_news() noexcept { return is_usable() && ring_.peek().has_value(); }

    /// Sleeps until there may be news, or `deadline`, but not long.
    /// Returns: false when the owner's end of the socket is closed.
    [[nodiscard]] bool wait(sys::clock::time_point deadline) noexcept {
        if (!begin_wait()) {
            return true;
        }
        // Not whether it is readable: what comes by it besides the feed is the user's.
        const bool woken = news_.sleep(header().news, {view_->socket(), POLLRDHUP, 0}, deadline);
        end_wait();
        // An event is readable too when the owner has died.
        return (woken && event() < 0) || !is_owner_gone();
    }

    /// Ends the feed: the owner gets `closed`. Frames that were received stay.
    void close() noexcept {
        if (is_usable()) {
            // sync(channel): seq_cst; the owner sees it at its next send.
            header().reader_closed.store(1, memory_order_seq_cst);
        }
    }

    /// How long receive() looks for a frame before it sleeps.
    void set_spin(std::chrono::microseconds longest) noexcept { spin_ = longest; }

    /// Frames received.
    [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

private:
    feed_reader(feed_view* view, feed_waker news) noexcept
        : view_(view), ring_(view->memory().ring()), news_(std::move(news)) {}

    /// Whether it is of a feed, and this process not one that was forked from the reader.
    [[nodiscard]] bool is_usable() const noexcept {
        return view_ != nullptr && view_->in_creator();
    }
    [[nodiscard]] feed_header& header() const noexcept { return view_->memory().header(); }

    feed_view* view_;
    spsc_consumer ring_;
    feed_waker news_;
    std::chrono::microseconds spin_{20};
    bool is_corrupt_ = false;
    std::uint64_t received_ = 0;
};

}  // namespace zcpool::ipc
