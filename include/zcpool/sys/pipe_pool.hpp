// SPDX-License-Identifier: MIT
#pragma once

// Empty pipes, kept for the sinks and sources of one thread. One has something in a pipe only while
// its descriptor takes no more, so that a thread with a thousand connections needs a few pipes and
// not a thousand: those of the ones that are blocked. A user's pipes share 64 MiB.
// Source: pipe(7), /proc/sys/fs/pipe-user-pages-soft.

#include <array>
#include <cstddef>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/pipe.hpp>

namespace zcpool::sys {

/// What a pipe is asked to hold: a whole slot of 1 MiB, and what the system gives any user.
inline constexpr std::size_t usual_pipe_bytes = 1_MiB;

/// A pipe and what it holds; empty when it has no ends.
struct sized_pipe {
    pipe ends;
    pipe_room room;

    [[nodiscard]] explicit operator bool() const noexcept {
        return static_cast<bool>(ends.read_end);
    }

    /// Makes a pipe for `bytes`, or for less where the system refuses: `room` says so.
    ///
    /// Errors: the errno of pipe2; EMFILE or ENFILE when no descriptor is left.
    [[nodiscard]] static result<sized_pipe> create(std::size_t bytes) noexcept {
        auto made = pipe::create();
        if (!made) {
            return fail(made.error());
        }
        auto room = made->resize(bytes);
        if (!room) {
            return fail(room.error());
        }
        return sized_pipe{std::move(*made), *room};
    }
};

/// Keeps empty pipes for those who are told of it, and makes more when it has none.
///
/// Sharing: one thread at a time, with those who use it. It must outlive them.
/// Not for: pipes that hold something. Who ends with bytes in a pipe closes it.
class pipe_pool {
public:
    /// Pipes kept; what comes back beyond that is closed.
    static constexpr std::size_t limit = 16;

    /// Its pipes hold so many bytes, as far as the system allows.
    explicit pipe_pool(std::size_t pipe_bytes = usual_pipe_bytes) noexcept
        : pipe_bytes_(pipe_bytes) {}
    pipe_pool(const pipe_pool&) = delete;
    pipe_pool& operator=(const pipe_pool&) = delete;

    /// An empty pipe. A kept one that the system made smaller than was asked for is as good.
    ///
    /// Errors: as sized_pipe::create.
    [[nodiscard]] result<sized_pipe> take() noexcept {
        if (count_ == 0) {
            return sized_pipe::create(pipe_bytes_);
        }
        return std::move(kept_[--count_]);
    }

    /// Keeps a pipe, or closes it.
    /// Expects: it is empty.
    void give_back(sized_pipe empty) noexcept {
        if (count_ < limit) {
            kept_[count_++] = std::move(empty);
        }
    }

    /// Pipes that wait to be used.
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

private:
    std::size_t pipe_bytes_;
    std::size_t count_ = 0;
    std::array<sized_pipe, limit> kept_;
};

/// Gets a pipe where there is none: from a pool, or where that is null one of its own that should
/// hold so many bytes. `room`: what it holds, or why there is none.
/// Returns: whether there is one.
inline bool get_pipe(sized_pipe& into, pipe_pool* pool, std::size_t bytes,
                     pipe_room& room) noexcept {
    if (!into) {
        auto found = pool != nullptr ? pool->take() : sized_pipe::create(bytes);
        if (!found) {
            room = {0, found.error()};
            return false;
        }
        into = std::move(*found);
        room = into.room;
    }
    return true;
}

}  // namespace zcpool::sys
