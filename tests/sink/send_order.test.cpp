// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include <support/catch.hpp>
#include <support/sockets.hpp>
#include <zcpool/sink/send_order.hpp>
#include <zcpool/sys/pipe.hpp>

namespace {

using namespace zcpool_test;
namespace sink = zcpool::sink;
namespace sys = zcpool::sys;

TEST_CASE("send_order: each way of a message is its operation", "[sink]") {
    std::array<std::byte, 100> bytes{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const auto made = [&](sink::send_order order, bool at_once) {
        io_uring_sqe place{};
        order.fd = 7;
        sink::prepare(place, order, message, at_once);
        CHECK(place.fd == 7);
        return place;
    };
    io_uring_sqe place = made({.way = sink::send_way::copy}, true);
    CHECK(place.opcode == IORING_OP_SENDMSG);
    CHECK(place.msg_flags == (MSG_DONTWAIT | MSG_NOSIGNAL));
    place = made({.way = sink::send_way::reference, .more_follows = true}, false);
    CHECK(place.opcode == sys::op_sendmsg_zc);
    CHECK(place.msg_flags == (MSG_NOSIGNAL | MSG_MORE));
    place = made({.way = sink::send_way::registered, .place = 3}, false);
    CHECK(place.opcode == sys::op_send_zc);
    CHECK(place.ioprio == sys::send_from_registered);
    CHECK(place.buf_index == 3);
    CHECK(place.addr == reinterpret_cast<std::uintptr_t>(bytes.data()));
    CHECK(place.len == 100);
    place = made({.way = sink::send_way::write}, true);
    CHECK(place.opcode == IORING_OP_WRITEV);
    CHECK(place.off == static_cast<std::uint64_t>(-1));  // from where the file stands
    CHECK(place.flags == 0);
    io_uring_sqe by_place{};
    sink::prepare(by_place, {.fd = 7, .registered_file = 0}, message, true);
    CHECK(by_place.fd == 0);
    CHECK(by_place.flags == IOSQE_FIXED_FILE);
}

TEST_CASE("send_order: two splices are linked, and go to the line's own descriptors", "[sink]") {
    connection link = unix_pair();
    sink::ring_line line;
    line.pipe.ends = sys::pipe::create().value();
    line.target = sys::unique_fd::duplicate(link.ours.get()).value();
    const sink::splice_order fills{.from = 9, .offset = 4096, .bytes = 100, .more_follows = true};
    CHECK(fills.is_pair());
    io_uring_sqe place{};
    sink::prepare_first(place, fills, line);
    CHECK(place.opcode == IORING_OP_SPLICE);
    CHECK(place.flags == IOSQE_IO_LINK);
    CHECK(place.splice_fd_in == 9);
    CHECK(place.splice_off_in == 4096);
    CHECK(place.fd == line.pipe.ends.write_end.get());
    CHECK(place.len == 100);
    CHECK(place.splice_flags == SPLICE_F_NONBLOCK);
    io_uring_sqe last{};
    sink::prepare_last(last, fills, line);
    CHECK(last.opcode == IORING_OP_SPLICE);
    CHECK(last.flags == 0);
    CHECK(last.splice_fd_in == line.pipe.ends.read_end.get());
    CHECK(last.fd == line.target.get());
    CHECK(last.len == 100);
    CHECK(last.splice_flags == (SPLICE_F_NONBLOCK | SPLICE_F_MORE));
    const sink::splice_order waits{.bytes = 100, .waits = true};
    CHECK(waits.is_pair());
    io_uring_sqe poll{};
    sink::prepare_first(poll, waits, line);
    CHECK(poll.opcode == IORING_OP_POLL_ADD);
    CHECK(poll.flags == IOSQE_IO_LINK);
    CHECK(poll.fd == line.target.get());
    CHECK_FALSE(sink::splice_order{.bytes = 100}.is_pair());
}

}  // namespace
