// SPDX-License-Identifier: MIT
#pragma once

// A pipe, owned: it can hold references to pages of a file, which is what splice(2) is made of.
// Source: pipe(2), splice(2).

#include <cstddef>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// Both ends of a pipe, close-on-exec and non-blocking.
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
