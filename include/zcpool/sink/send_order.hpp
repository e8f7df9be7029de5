// SPDX-License-Identifier: MIT
#pragma once

// What a send_ring is told to send, and the requests that it makes of that. Comes with the CMake
// target zcpool::uring.
// Source: io_uring_enter(2), IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC (Linux 6.1), IORING_OP_SPLICE
// (5.7), IOSQE_IO_LINK.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include <zcpool/sink/ring_line.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sink {

/// How a request sends the message of a line.
enum class send_way : std::uint8_t {
    write,       ///< WRITEV, for what is no socket
    copy,        ///< SENDMSG
    reference,   ///< SENDMSG_ZC
    registered,  ///< SEND_ZC of one part, from a registered buffer
};

/// A request to send a line's message.
struct send_order {
    int fd = -1;
    send_way way = send_way::copy;
    bool more_follows = false;
    std::uint16_t place = 0;   ///< of the registered buffer
    int registered_file = -1;  ///< the place of `fd` among the ring's registered files
};

/// A request to move bytes through the pipe of a line to its target; two that are linked where they
/// have yet to get into the pipe, or where the target takes none now.
struct splice_order {
    int from = -1;           ///< the file that they come from; below 0: the pipe has them
    std::size_t offset = 0;  ///< in that file
    std::size_t bytes = 0;
    bool waits = false;  ///< until the target takes some; not with `from`
    bool more_follows = false;

    [[nodiscard]] bool is_pair() const noexcept { return from >= 0 || waits; }
};

/// Fills in a request to send a message. `at_once`: or not at all, where the socket takes none.
inline void prepare(io_uring_sqe& place, const send_order& order, const msghdr& message,
                    bool at_once) noexcept {
    const unsigned flags =
        (at_once ? MSG_DONTWAIT : 0) | MSG_NOSIGNAL | (order.more_follows ? unsigned{MSG_MORE} : 0);
    const iovec* const parts = message.msg_iov;
    switch (order.way) {
        case send_way::write:
            ::io_uring_prep_writev(&place, order.fd, parts,
                                   static_cast<unsigned>(message.msg_iovlen),
                                   static_cast<std::uint64_t>(-1));
            break;
        case send_way::copy:
        case send_way::reference:
            ::io_uring_prep_sendmsg(&place, order.fd, &message, flags);
            if (order.way == send_way::reference) {
                place.opcode = sys::op_sendmsg_zc;
            }
            break;
        case send_way::registered:
            ::io_uring_prep_send(&place, order.fd, parts->iov_base, parts->iov_len,
                                 static_cast<int>(flags));
            place.opcode = sys::op_send_zc;
            place.ioprio = sys::send_from_registered;
            place.buf_index = order.place;
            break;
    }
    if (order.registered_file >= 0) {
        place.fd = order.registered_file;
        place.flags |= IOSQE_FIXED_FILE;
    }
}

/// Fills in the first of two: what must have happened before the second one begins. The link breaks
/// when less comes of it than was asked for.
inline void prepare_first(io_uring_sqe& place, const splice_order& order,
                          const ring_line& line) noexcept {
    if (order.waits) {
        ::io_uring_prep_poll_add(&place, line.target.get(), POLLOUT);
    } else {
        ::io_uring_prep_splice(&place, order.from, static_cast<std::int64_t>(order.offset),
                               line.pipe.ends.write_end.get(), -1,
                               static_cast<unsigned>(order.bytes), SPLICE_F_NONBLOCK);
    }
    place.flags |= IOSQE_IO_LINK;
}

/// Fills in the second of two, or the only one: from the pipe to the target.
inline void prepare_last(io_uring_sqe& place, const splice_order& order,
                         const ring_line& line) noexcept {
    ::io_uring_prep_splice(&place, line.pipe.ends.read_end.get(), -1, line.target.get(), -1,
                           static_cast<unsigned>(order.bytes),
                           SPLICE_F_NONBLOCK | (order.more_follows ? SPLICE_F_MORE : 0U));
}

}  // namespace zcpool::sink
