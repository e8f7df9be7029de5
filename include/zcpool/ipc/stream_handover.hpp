// SPDX-License-Identifier: MIT
#pragma once

// Handing one end of a byte stream to the peer of a connected UNIX socket.
//
// Two messages: the offer with the file of the stream and a descriptor of the offering process, and
// the answer with one of the answering process. So each end can see that the other one's process
// has ended, also where the socket was made before a fork and so names a third one (SO_PEERCRED).

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/sleep_word.hpp>
#include <zcpool/ipc/stream_file.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/global_barrier.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// Which end of a stream.
enum class stream_side : std::uint32_t { writer = 1, reader = 2 };

[[nodiscard]] constexpr stream_side other_side(stream_side one) noexcept {
    return one == stream_side::writer ? stream_side::reader : stream_side::writer;
}

/// What is known of the process at the other end.
struct stream_peer {
    sys::unique_fd process;  ///< a pidfd
    barrier_kind barrier = barrier_kind::full;
};

/// The two halves of a handover. Each waits for the other's message until `deadline`.
///
/// Errors of both: `wrong_access` when the peer of the socket runs as another user; `timed_out`;
/// `bad_message` for one of another kind or end, without exactly its descriptors, or that was cut
/// off, and when the peer has hung up; the errno of a call, ENOSYS before Linux 5.3.
class stream_handover {
public:
    /// Offers the other end of a stream whose `mine` is here, and waits for the answer.
    [[nodiscard]] static result<stream_peer> offer(int socket, const stream_memory& memory,
                                                   stream_side mine,
                                                   sys::clock::time_point deadline) noexcept {
        auto self = introduce(socket);
        if (!self) {
            return fail(self.error());
        }
        const std::array<int, 2> fds{memory.file.fd(), self->process.get()};
        if (auto done = send(socket, mine, self->barrier, fds); !done) {
            return fail(done.error());
        }
        std::array<sys::unique_fd, 1> got;
        auto theirs = receive(socket, other_side(mine), got, deadline);
        if (!theirs) {
            return fail(theirs.error());
        }
        return stream_peer{std::move(got[0]), common(self->barrier, *theirs)};
    }

    /// What was received: the memory, and who sent it.
    struct accepted {
        stream_memory memory;
        stream_peer peer;
    };

    /// Takes an end that was offered, checks the stream, and answers.
    ///
    /// Errors: also those of stream_file::attach().
    [[nodiscard]] static result<accepted> accept(int socket, stream_side mine,
                                                 sys::clock::time_point deadline) noexcept {
        auto self = introduce(socket);
        if (!self) {
            return fail(self.error());
        }
        std::array<sys::unique_fd, 2> got;
        const auto theirs = receive(socket, other_side(mine), got, deadline);
        if (!theirs) {
            return fail(theirs.error());
        }
        auto memory = stream_file::attach(std::move(got[0]));
        if (!memory) {
            return fail(memory.error());
        }
        const std::array<int, 1> fds{self->process.get()};
        if (auto done = send(socket, mine, self->barrier, fds); !done) {
            return fail(done.error());
        }
        return accepted{std::move(*memory), {std::move(got[1]), common(self->barrier, *theirs)}};
    }

private:
    struct message {
        std::uint64_t magic = stream_table::expected_magic;
        std::uint32_t version = stream_table::expected_version;
        stream_side side = stream_side::writer;  ///< the sender's
        std::uint64_t is_prepared = 0;           ///< whether heavy barriers reach the sender
    };
    static_assert(sizeof(message) == 24, "without padding, which would be sent");

    [[nodiscard]] static barrier_kind common(barrier_kind one, barrier_kind two) noexcept {
        return one == two ? one : barrier_kind::full;
    }

    /// What this process says of itself to a peer that runs as the same user.
    [[nodiscard]] static result<stream_peer> introduce(int socket) noexcept {
        const auto uid = sys::peer_uid(socket);
        if (!uid) {
            return fail(uid.error());
        }
        if (*uid != sys::provider::geteuid()) {
            return fail(errc::wrong_access);
        }
        auto process = sys::open_process(sys::provider::getpid());
        if (!process) {
            return fail(process.error());
        }
        return stream_peer{std::move(*process), sys::global_barrier::prepare()
                                                    ? barrier_kind::lopsided
                                                    : barrier_kind::full};
    }

    [[nodiscard]] static result<void> send(int socket, stream_side mine, barrier_kind barrier,
                                           array_view<const int> fds) noexcept {
        message text;
        text.side = mine;
        text.is_prepared = barrier == barrier_kind::lopsided ? 1 : 0;
        const auto bytes = std::bit_cast<std::array<std::byte, sizeof text>>(text);
        return sys::send_fds(socket, bytes, fds);
    }

    /// Receives a message of one who has the end `theirs`, with exactly `fds` descriptors.
    [[nodiscard]] static result<barrier_kind> receive(int socket, stream_side theirs,
                                                      array_view<sys::unique_fd> fds,
                                                      sys::clock::time_point deadline) noexcept {
        if (auto done = wait_readable(socket, deadline); !done) {
            return fail(done.error());
        }
        std::array<std::byte, sizeof(message)> bytes{};
        const auto got = sys::receive_fds(socket, bytes, fds);
        if (!got) {
            return fail(got.error());
        }
        const auto text = std::bit_cast<message>(bytes);
        if (got->truncated || got->fds != fds.size() || got->bytes != bytes.size() ||
            text.magic != stream_table::expected_magic ||
            text.version != stream_table::expected_version || text.side != theirs) {
            return fail(errc::bad_message);
        }
        return text.is_prepared == 1 ? barrier_kind::lopsided : barrier_kind::full;
    }

    [[nodiscard]] static result<void> wait_readable(int socket,
                                                    sys::clock::time_point deadline) noexcept {
        using std::chrono::milliseconds;
        for (;;) {
            const auto left = std::chrono::ceil<milliseconds>(deadline - sys::clock::now()).count();
            constexpr std::int64_t longest = 1'000;
            std::array<pollfd, 1> entry{pollfd{socket, POLLIN, 0}};
            const auto ready = sys::poll_readable(
                entry, static_cast<int>(clamped<std::int64_t>(left, 0, longest)));
            if (!ready) {
                return fail(ready.error());
            }
            if (*ready != 0) {
                return {};
            }
            if (left <= 0) {
                return fail(errc::timed_out);
            }
        }
    }
};

}  // namespace zcpool::ipc
