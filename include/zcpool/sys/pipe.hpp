// SPDX-License-Identifier: MIT
#pragma once

// A pipe, owned: it can hold references to pages, of a file or of memory, which is what splice(2)
// and vmsplice(2) are made of.
// Source: pipe(2), pipe(7) "Pipe capacity", splice(2), vmsplice(2), F_SETPIPE_SZ in fcntl(2).

#include <cstddef>
#include <system_error>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// How much a pipe holds, and why it is not what was asked for.
struct pipe_room {
    std::size_t bytes = 0;  ///< if they fill whole pages: each part of a page takes up a whole one
    std::error_code refusal;  ///< of the size that was asked for; empty when it was granted
};

/// Both ends of a pipe, close-on-exec and non-blocking.
///
/// Never O_DIRECT, which makes packets of what is written.
struct pipe {
    unique_fd read_end;
    unique_fd write_end;

    /// Errors: the errno of pipe2; EMFILE when no descriptor is left.
    [[nodiscard]] static result<pipe> create() noexcept {
        int ends[2] = {-1, -1};
        if (auto done = call([&] { return provider::pipe2(ends, O_CLOEXEC | O_NONBLOCK); });
            !done) {
            return fail(done.error());
        }
        return pipe{unique_fd{ends[0]}, unique_fd{ends[1]}};
    }

    /// Makes room for `bytes`, or for a half of them, a quarter, and so on, as the system allows:
    /// above 1 MiB, or when a user has many pipes, it answers EPERM.
    ///
    /// Errors: the errno of asking for the present size.
    [[nodiscard]] result<pipe_room> resize(std::size_t bytes) noexcept {
        const auto present = call([&] { return provider::get_pipe_size(write_end.get()); });
        if (!present) {
            return fail(present.error());
        }
        pipe_room room{static_cast<std::size_t>(*present), {}};
        bytes = smaller_of(bytes, std::size_t{1} << 30);  // no system has more
        do {
            const auto granted = call(
                [&] { return provider::set_pipe_size(write_end.get(), static_cast<int>(bytes)); });
            if (granted) {
                room.bytes = static_cast<std::size_t>(*granted);
                return room;
            }
            if (!room.refusal) {
                room.refusal = granted.error();
            }
            bytes /= 2;
        } while (bytes > room.bytes);
        return room;
    }

    /// Puts references to the pages of a file range into the pipe, without copying.
    ///
    /// Returns: bytes taken, at most what fits.
    /// Errors: the errno of splice.
    [[nodiscard]] result<std::size_t> fill_from(int fd, std::size_t offset,
                                                std::size_t bytes) noexcept {
        off_t position = static_cast<off_t>(offset);
        auto moved = call([&] {
            return provider::splice(fd, &position, write_end.get(), bytes, SPLICE_F_NONBLOCK);
        });
        if (!moved) {
            return fail(moved.error());
        }
        return static_cast<std::size_t>(*moved);
    }

    /// Moves what a socket or another pipe has, or a file from its position on, into the pipe.
    ///
    /// Returns: bytes that came, at most what fits; 0 at the end.
    /// Errors: the errno of splice; EAGAIN when nothing is there or nothing fits, EINVAL for a
    /// descriptor that cannot.
    [[nodiscard]] result<std::size_t> fill_from(int fd, std::size_t bytes) noexcept {
        auto moved = call([&] {
            return provider::splice(fd, nullptr, write_end.get(), bytes, SPLICE_F_NONBLOCK);
        });
        if (!moved) {
            return fail(moved.error());
        }
        return static_cast<std::size_t>(*moved);
    }

    /// Puts references to the pages of memory into the pipe, without copying and without giving
    /// them away (SPLICE_F_GIFT): whoever writes there changes what is read.
    ///
    /// Returns: bytes taken, at most what fits.
    /// Errors: the errno of vmsplice; EAGAIN when nothing fits.
    [[nodiscard]] result<std::size_t> fill_from(array_view<const iovec> parts) noexcept {
        auto moved = call([&] {
            return provider::vmsplice(write_end.get(), parts.data(), parts.size(),
                                      SPLICE_F_NONBLOCK);
        });
        if (!moved) {
            return fail(moved.error());
        }
        return static_cast<std::size_t>(*moved);
    }

    /// Moves what the pipe holds to a socket, another pipe or a file.
    ///
    /// Expects: the pipe holds `bytes`. A blocking descriptor blocks.
    /// Returns: bytes taken.
    /// Errors: the errno of splice; a peer that has gone also raises SIGPIPE.
    [[nodiscard]] result<std::size_t> drain_into(int fd, std::size_t bytes,
                                                 bool more_follows) noexcept {
        const unsigned flags = SPLICE_F_NONBLOCK | (more_follows ? SPLICE_F_MORE : 0U);
        auto moved =
            call([&] { return provider::splice(read_end.get(), nullptr, fd, bytes, flags); });
        if (!moved) {
            return fail(moved.error());
        }
        return static_cast<std::size_t>(*moved);
    }

    /// Copies out what the pipe holds.
    ///
    /// Returns: bytes read.
    /// Errors: the errno of read; EAGAIN when the pipe is empty.
    [[nodiscard]] result<std::size_t> read(void* into, std::size_t bytes) noexcept {
        auto got = call([&] { return provider::read(read_end.get(), into, bytes); });
        if (!got) {
            return fail(got.error());
        }
        return static_cast<std::size_t>(*got);
    }
};

}  // namespace zcpool::sys
