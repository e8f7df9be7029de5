// SPDX-License-Identifier: MIT
#pragma once

// The copying way out, which needs nothing: sendmsg for sockets, writev for pipes and files.

#include <cstddef>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::sink {

/// Sends by copying into the kernel: the memory is free when the call returns.
///
/// Expects: a non-blocking stream socket, or a non-blocking pipe, or a file. A pipe whose reader
/// has gone raises SIGPIPE, which the program should ignore; a socket does not.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class write : public outbox {
public:
    static constexpr receipt receipts = receipt::copied;

    /// A descriptor that is not open shows as error() at once.
    explicit write(int fd) noexcept : outbox(fd) {}

    using outbox::push;
    /// Sends what a buffer has, which needs no sharing here.
    void push(buffer&& last) noexcept { push(std::move(last).freeze()); }

    /// Moves what it can.
    /// Complexity: one system call for each 64 slices.
    /// Concurrency: never blocks on a socket.
    state flush() noexcept {
        while (!queue_.empty()) {
            const std::size_t count = smaller_of(queue_.slice_count(), parts_a_call);
            const auto sent = copy_out(fd_, is_socket_, queue_, count);
            ++stats_.calls;
            if (!sent) {
                return would_block(sent.error()) ? state::blocked : give_up(sent.error());
            }
            stats_.copied_bytes += *sent;
            queue_.consume(*sent);
        }
        return error_ ? state::failed : state::done;
    }
};

static_assert(chain_sink<write>);

}  // namespace zcpool::sink
