// SPDX-License-Identifier: MIT
#pragma once

// Connections whose sink has gone while the kernel still refers to memory that it sent: the memory
// is kept here until the kernel says that it is done, or the peer has had its time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <system_error>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/zerocopy_session.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/process_local.hpp>

namespace zcpool::sink {

/// Sends in flight that have no sink any more.
///
/// A connection here has been shut down for writing, so that the peer sees its end behind the last
/// byte. One that is not confirmed within its linger time is reset. Somebody must call poll() now
/// and then, say in an event loop's tick: nothing here has a thread. Who hands a connection in
/// polls a few others, so that a program which does not has at least no list that grows for ever.
/// Concurrency: a mutex, held for a few instructions and never during a system call; any thread.
class linger_list {
public:
    /// The one that all sinks of the process use. It is not destroyed at the end of the program,
    /// when the kernel may still read what it keeps.
    [[nodiscard]] static linger_list& common() noexcept {
        return sys::process_local<linger_list>::get();
    }

    linger_list(const linger_list&) = delete;
    linger_list& operator=(const linger_list&) = delete;

    /// Takes over a session whose sink ends.
    ///
    /// Does nothing more when nothing of it is in flight.
    /// Complexity: a few system calls.
    void adopt(unique_object<zerocopy_session> ending) noexcept {
        if (ending->in_flight() == 0 || !ending->in_creator()) {
            return;
        }
        ending->reap();
        if (ending->in_flight() == 0) {
            return;
        }
        ending->hang_up();
        if (ending->in_flight() == 0) {
            return;
        }
        const auto begin = now();
        ending->deadline_ =
            begin + smaller_of(ending->linger_, std::chrono::milliseconds::max() - begin);
        // relaxed: a hint and a figure.
        count_.fetch_add(1, memory_order_relaxed);
        poll(polled_with_each);
        put_back(std::move(ending));
    }

    /// Lets go of what the kernel has done with, and resets connections that are past their time.
    ///
    /// `most`: how many connections to look at; each comes up in turn.
    /// Returns: connections that are still in flight.
    /// Complexity: a system call for each connection and one for each notice.
    std::size_t poll(std::size_t most = SIZE_MAX) noexcept {
        for (std::size_t left = size() < most ? size() : most; left != 0; --left) {
            auto session = take_first();
            if (!session) {
                break;
            }
            session->reap();
            if (session->in_flight() != 0 && now() >= session->deadline_) {
                session->abort();
            }
            if (session->in_flight() != 0) {
                put_back(std::move(session));
            } else {
                // relaxed: as above.
                count_.fetch_sub(1, memory_order_relaxed);
            }
        }
        return size();
    }

    /// Connections in it.
    [[nodiscard]] std::size_t size() const noexcept {
        // relaxed: may be stale.
        return count_.load(memory_order_relaxed);
    }

private:
    friend class sys::process_local<linger_list>;

    linger_list() noexcept = default;
    ~linger_list() = default;

    static constexpr std::size_t polled_with_each = 2;

    [[nodiscard]] static std::chrono::milliseconds now() noexcept {
        timespec time{};
        static_cast<void>(sys::provider::clock_gettime(CLOCK_MONOTONIC_COARSE, &time));
        return std::chrono::milliseconds{std::int64_t{time.tv_sec} * 1000 +
                                         time.tv_nsec / 1'000'000};
    }

    [[nodiscard]] unique_object<zerocopy_session> take_first() noexcept {
        const std::scoped_lock lock{mutex_};
        auto first = std::move(first_);
        if (first) {
            first_ = std::move(first->next_);
            last_ = first_ ? last_ : nullptr;
        }
        return first;
    }

    void put_back(unique_object<zerocopy_session> session) noexcept {
        const std::scoped_lock lock{mutex_};
        zerocopy_session* const added = session.get();
        (last_ == nullptr ? first_ : last_->next_) = std::move(session);
        last_ = added;
    }

    std::mutex mutex_;
    unique_object<zerocopy_session> first_;
    zerocopy_session* last_ = nullptr;
    atomic<std::size_t> count_{0};
};

/// A sink's session, once it has one; what is in flight when it ends goes to linger_list::common().
class lingering_session {
public:
    lingering_session() noexcept = default;
    lingering_session(lingering_session&&) noexcept = default;
    lingering_session& operator=(lingering_session&& other) noexcept {
        if (this != &other) {
            end();
            session_ = std::move(other.session_);
        }
        return *this;
    }
    ~lingering_session() { end(); }

    /// Opens one, if there is none. Returns: why not; empty: there is one.
    [[nodiscard]] std::error_code open(int socket, std::chrono::milliseconds linger) noexcept {
        if (!session_) {
            auto opened = zerocopy_session::open(socket, linger);
            if (!opened) {
                return opened.error();
            }
            session_ = std::move(*opened);
        }
        return {};
    }

    /// Expects: open() succeeded.
    [[nodiscard]] zerocopy_session* operator->() const noexcept { return session_.get(); }
    /// As zerocopy_session::reap(), if there is a session.
    void reap() noexcept {
        if (session_) {
            session_->reap();
        }
    }
    [[nodiscard]] std::size_t in_flight() const noexcept {
        return session_ ? session_->in_flight() : 0;
    }
    [[nodiscard]] zerocopy_counts counts() const noexcept {
        return session_ ? session_->counts() : zerocopy_counts{};
    }
    /// What a sink with it waits for, when its queue waits for `first`.
    [[nodiscard]] interest interest_after(interest first) const noexcept {
        return first == interest::none && in_flight() != 0 ? interest::error_queue : first;
    }

private:
    void end() noexcept {
        if (session_) {
            linger_list::common().adopt(std::move(session_));
        }
    }

    unique_object<zerocopy_session> session_;
};

}  // namespace zcpool::sink
