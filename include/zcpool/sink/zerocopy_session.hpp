// SPDX-License-Identifier: MIT
#pragma once

// A socket's sends by reference that the kernel has not confirmed, with a descriptor of its own to
// hear of them. It outlives the sink that made it for as long as that takes.

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/in_flight.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/transfer.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/zerocopy.hpp>

namespace zcpool::sink {

/// What a socket's sends by reference came to, in sends.
struct zerocopy_counts {
    std::uint64_t sent = 0;
    std::uint64_t confirmed = 0;  ///< the kernel has let go of them
    std::uint64_t copied = 0;   ///< of the confirmed: it had made a copy after all (loopback, veth)
    std::uint64_t refused = 0;  ///< not sent but copied at once: too much is in flight (ENOBUFS)
    std::uint64_t unexpected = 0;  ///< notices of sends that were not in flight, and were ignored
};

/// The sends in flight of one socket.
///
/// Its descriptor is a duplicate, so that notices can be read when the sink and the socket's owner
/// have gone. Allocated before the first send, so that handing it on cannot fail.
class zerocopy_session {
public:
    /// Switches sending by reference on.
    ///
    /// Errors: those of sys::enable_zerocopy; EMFILE, `out_of_memory`.
    [[nodiscard]] static result<unique_object<zerocopy_session>> open(
        int socket, std::chrono::milliseconds linger) noexcept {
        unique_object<zerocopy_session> made{new (std::nothrow) zerocopy_session{linger}};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        auto own = sys::unique_fd::duplicate(socket);
        if (!own) {
            return fail(own.error());
        }
        made->socket_ = std::move(*own);
        if (auto done = sys::enable_zerocopy(socket); !done) {
            return fail(done.error());
        }
        return made;
    }

    /// Sends the first `count` slices of a chain by reference, and keeps those that it took.
    ///
    /// `count`: at most parts_a_call, at least one.
    /// Returns: bytes taken.
    /// Errors: the errno of sendmsg; ENOBUFS, also for want of memory to keep them: copy this time.
    [[nodiscard]] result<std::size_t> send(const chain& queue, std::size_t count) noexcept {
        if (!sends_.reserve(count)) {
            return fail(std::error_code{ENOBUFS, std::system_category()});
        }
        std::array<iovec, parts_a_call> parts;
        for (std::size_t i = 0; i < count; ++i) {
            const slice& each = queue.slices()[i];
            parts[i] = {const_cast<std::byte*>(each.data()), each.size()};
        }
        auto sent = sys::send_parts(socket_.get(), array_view{parts}.first(count),
                                    count < queue.slice_count(), MSG_ZEROCOPY);
        if (!sent || *sent == 0) {
            return sent;
        }
        // A call that took a part only refers to that, but has its number all the same.
        std::size_t left = *sent;
        for (std::size_t i = 0; left != 0; ++i) {
            const slice& each = queue.slices()[i];
            left -= each.size() < left ? each.size() : left;
            sends_.keep(each);
        }
        sends_.sent();
        ++counts_.sent;
        return sent;
    }

    /// Reads what the kernel says and lets go of what it has done with.
    /// Complexity: a system call for each notice, and one to find that there is no more; none while
    /// nothing is in flight.
    void reap() noexcept {
        while (!sends_.empty()) {
            const auto told = sys::read_notice(socket_.get());
            if (!told) {
                return;
            }
            if (!*told) {
                continue;  // another kind of message, which the socket's owner does not read either
            }
            const auto came = sends_.confirm((*told)->first, (*told)->last);
            counts_.confirmed += came.confirmed;
            counts_.copied += (*told)->copied ? came.confirmed : 0;
            counts_.unexpected += came.duplicates + came.unknown;
        }
    }

    /// Sends that are not confirmed yet.
    [[nodiscard]] std::size_t in_flight() const noexcept { return sends_.size(); }
    [[nodiscard]] const zerocopy_counts& counts() const noexcept { return counts_; }
    /// Counts a send that the kernel refused for want of memory.
    void count_refused() noexcept { ++counts_.refused; }

    /// Ends the connection as its owner is about to: with a reset when it is set to do so, else by
    /// saying that nothing more comes. Lets go of what that sets free.
    void hang_up() noexcept {
        if (sys::resets_on_close(socket_.get())) {
            abort();
        } else {
            // Fails when the connection has ended, and then there is nothing to say.
            static_cast<void>(sys::shutdown_writing(socket_.get()));
        }
    }

    /// Resets the connection and lets go of what that sets free.
    void abort() noexcept {
        static_cast<void>(sys::reset_connection(socket_.get()));
        reap();
    }

    /// Whether this is the process that opened it. In a forked child nothing is sent, and the
    /// parent's connection is not to be touched.
    [[nodiscard]] bool in_creator() const noexcept { return sys::provider::getpid() == creator_; }

private:
    friend class linger_list;

    explicit zerocopy_session(std::chrono::milliseconds linger) noexcept
        : creator_(sys::provider::getpid()), linger_(linger) {}

    sys::unique_fd socket_;
    sink::in_flight<slice> sends_;
    zerocopy_counts counts_;
    pid_t creator_;

    // The list's.
    std::chrono::milliseconds linger_;
    std::chrono::milliseconds deadline_{};
    unique_object<zerocopy_session> next_;
};

}  // namespace zcpool::sink
