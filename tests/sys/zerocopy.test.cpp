// SPDX-License-Identifier: MIT
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/sys/transfer.hpp>
#include <zcpool/sys/zerocopy.hpp>

namespace {

using namespace zcpool;
using namespace zcpool_test;

/// Waits for the next message of the error queue, ten seconds at most.
auto next_notice(int socket) {
    for (int i = 0; i < 10'000; ++i) {
        auto told = sys::read_notice(socket);
        if (told || told.error() != system_error(EAGAIN)) {
            return told;
        }
        ::usleep(1'000);
    }
    return sys::read_notice(socket);
}

void set_linger(int socket, linger value) {
    REQUIRE(::setsockopt(socket, SOL_SOCKET, SO_LINGER, &value, sizeof value) == 0);
}

TEST_CASE("zerocopy: a socket that cannot, or does already, says so", "[sys]") {
    const connection tcp = tcp_pair();
    CHECK(sys::enable_zerocopy(tcp.ours.get()).has_value());
    CHECK(sys::enable_zerocopy(tcp.ours.get()).error() == system_error(EALREADY));
    const connection local = unix_pair();
    CHECK(sys::enable_zerocopy(local.ours.get()).error() == system_error(EOPNOTSUPP));
    const connection pipe = pipe_pair();
    CHECK(sys::enable_zerocopy(pipe.ours.get()).error() == system_error(ENOTSOCK));
    CHECK(sys::enable_zerocopy(-1).error() == system_error(EBADF));
    // Takes the option, but is no stream of TCP's.
    const unique_fd datagrams{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    CHECK(sys::enable_zerocopy(datagrams.get()).error() == system_error(EOPNOTSUPP));
    for (long i = 0; i < 3; ++i) {
        faults broken;
        broken.fail_call(i, ENOMEM);
        CHECK(sys::enable_zerocopy(tcp_pair().ours.get()).error() == system_error(ENOMEM));
    }
}

TEST_CASE("zerocopy: the kernel numbers the sends from 0 on, and says when each is done", "[sys]") {
    const connection link = tcp_pair();
    const int socket = link.ours.get();
    CHECK(sys::read_notice(socket).error() == system_error(EAGAIN));
    REQUIRE(sys::enable_zerocopy(socket));
    std::string text(1000, 'x');
    std::array parts{iovec{text.data(), text.size()}};
    std::uint32_t expected = 0;
    for (int i = 0; i < 3; ++i) {
        REQUIRE(sys::send_parts(socket, parts, false, MSG_ZEROCOPY) == text.size());
    }
    while (expected < 3) {
        const auto told = next_notice(socket);
        REQUIRE(told.has_value());
        REQUIRE(told->has_value());
        CHECK((*told)->first == expected);
        CHECK((*told)->last < 3);
        CHECK((*told)->copied);  // which the loopback device does
        expected = (*told)->last + 1;
    }
    CHECK(read_exactly(link.peer.get(), 3000).size() == 3000);
}

TEST_CASE("zerocopy: a send that is refused gets no number", "[sys]") {
    const connection link = tcp_pair();
    const int socket = link.ours.get();
    REQUIRE(sys::enable_zerocopy(socket));
    std::string text(60'000, 'x');
    std::array parts{iovec{text.data(), text.size()}};
    std::uint32_t sent = 0;
    while (sys::send_parts(socket, parts, false, MSG_ZEROCOPY)) {
        ++sent;
    }
    CHECK_FALSE(sys::send_parts(socket, parts, false, MSG_ZEROCOPY));
    REQUIRE(sys::reset_connection(socket));
    std::vector<int> told_of(sent);
    while (const auto told = sys::read_notice(socket)) {  // in any order
        REQUIRE(told->has_value());
        for (auto number = (*told)->first; number <= (*told)->last; ++number) {
            REQUIRE(number < sent);
            ++told_of[number];
        }
    }
    CHECK(std::all_of(told_of.begin(), told_of.end(), [](int times) { return times == 1; }));
}

TEST_CASE("zerocopy: another message of the error queue is told from a notice", "[sys]") {
    const unique_fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    REQUIRE(::setsockopt(socket.get(), SOL_IP, IP_RECVERR, &on, sizeof on) == 0);
    sockaddr_in nobody{};
    {
        const listener gone{"127.0.0.1"};
        nobody = gone.address;  // a TCP port: nobody listens at the UDP port of its number
    }
    REQUIRE(::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&nobody),
                     sizeof nobody) == 1);
    const auto told = next_notice(socket.get());  // connection refused
    REQUIRE(told.has_value());
    CHECK_FALSE(told->has_value());
}

TEST_CASE("zerocopy: a reset is asked for by SO_LINGER with no time", "[sys]") {
    const connection link = tcp_pair();
    CHECK_FALSE(sys::resets_on_close(link.ours.get()));
    set_linger(link.ours.get(), {1, 5});
    CHECK_FALSE(sys::resets_on_close(link.ours.get()));
    set_linger(link.ours.get(), {0, 0});
    CHECK_FALSE(sys::resets_on_close(link.ours.get()));
    set_linger(link.ours.get(), {1, 0});
    CHECK(sys::resets_on_close(link.ours.get()));
    CHECK_FALSE(sys::resets_on_close(-1));
}

TEST_CASE("zerocopy: a connection ends behind its last byte, or by a reset", "[sys]") {
    {
        const connection link = tcp_pair();
        REQUIRE(::write(link.ours.get(), "x", 1) == 1);
        CHECK(sys::shutdown_writing(link.ours.get()).has_value());
        CHECK(read_exactly(link.peer.get(), 2).size() == 1);
    }
    const connection link = tcp_pair();
    CHECK(sys::reset_connection(link.ours.get()).has_value());
    char byte = 0;
    CHECK(::read(link.peer.get(), &byte, 1) == -1);
    CHECK(errno == ECONNRESET);
    CHECK(sys::shutdown_writing(link.ours.get()).error() == system_error(ENOTCONN));
    CHECK(sys::reset_connection(-1).error() == system_error(EBADF));
}

}  // namespace
