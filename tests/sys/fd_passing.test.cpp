// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <system_error>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/fd_passing.hpp>

namespace {

using namespace zcpool;
using sys::unique_fd;
using zcpool_test::faults;
using zcpool_test::held;
using zcpool_test::system_error;

struct sockets {
    explicit sockets(int type = SOCK_STREAM) {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
        here = unique_fd{ends[0]};
        there = unique_fd{ends[1]};
    }
    unique_fd here;
    unique_fd there;
};

std::array<std::byte, 3> text{std::byte{1}, std::byte{2}, std::byte{3}};

TEST_CASE("fd_passing: descriptors arrive with their message, close-on-exec", "[sys]") {
    const held before;
    {
        const sockets pair;
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        const unique_fd out{ends[0]};
        const unique_fd in{ends[1]};
        REQUIRE(sys::send_fds(pair.here.get(), text, ends).has_value());
        std::array<std::byte, 8> bytes{};
        std::array<unique_fd, 2> got;
        const auto received = sys::receive_fds(pair.there.get(), bytes, got);
        REQUIRE(received.has_value());
        CHECK(received->bytes == text.size());
        CHECK(bytes[2] == text[2]);
        CHECK(received->fds == 2);
        CHECK_FALSE(received->truncated);
        CHECK((::fcntl(got[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
        REQUIRE(::write(got[1].get(), "x", 1) == 1);
        char read = 0;
        CHECK(::read(out.get(), &read, 1) == 1);
        CHECK(read == 'x');
    }
    CHECK(before == held{});
}

TEST_CASE("fd_passing: descriptors without a place are closed and counted", "[sys]") {
    const sockets pair;
    const std::vector<int> many(sys::most_passed_fds, pair.here.get());
    const held before;
    REQUIRE(sys::send_fds(pair.here.get(), text, many).has_value());
    std::array<std::byte, 8> bytes{};
    std::array<unique_fd, 2> got;
    const auto received = sys::receive_fds(pair.there.get(), bytes, got);
    REQUIRE(received.has_value());
    CHECK(received->fds == many.size());
    got = {};
    CHECK(before == held{});
}

TEST_CASE("fd_passing: what the system cuts off is said", "[sys]") {
    SECTION("descriptors") {
        const sockets pair;
        const held before;
        std::vector<int> many(253, pair.here.get());
        std::vector<std::byte> control(CMSG_SPACE(253 * sizeof(int)));
        iovec part{text.data(), text.size()};
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
        REQUIRE(::sendmsg(pair.here.get(), &message, 0) == static_cast<ssize_t>(text.size()));
        std::array<std::byte, 8> bytes{};
        std::array<unique_fd, 2> got;
        const auto received = sys::receive_fds(pair.there.get(), bytes, got);
        REQUIRE(received.has_value());
        CHECK(received->truncated);
        got = {};
        CHECK(before == held{});
    }
    SECTION("bytes") {
        const sockets pair{SOCK_SEQPACKET};
        REQUIRE(sys::send_fds(pair.here.get(), text, {}).has_value());
        std::array<std::byte, 2> bytes{};
        const auto received = sys::receive_fds(pair.there.get(), bytes, {});
        REQUIRE(received.has_value());
        CHECK(received->truncated);
        CHECK(received->fds == 0);
    }
}

TEST_CASE("fd_passing: a peer that has gone is no message, and no signal", "[sys]") {
    sockets pair;
    pair.there.reset();
    std::array<std::byte, 8> bytes{};
    CHECK(sys::receive_fds(pair.here.get(), bytes, {})->bytes == 0);
    CHECK(sys::send_fds(pair.here.get(), text, {}).error() == system_error(EPIPE));
}

TEST_CASE("fd_passing: the peer's user is known", "[sys]") {
    const sockets pair;
    CHECK(sys::peer_uid(pair.here.get()).value() == ::geteuid());
    faults broken;
    broken.fail_call(0, ENOMEM);
    CHECK(sys::peer_uid(pair.here.get()).error() == system_error(ENOMEM));
    broken.fail_call(0, EIO);
    std::array<std::byte, 8> bytes{};
    CHECK(sys::receive_fds(pair.here.get(), bytes, {}).error() == system_error(EIO));
    broken.fail_call(0, EIO);
    CHECK(sys::send_fds(pair.here.get(), text, {}).error() == system_error(EIO));
    faults::shorten_sends(1);
    broken.fail_call(-1, 0);
    CHECK(sys::send_fds(pair.here.get(), text, {}).error() == system_error(EMSGSIZE));
}

TEST_CASE("fd_passing: an end that was closed, or shut down, has hung up", "[sys]") {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const zcpool::sys::unique_fd ours{ends[0]};
    zcpool::sys::unique_fd peer{ends[1]};
    CHECK_FALSE(zcpool::sys::has_hung_up(ours.get()));
    REQUIRE(::write(peer.get(), "x", 1) == 1);  // something to read is no end
    CHECK_FALSE(zcpool::sys::has_hung_up(ours.get()));
    REQUIRE(::shutdown(peer.get(), SHUT_WR) == 0);
    CHECK(zcpool::sys::has_hung_up(ours.get()));
    peer.reset();
    CHECK(zcpool::sys::has_hung_up(ours.get()));
    CHECK(zcpool::sys::has_hung_up(9999));
}

}  // namespace
