// SPDX-License-Identifier: MIT
#pragma once

// Out by reference through a pipe: splice puts the pool's own pages into it and moves them on to
// the descriptor, up to a whole pipe at a time, where sendfile goes 64 KiB by 64 KiB. The pages
// stay referenced for as long as the peer pleases, so each slot is marked as lent first, and its
// pages are replaced before the next owner writes to it.
// Source: splice(2).

#include <cerrno>
#include <cstddef>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/pipe.hpp>

namespace zcpool::sink {

/// What sink::splice may be told.
using splice_options = pipe_options;

/// Sends slices of lending pools by reference through a pipe, and copies the rest: small ones,
/// adopted memory, pools that never lend or have no file, and everything while the pool's lent
/// budget is used up or no pipe is to be had (counted as fallback).
///
/// Expects: a non-blocking stream socket, a non-blocking pipe, or a file (not opened to append:
/// then it copies). splice(2) knows no MSG_NOSIGNAL: the program must ignore SIGPIPE. On a blocking
/// socket flush() blocks: make it non-blocking.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class splice : public piped_outbox {
public:
    /// A descriptor that is not open shows as error() at once.
    explicit splice(int fd, const splice_options& options = {}) noexcept
        : piped_outbox(fd, options) {}

    /// Moves what it can.
    /// Complexity: a system call for each lent slice, one for each pipe full of them, and one for
    /// each run of copied ones.
    state flush() noexcept {
        return flush_through([this] { return fill(); }, [this] { return copy_run(0); },
                             [this] { return wants_lending(queue_.front()); });
    }

private:
    [[nodiscard]] result<std::size_t> fill() noexcept {
        std::size_t filled = 0;
        std::size_t pages_left = room_in_pages();
        for (const slice& each : queue_.slices()) {
            if (pages_left == 0 || !wants_lending(each)) {
                break;
            }
            const auto where = each.lend();
            if (!where) {
                break;
            }
            const auto put = pipe().fill_from(where->fd, where->offset, each.size());
            ++stats_.calls;
            if (!put) {
                if (filled == 0 && !would_block(put.error())) {
                    return put;
                }
                break;  // what the pipe has goes first
            }
            if (*put == 0 && filled == 0) {
                return fail(
                    std::error_code{EIO, std::system_category()});  // a sealed file has no end
            }
            filled += *put;
            if (*put < each.size()) {
                break;
            }
            const std::size_t pages = pages_of(each);
            pages_left -= pages < pages_left ? pages : pages_left;
        }
        return filled;
    }
};

static_assert(chain_sink<splice>);

}  // namespace zcpool::sink
