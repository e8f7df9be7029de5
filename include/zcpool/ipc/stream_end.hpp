// SPDX-License-Identifier: MIT
#pragma once

// What the two ends of a byte stream have in common: the memory, the words to sleep on, the process
// at the other end, and the wait for it.
//
// Source: pidfd_open(2). That the peer is dead is what the kernel says of it, never a time-out.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/spin_pause.hpp>
#include <zcpool/ipc/sleep_word.hpp>
#include <zcpool/ipc/stream_file.hpp>
#include <zcpool/ipc/stream_handover.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/process.hpp>

namespace zcpool::ipc {

/// How an end of a stream is made and waits.
struct stream_options {
    /// Bytes that may be under way; of the end that is created. A power of two, a page or more.
    std::size_t capacity = 1_MiB;
    /// How long to look for the peer's next move before going to sleep. About what a wake-up takes.
    std::chrono::nanoseconds spin = std::chrono::microseconds{20};
    /// How long to wait for the peer's half of the handover.
    std::chrono::nanoseconds handover_timeout = std::chrono::seconds{10};
};

/// An end of a stream; closed at the latest when it goes. An empty one is closed.
///
/// Sharing: one thread at a time. It belongs to the process that made it: a forked child must not
/// use its copy, which closes nothing when it goes.
class stream_end {
public:
    /// Whether this end may be used. That says nothing about the peer.
    [[nodiscard]] bool is_open() const noexcept { return !is_closed_; }

    /// The barrier that both ends use: `full` where the kernel of either refused the other.
    [[nodiscard]] barrier_kind barrier() const noexcept { return peer_.barrier; }

    /// Bytes that may be under way.
    [[nodiscard]] std::size_t capacity() const noexcept { return memory_.pages.size(); }

protected:
    stream_end() noexcept = default;
    /// Of memory that was checked, and the process at its other end.
    stream_end(stream_memory memory, stream_peer peer, stream_side side,
               std::chrono::nanoseconds spin) noexcept
        : memory_(std::move(memory)),
          peer_(std::move(peer)),
          mine_(&word_of(side)),
          theirs_(&word_of(other_side(side))),
          spin_(clamped(spin, std::chrono::nanoseconds::zero(), longest_spin)),
          owner_(sys::provider::getpid()),
          is_closed_(false) {}
    stream_end(stream_end&& other) noexcept
        : memory_(std::move(other.memory_)),
          peer_(std::move(other.peer_)),
          mine_(other.mine_),
          theirs_(other.theirs_),
          spin_(other.spin_),
          owner_(other.owner_),
          is_closed_(std::exchange(other.is_closed_, true)) {}
    stream_end& operator=(stream_end&& other) noexcept {
        if (this != &other) {
            close();
            memory_ = std::move(other.memory_);
            peer_ = std::move(other.peer_);
            mine_ = other.mine_;
            theirs_ = other.theirs_;
            spin_ = other.spin_;
            owner_ = other.owner_;
            is_closed_ = std::exchange(other.is_closed_, true);
        }
        return *this;
    }
    ~stream_end() { close(); }

    /// Ends the stream: the peer reads what was committed, then finds it closed. What space() and
    /// readable() gave may be touched until the object goes, and is not committed any more.
    ///
    /// Complexity: a system call more when the peer sleeps.
    void close() noexcept {
        if (is_open() && sys::provider::getpid() == owner_) {
            mine_->close();
            static_cast<void>(theirs_->wake(peer_.barrier));
        }
        is_closed_ = true;
    }

    /// The mapping of the ring and its header.
    [[nodiscard]] stream_memory& memory() noexcept { return memory_; }
    /// Where the other end says that it sleeps, or has closed.
    [[nodiscard]] sleep_word& theirs() noexcept { return *theirs_; }

    /// Makes an end with a new stream, and hands the other one to the peer of a socket.
    template <class End>
    [[nodiscard]] static result<End> create(int socket, stream_side side,
                                            const stream_options& options) noexcept {
        auto memory = stream_file::create(options.capacity);
        if (!memory) {
            return fail(memory.error());
        }
        auto peer = stream_handover::offer(socket, *memory, side,
                                           sys::deadline_after(options.handover_timeout));
        if (!peer) {
            return fail(peer.error());
        }
        return End{std::move(*memory), std::move(*peer), options.spin};
    }

    /// Takes the end that the peer of a socket hands over.
    template <class End>
    [[nodiscard]] static result<End> receive(int socket, stream_side side,
                                             const stream_options& options) noexcept {
        auto got =
            stream_handover::accept(socket, side, sys::deadline_after(options.handover_timeout));
        if (!got) {
            return fail(got.error());
        }
        return End{std::move(got->memory), std::move(got->peer), options.spin};
    }

    /// Waits until `holds()`: looks for a while, then sleeps and is woken.
    ///
    /// Errors, each only when `holds()` is not true behind it: `closed` by the peer; `peer_gone`,
    /// which is noticed within `longest_sleep`; `timed_out`; the errno of poll.
    /// Concurrency: blocks.
    template <class Condition>
    [[nodiscard]] result<void> wait(Condition&& holds, sys::clock::time_point deadline) noexcept {
        bool is_there = look_a_while(holds, deadline);
        while (!is_there) {
            std::error_code reason;
            if (theirs_->was_closed()) {
                reason = errc::closed;
            } else if (const auto dead = is_peer_dead(); !dead) {
                reason = dead.error();
            } else if (*dead) {
                reason = errc::peer_gone;
            }
            const auto now = sys::clock::now();
            if (!reason && now >= deadline) {
                reason = errc::timed_out;
            }
            if (reason) {
                return holds() ? result<void>{} : fail(reason);
            }
            mine_->sleep_unless([&] { return holds() || theirs_->was_closed(); }, peer_.barrier,
                                smaller_of(deadline, now + longest_sleep));
            is_there = holds();
        }
        return {};
    }

private:
    /// A pidfd wakes no futex, so the sleeper looks at it so often.
    static constexpr sys::clock::duration longest_sleep = std::chrono::milliseconds{100};
    static constexpr std::chrono::nanoseconds longest_spin = std::chrono::seconds{1};

    [[nodiscard]] sleep_word& word_of(stream_side side) const noexcept {
        return side == stream_side::writer ? memory_.header().writer : memory_.header().reader;
    }

    template <class Condition>
    [[nodiscard]] bool look_a_while(Condition&& holds,
                                    sys::clock::time_point deadline) const noexcept {
        const auto begin = sys::clock::now();
        const auto end = smaller_of(deadline, begin + spin_);
        do {
            // The clock costs as much as several looks.
            for (int i = 0; i < 16; ++i) {
                if (holds()) {
                    return true;
                }
                spin_pause();
            }
        } while (sys::clock::now() < end);
        return false;
    }

    [[nodiscard]] result<bool> is_peer_dead() const noexcept {
        std::array<pollfd, 1> entry{pollfd{peer_.process.get(), POLLIN, 0}};
        const auto ready = sys::poll_readable(entry, 0);
        if (!ready) {
            return fail(ready.error());
        }
        return *ready != 0;
    }

    stream_memory memory_;
    stream_peer peer_;
    sleep_word* mine_ = nullptr;
    sleep_word* theirs_ = nullptr;
    std::chrono::nanoseconds spin_{0};
    pid_t owner_ = 0;
    bool is_closed_ = true;
};

}  // namespace zcpool::ipc
