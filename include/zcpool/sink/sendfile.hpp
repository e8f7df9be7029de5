// SPDX-License-Identifier: MIT
#pragma once

// Out by reference: sendfile hands the socket the pool's own pages. They stay referenced for as
// long as the peer pleases, whatever the call, the acknowledgements or close() say; so each slot is
// marked as lent first, and its pages are replaced before the next owner writes to it.
// Source: sendfile(2).

#include <cerrno>
#include <cstddef>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::sink {

/// What sink::sendfile may be told.
using sendfile_options = lending_options;

/// Sends slices of lending pools by reference, and copies the rest: small ones (and a small rest of
/// a large one), adopted memory, pools that never lend or have no file, and everything while the
/// pool's lent budget is used up (counted as fallback).
///
/// Expects: a non-blocking stream socket, or a non-blocking pipe. sendfile(2) knows no
/// MSG_NOSIGNAL: the program must ignore SIGPIPE. On a blocking socket flush() blocks: make it
/// non-blocking.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class sendfile : public lending_outbox {
public:
    /// A descriptor that is not open shows as error() at once.
    explicit sendfile(int fd, sendfile_options options = {}) noexcept
        : lending_outbox(fd, options) {}

    /// Moves what it can.
    /// Complexity: a system call for each lent slice and for each run of copied ones.
    state flush() noexcept {
        while (!queue_.empty()) {
            const auto sent = wants_lending(queue_.front()) ? send_front() : copy_run(0);
            if (!sent) {
                return would_block(sent.error()) ? state::blocked : give_up(sent.error());
            }
            queue_.consume(*sent);
        }
        return error_ ? state::failed : state::done;
    }

private:
    [[nodiscard]] result<std::size_t> send_front() noexcept {
        const slice& front = queue_.front();
        const auto where = front.lend();
        if (!where) {
            return copy_run(front.size());
        }
        auto sent = sys::send_file(fd_, where->fd, where->offset, front.size());
        ++stats_.calls;
        if (!sent) {
            return takes_no_pages(sent.error()) ? copy_run(front.size()) : sent;
        }
        if (*sent == 0) {
            return fail(
                std::error_code{EIO, std::system_category()});  // a sealed file has no early end
        }
        stats_.lent_bytes += *sent;
        return sent;
    }
};

static_assert(chain_sink<sendfile>);

}  // namespace zcpool::sink
