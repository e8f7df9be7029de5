// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <array>
#include <bit>
#include <cerrno>
#include <span>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/handover.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::receive_pool;
using zcpool::ipc::send_pool;
using zcpool::sys::unique_fd;

const auto greeting =
    std::bit_cast<std::array<std::byte, 8>>(std::uint64_t{zcpool::ipc::handover_word});

TEST_CASE("handover: another process gets the pool, and its buffers go round", "[ipc]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {1, 1}});
        const auto pair = blocking_unix_pair();
        REQUIRE(send_pool(pair.ours.get(), pool).has_value());
        CHECK(status_of([&] {
                  const auto got = receive_pool(pair.peer.get());
                  if (!got) {
                      return 1;
                  }
                  zcpool::buffer mine = got->view().try_acquire(1);
                  if (!mine || got->view().try_acquire(1)) {
                      return 2;
                  }
                  mine.data()[0] = std::byte{42};
                  return 0;
              }) == 0);
        zcpool::buffer mine = pool.try_acquire(1);
        REQUIRE(mine);
        CHECK(mine.data()[0] == std::byte{42});
    }
    CHECK(before == held{});
}

TEST_CASE("handover: a message that is no pool is refused, and its descriptors are closed",
          "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto files = pool.share().value();
    const auto pair = blocking_unix_pair();
    const held before;
    const auto refused = [&] {
        const auto got = receive_pool(pair.peer.get());
        REQUIRE_FALSE(got.has_value());
        CHECK(before == held{});
        return got.error();
    };
    const auto send = [&](std::vector<int> fds, std::span<const std::byte> bytes = greeting) {
        REQUIRE(zcpool::sys::send_fds(pair.ours.get(), bytes, fds).has_value());
    };
    for (const std::size_t count : {0U, 1U, 3U, 8U}) {
        send(std::vector<int>(count, files.data));
        CHECK(refused() == errc::bad_message);
    }
    send({files.data, files.control}, std::span{greeting}.first(7));
    CHECK(refused() == errc::bad_message);
    std::array<std::byte, 8> other = greeting;
    other[3] ^= std::byte{1};
    send({files.data, files.control}, other);
    CHECK(refused() == errc::bad_message);
    send({files.control, files.data});
    CHECK(refused() == errc::not_a_pool);

    // More than there is room for: the system cuts them off.
    std::vector<int> many(253, files.data);
    std::vector<std::byte> control(CMSG_SPACE(253 * sizeof(int)));
    iovec part{const_cast<std::byte*>(greeting.data()), greeting.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(253 * sizeof(int));
    std::memcpy(CMSG_DATA(header), many.data(), 253 * sizeof(int));
    REQUIRE(::sendmsg(pair.ours.get(), &message, 0) == 8);
    CHECK(refused() == errc::bad_message);

    ::shutdown(pair.ours.get(), SHUT_WR);
    CHECK(refused() == errc::bad_message);
}

TEST_CASE("handover: a peer of another user is refused before a message is read", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto pair = blocking_unix_pair();
    REQUIRE(send_pool(pair.ours.get(), pool).has_value());
    {
        faults broken;
        faults::pretend_uid(static_cast<long>(::geteuid()) + 1);
        CHECK(receive_pool(pair.peer.get()).error() == errc::wrong_access);
    }
    CHECK(receive_pool(pair.peer.get()).has_value());
}

TEST_CASE("handover: a pool that cannot be shared is not sent", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    pool.close();
    const auto pair = blocking_unix_pair();
    CHECK(send_pool(pair.ours.get(), pool).error() == errc::closed);
    faults broken;
    broken.fail_call(0, EIO);
    CHECK(receive_pool(pair.peer.get()).error() == std::error_code(EIO, std::system_category()));
}

}  // namespace
