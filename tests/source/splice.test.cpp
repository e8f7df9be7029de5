// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/sockets.hpp>
#include <zcpool/source/splice.hpp>
#include <zcpool/sys/memfd.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;
namespace sys = zcpool::sys;
using source::state;

/// Waits for what it waits for, ten seconds at most.
bool wait_for(const source::splice& between, int from, int to) {
    const bool reads = between.interest() == source::interest::readable;
    pollfd wanted{reads ? from : to, static_cast<short>(reads ? POLLIN : POLLOUT), 0};
    return ::poll(&wanted, 1, 10'000) == 1;
}

/// Pulls, and waits, until it says something else than that it waits or moved something.
state run(source::splice& between, int from, int to) {
    state last = between.pull();
    while (last == state::data || last == state::blocked) {
        if (last == state::blocked) {
            REQUIRE(wait_for(between, from, to));
        }
        last = between.pull();
    }
    return last;
}

/// SIGPIPE, which splice(2) raises, is ignored while it lives.
struct without_sigpipe {
    without_sigpipe() { before = ::signal(SIGPIPE, SIG_IGN); }
    without_sigpipe(const without_sigpipe&) = delete;
    without_sigpipe& operator=(const without_sigpipe&) = delete;
    ~without_sigpipe() { ::signal(SIGPIPE, before); }
    void (*before)(int);
};

TEST_CASE("splice: all that comes goes out, and then the end, over each kind of socket",
          "[source]") {
    const auto sent = pattern(5'000'000, 1);
    const held before;
    for (const bool tcp_in : {false, true}) {
        for (const bool tcp_out : {false, true}) {
            connection in = tcp_in ? tcp_pair() : unix_pair();
            connection out = tcp_out ? tcp_pair() : unix_pair();
            std::thread peer{[&] {
                send_all(in.peer.get(), sent);
                ::shutdown(in.peer.get(), SHUT_WR);
            }};
            std::vector<std::byte> got;
            std::thread reader{[&] { got = read_exactly(out.peer.get(), sent.size() + 1); }};
            source::splice between{in.ours.get(), out.ours.get()};
            CHECK(run(between, in.ours.get(), out.ours.get()) == state::ended);
            peer.join();
            reader.join();  // which has read the end, too
            CHECK(got == sent);
            CHECK(between.moved() == sent.size());
            CHECK(between.in_pipe() == 0);
            CHECK(between.interest() == source::interest::none);
            // Half-closed: the other direction still works.
            REQUIRE(::write(out.peer.get(), "back", 4) == 4);
            char word[4];
            CHECK(::read(out.ours.get(), word, 4) == 4);
        }
    }
    CHECK(before == held{});
}

TEST_CASE("splice: to a file, from where it stands", "[source]") {
    const auto sent = pattern(300'000, 2);
    const auto file = sys::memfd::create("zcpool-test", 400'000).value();
    REQUIRE(::lseek(file.fd(), 1000, SEEK_SET) == 1000);
    connection in = tcp_pair();
    std::thread peer{[&] {
        send_all(in.peer.get(), sent);
        in.peer.reset();
    }};
    source::splice between{in.ours.get(), file.fd()};
    CHECK(run(between, in.ours.get(), file.fd()) == state::ended);
    peer.join();
    std::vector<std::byte> got(sent.size());
    REQUIRE(::pread(file.fd(), got.data(), got.size(), 1000) == static_cast<ssize_t>(got.size()));
    CHECK(got == sent);
}

TEST_CASE("splice: the end is passed on only when that is wanted", "[source]") {
    connection in = unix_pair();
    connection out = unix_pair();
    source::splice between{in.ours.get(), out.ours.get(), {.at_end = source::at_end::leaves}};
    in.peer.reset();
    CHECK(between.pull() == state::ended);
    pollfd readable{out.peer.get(), POLLIN, 0};
    CHECK(::poll(&readable, 1, 0) == 0);
    const auto calls = between.stats().calls;
    CHECK(between.pull() == state::ended);
    CHECK(between.stats().calls == calls);  // there is nothing to ask any more
}

TEST_CASE("splice: an output that takes no more stops the reading", "[source]") {
    connection in = unix_pair();
    connection out = unix_pair();
    source::splice between{in.ours.get(), out.ours.get(), {.pipe_bytes = 16_KiB}};
    make_nonblocking(in.peer.get());
    const auto part = pattern(4096, 3);
    std::size_t sent = 0;
    int refusals = 0;
    while (refusals < 3) {
        const ssize_t taken = ::write(in.peer.get(), part.data(), part.size());
        if (taken > 0) {
            sent += static_cast<std::size_t>(taken);
            refusals = 0;
            continue;
        }
        ++refusals;
        CHECK(between.pull() == state::blocked);
        CHECK(between.in_pipe() <= 16_KiB);
    }
    CHECK(between.interest() == source::interest::writable);
    CHECK(between.in_pipe() != 0);
    const auto calls = between.stats().calls;
    CHECK(between.pull() == state::blocked);
    CHECK(between.stats().calls == calls + 1);  // the input is not looked at
    ::shutdown(in.peer.get(), SHUT_WR);
    std::size_t got = 0;
    std::thread reader{[&] { got = read_exactly(out.peer.get(), sent + 1).size(); }};
    CHECK(run(between, in.ours.get(), out.ours.get()) == state::ended);
    reader.join();
    CHECK(got == sent);
}

TEST_CASE("splice: leaves the turn to others after so many bytes", "[source]") {
    connection in = unix_pair();
    connection out = unix_pair();
    source::splice between{
        in.ours.get(), out.ours.get(), {.most_a_pull = 4_KiB, .pipe_bytes = 4_KiB}};
    send_all(in.peer.get(), pattern(20'000, 4));
    CHECK(between.pull() == state::data);
    CHECK(between.interest() == source::interest::readable);
    CHECK(between.moved() < 20'000);
    state last = state::data;
    while (last == state::data) {
        last = between.pull();
    }
    CHECK(last == state::blocked);
    CHECK(between.moved() == 20'000);
}

TEST_CASE("splice: short counts and interrupted calls change nothing", "[source]") {
    const auto sent = pattern(9000, 5);
    for (const std::size_t most : {1UL, 7UL, 4095UL, 4096UL, 4097UL}) {
        for (int what = 0; what < 3; ++what) {
            connection in = unix_pair();
            connection out = unix_pair();
            send_all(in.peer.get(), sent);
            in.peer.reset();
            faults broken;
            if (what != 1) {
                faults::shorten_receives(most);
            }
            if (what != 0) {
                faults::shorten_sends(most);
            }
            source::splice between{in.ours.get(), out.ours.get(), {.most_a_pull = 4000}};
            std::vector<std::byte> got;
            for (long i = 0;; ++i) {
                broken.fail_call(i % 9, EINTR, 2);
                const state last = between.pull();
                REQUIRE((last == state::data || last == state::blocked || last == state::ended));
                const auto here = between.moved() - got.size();
                const auto part = read_exactly(out.peer.get(), here);
                got.insert(got.end(), part.begin(), part.end());
                if (last == state::ended) {
                    break;
                }
            }
            CHECK(got == sent);
        }
    }
}

TEST_CASE("splice: whichever call fails is told with its side, and no byte is lost unseen",
          "[source]") {
    const auto sent = pattern(20'000, 6);
    const held before;
    for (long i = 0; i < 12; ++i) {
        connection in = unix_pair();
        connection out = unix_pair();
        send_all(in.peer.get(), sent);
        in.peer.reset();
        source::splice between{in.ours.get(), out.ours.get(), {.pipe_bytes = 8_KiB}};
        faults broken;
        broken.fail_call(i, ENOMEM);
        state last = between.pull();
        CHECK((last == state::exhausted) == (i < 2));  // making a pipe and looking at it
        if (last == state::exhausted) {
            CHECK(between.pipe_room().refusal == system_error(ENOMEM));
            CHECK(between.interest() == source::interest::none);
            CHECK(between.stats().exhausted == 1);
            last = between.pull();  // and goes on
        }
        const auto moved = between.moved();
        auto got = read_exactly(out.peer.get(), moved);
        std::vector<std::byte> rest(between.in_pipe());
        if (last == state::failed) {
            CHECK(between.error() == system_error(ENOMEM));
            CHECK(between.pull() == state::failed);
            CHECK((between.failed_side() == source::side::output ||
                   between.failed_side() == source::side::input));
            if (between.failed_side() == source::side::input) {
                CHECK(between.in_pipe() == 0);
            }
            CHECK(between.read_rest(rest) == rest.size());
            CHECK(between.in_pipe() == 0);
            CHECK(between.read_rest(rest) == 0U);
            CHECK(between.moved() == moved);
            got.insert(got.end(), rest.begin(), rest.end());
            while (got.size() < sent.size()) {  // what stayed in the input
                const auto left = read_exactly(in.ours.get(), sent.size() - got.size());
                REQUIRE_FALSE(left.empty());
                got.insert(got.end(), left.begin(), left.end());
            }
        } else {
            CHECK(last == state::ended);
        }
        CHECK(got == sent);
    }
    CHECK(before == held{});
}

TEST_CASE("splice: a peer that has gone fails the side where it was", "[source]") {
    const without_sigpipe ignored;
    SECTION("the receiver: what it did not get is counted") {
        connection in = tcp_pair();
        connection out = unix_pair();
        source::splice between{in.ours.get(), out.ours.get()};
        send_all(in.peer.get(), pattern(1000, 1));
        out.peer.reset();
        pollfd readable{in.ours.get(), POLLIN, 0};
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
        CHECK(between.pull() == state::failed);
        CHECK(between.failed_side() == source::side::output);
        CHECK(between.error() == system_error(EPIPE));
        CHECK(between.in_pipe() == 1000);
        CHECK(between.moved() == 0);
    }
    SECTION("the sender") {
        connection in = tcp_pair();
        connection out = unix_pair();
        source::splice between{in.ours.get(), out.ours.get()};
        const linger now{1, 0};
        REQUIRE(::setsockopt(in.peer.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
        in.peer.reset();
        pollfd readable{in.ours.get(), POLLIN, 0};
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
        CHECK(between.pull() == state::failed);
        CHECK(between.failed_side() == source::side::input);
        CHECK(between.error() == system_error(ECONNRESET));
        CHECK(between.interest() == source::interest::none);
    }
    SECTION("the receiver, before the end could be passed on") {
        connection in = unix_pair();
        const unique_fd unconnected{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        source::splice between{in.ours.get(), unconnected.get()};
        in.peer.reset();
        CHECK(between.pull() == state::failed);
        CHECK(between.failed_side() == source::side::output);
        CHECK(between.error() == system_error(ENOTCONN));
    }
}

TEST_CASE("splice: what splice(2) cannot do fails with nothing taken", "[source]") {
    connection out = unix_pair();
    const unique_fd folder{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    source::splice between{folder.get(), out.ours.get()};
    CHECK(between.pull() == state::failed);
    CHECK(between.failed_side() == source::side::input);
    CHECK(between.error() == system_error(EINVAL));
    CHECK(between.stats().bytes == 0);
}

TEST_CASE("splice: with a pipe_pool it has a pipe only while something is in it", "[source]") {
    sys::pipe_pool pipes{16_KiB};
    connection in = unix_pair();
    connection out = unix_pair();
    {
        source::splice between{in.ours.get(), out.ours.get(), {.pipes = &pipes}};
        CHECK(between.pull() == state::blocked);
        CHECK(pipes.size() == 1);
        std::thread peer{[&] {
            const auto some = pattern(4096, 1);
            while (::send(in.peer.get(), some.data(), some.size(), MSG_NOSIGNAL) > 0) {
            }
        }};
        while (between.in_pipe() == 0) {  // until the output takes no more
            if (between.pull() == state::blocked && between.in_pipe() == 0) {
                static_cast<void>(wait_for(between, in.ours.get(), out.ours.get()));
            }
        }
        CHECK(pipes.size() == 0);
        source::splice moved{std::move(between)};
        CHECK(between.in_pipe() == 0);
        CHECK(moved.in_pipe() != 0);
        CHECK(between.pull() == state::failed);
        in.ours.reset();
        peer.join();
    }
    CHECK(pipes.size() == 1);  // not the one that holds something
    const auto again = pipes.take().value();
    char byte = 0;
    CHECK(::read(again.ends.read_end.get(), &byte, 1) == -1);  // empty
}

}  // namespace
