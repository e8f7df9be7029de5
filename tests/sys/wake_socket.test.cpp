// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/sys/event_fd.hpp>
#include <zcpool/sys/wake_socket.hpp>

namespace {

using namespace zcpool_test;
using zcpool::sys::wake_socket;

/// Both ends, as two processes have them.
struct two_ends {
    two_ends() {
        auto made = wake_socket::create();
        REQUIRE(made.has_value());
        signals = std::move(made->signals);
        woken = wake_socket::adopt(std::move(made->is_woken));
    }
    wake_socket signals;
    wake_socket woken;
};

TEST_CASE("wake_socket: is readable from a signal until it is cleared", "[sys]") {
    two_ends pair;
    CHECK_FALSE(is_readable(pair.woken.get()));
    pair.woken.clear();
    pair.signals.signal();
    pair.signals.signal();
    CHECK(is_readable(pair.woken.get()));
    CHECK(is_readable(pair.woken.get()));
    pair.woken.clear();
    CHECK_FALSE(is_readable(pair.woken.get()));
    CHECK(wake_socket::is_one(pair.woken.get()));
    CHECK((::fcntl(pair.woken.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(pair.signals.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("wake_socket: the end that is woken cannot make a signal wait", "[sys]") {
    two_ends pair;
    // An eventfd would hold 2^64 - 2 signals, and then wait where this was done to it.
    REQUIRE(::fcntl(pair.woken.get(), F_SETFL, 0) == 0);
    for (int n = 0; n < 100'000; ++n) {
        pair.signals.signal();
    }
    CHECK(is_readable(pair.woken.get()));
    int held = 0;
    for (char each = 0; ::recv(pair.woken.get(), &each, 1, MSG_DONTWAIT) == 1;) {
        ++held;
    }
    CHECK(held > 0);
    CHECK(held < 100);  // of the owner's memory
    pair.signals.signal();
    CHECK(is_readable(pair.woken.get()));
}

TEST_CASE("wake_socket: the end that signals cannot make clearing wait", "[sys]") {
    two_ends pair;
    REQUIRE(::fcntl(pair.woken.get(), F_SETFL, 0) == 0);  // by a duplicate that it kept
    pair.woken.clear();
    pair.signals.signal();
    pair.woken.clear();
    pair.woken.clear();
    CHECK_FALSE(is_readable(pair.woken.get()));
}

TEST_CASE("wake_socket: takes nothing that is sent the wrong way", "[sys]") {
    two_ends pair;
    CHECK(::send(pair.woken.get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == -1);
    CHECK(errno == EPIPE);
}

TEST_CASE("wake_socket: an end whose other one is closed is readable, and signals nobody",
          "[sys]") {
    two_ends pair;
    SECTION("the one that signals is closed") {
        pair.signals = {};
        CHECK(is_readable(pair.woken.get()));
        pair.woken.clear();
        CHECK(is_readable(pair.woken.get()));
    }
    SECTION("the one that is woken is closed") {
        pair.woken = {};
        pair.signals.signal();  // without SIGPIPE, which would end the test
        pair.signals.signal();
    }
    SECTION("the one that is woken is shut down") {
        REQUIRE(::shutdown(pair.woken.get(), SHUT_RDWR) == 0);
        pair.signals.signal();
    }
}

TEST_CASE("wake_socket: other descriptors are none", "[sys]") {
    const auto pipe = pipe_pair();
    const auto event = zcpool::sys::event_fd::create();
    const auto tcp = tcp_pair();
    const zcpool::sys::unique_fd datagrams{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    for (const int fd :
         {-1, pipe.ours.get(), pipe.peer.get(), event->get(), tcp.ours.get(), datagrams.get()}) {
        CHECK_FALSE(wake_socket::is_one(fd));
    }
}

TEST_CASE("wake_socket: when the system refuses, it says so and keeps nothing", "[sys]") {
    const held before;
    for (long i = 0; i < 2; ++i) {
        faults broken;
        broken.fail_call(i, EMFILE);
        CHECK(wake_socket::create().error().value() == EMFILE);
    }
    {
        faults broken;
        broken.fail_call(2, ENOMEM);
        CHECK(wake_socket::create().has_value());
    }
    CHECK(before == held{});
}

}  // namespace
