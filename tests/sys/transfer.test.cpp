// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/interrupts.hpp>
#include <support/sockets.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/pipe.hpp>
#include <zcpool/sys/transfer.hpp>

namespace {

using namespace zcpool;
using namespace zcpool_test;
using sys::send_file;
using sys::send_parts;
using sys::write_parts;

iovec part_of(std::string& text) { return {text.data(), text.size()}; }

std::string text_of(int fd, std::size_t most) {
    std::string text(most, '\0');
    const ssize_t got = ::read(fd, text.data(), most);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

sys::memfd file_with(std::string_view text) {
    auto made = sys::memfd::create("zcpool-test", text.size());
    REQUIRE(made.has_value());
    REQUIRE(::pwrite(made->fd(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return std::move(*made);
}

sys::pipe make_pipe() {
    auto made = sys::pipe::create();
    REQUIRE(made.has_value());
    return std::move(*made);
}

void make_blocking(int fd) {
    REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
}

/// Repeats a send until the descriptor takes no more. Returns: how many bytes it took in all.
template <class Send>
std::size_t send_until_full(Send&& send) {
    std::size_t taken = 0;
    for (;;) {
        const auto more = send();
        if (!more) {
            REQUIRE(more.error() == system_error(EAGAIN));
            return taken;
        }
        REQUIRE(*more > 0);
        taken += *more;
    }
}

/// Whether a call raised SIGPIPE for this thread. The signal is blocked meanwhile and taken away.
template <class Call>
bool raises_sigpipe(Call&& request) {
    sigset_t pipe_only;
    sigset_t before;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    request();
    const timespec at_once{};
    const bool raised = ::sigtimedwait(&pipe_only, nullptr, &at_once) == SIGPIPE;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return raised;
}

TEST_CASE("transfer: a socket is told from a pipe, a file and nothing", "[sys]") {
    const auto pair = unix_pair();
    CHECK(sys::is_socket(pair.ours.get()) == true);
    const sys::pipe ends = make_pipe();
    CHECK(sys::is_socket(ends.write_end.get()) == false);
    CHECK(sys::is_socket(file_with("x").fd()) == false);
    CHECK(sys::is_socket(-1).error() == system_error(EBADF));
}

TEST_CASE("transfer: parts arrive in order and in one piece", "[sys]") {
    std::string first = "first, ";
    std::string empty;
    std::string second = "second";
    std::array parts{part_of(first), part_of(empty), part_of(second)};
    SECTION("through a socket") {
        for (const auto& pair : {unix_pair(), tcp_pair()}) {
            CHECK(send_parts(pair.ours.get(), parts, false) == 13);
            CHECK(text_of(pair.peer.get(), 100) == "first, second");
        }
    }
    SECTION("through a pipe") {
        const sys::pipe ends = make_pipe();
        CHECK(write_parts(ends.write_end.get(), parts) == 13);
        CHECK(text_of(ends.read_end.get(), 100) == "first, second");
    }
    SECTION("through nothing") {
        const auto pair = unix_pair();
        CHECK(send_parts(pair.ours.get(), {}, false) == 0);
    }
}

TEST_CASE("transfer: what more follows after waits for it", "[sys]") {
    // With datagrams it shows without a clock: the parts become one.
    const unique_fd receiver{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::getsockname(receiver.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    const unique_fd sender{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(sender.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);

    std::string word = "ab";
    std::array parts{part_of(word)};
    CHECK(send_parts(sender.get(), parts, true) == 2);
    CHECK(send_parts(sender.get(), parts, false) == 2);
    CHECK(text_of(receiver.get(), 100) == "abab");
    CHECK(send_parts(sender.get(), parts, false) == 2);
    CHECK(send_parts(sender.get(), parts, false) == 2);
    CHECK(text_of(receiver.get(), 100) == "ab");
}

TEST_CASE("transfer: a full descriptor takes a part, then says EAGAIN", "[sys]") {
    std::string text(1 << 20, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<char>(i % 251);
    }
    const auto check_arrival = [&](int fd, std::size_t taken) {
        CHECK(taken > 0);
        CHECK(taken < text.size());
        const auto got = read_exactly(fd, taken);
        CHECK(got.size() == taken);
        CHECK(std::equal(got.begin(), got.end(), text.begin(),
                         [](std::byte a, char b) { return a == static_cast<std::byte>(b); }));
    };
    std::size_t sent = 0;
    const auto rest = [&] {
        return std::array{iovec{text.data() + sent, (text.size() - sent) / 2},
                          iovec{text.data() + sent + (text.size() - sent) / 2,
                                text.size() - sent - (text.size() - sent) / 2}};
    };
    const auto counted = [&](result<std::size_t> taken) {
        sent += taken.value_or(0);
        return taken;
    };
    const auto pair = unix_pair();
    const sys::pipe ends = make_pipe();
    const auto file = file_with(text);
    SECTION("parts into a socket, which may even be one that blocks") {
        make_blocking(pair.ours.get());
        send_until_full([&] {
            auto parts = rest();
            return counted(send_parts(pair.ours.get(), parts, false));
        });
        check_arrival(pair.peer.get(), sent);
    }
    SECTION("parts into a pipe") {
        send_until_full([&] {
            auto parts = rest();
            return counted(write_parts(ends.write_end.get(), parts));
        });
        check_arrival(ends.read_end.get(), sent);
    }
    SECTION("a file into a socket") {
        send_until_full([&] {
            return counted(send_file(pair.ours.get(), file.fd(), sent, text.size() - sent));
        });
        check_arrival(pair.peer.get(), sent);
    }
    SECTION("a file into a pipe") {
        send_until_full([&] {
            return counted(send_file(ends.write_end.get(), file.fd(), sent, text.size() - sent));
        });
        check_arrival(ends.read_end.get(), sent);
    }
}

TEST_CASE("transfer: a file is sent from the offset, to its end and no further", "[sys]") {
    const auto file = file_with("0123456789");
    for (const auto& pair : {unix_pair(), tcp_pair()}) {
        CHECK(send_file(pair.ours.get(), file.fd(), 3, 4) == 4);
        CHECK(text_of(pair.peer.get(), 100) == "3456");
        CHECK(send_file(pair.ours.get(), file.fd(), 8, 100) == 2);
        CHECK(text_of(pair.peer.get(), 100) == "89");
        CHECK(send_file(pair.ours.get(), file.fd(), 10, 100) == 0);
    }
    const sys::pipe ends = make_pipe();
    CHECK(send_file(ends.write_end.get(), file.fd(), 9, 1) == 1);
    CHECK(text_of(ends.read_end.get(), 100) == "9");
    CHECK(::lseek(file.fd(), 0, SEEK_CUR) == 0);  // threads may share the descriptor
}

TEST_CASE("transfer: a file is sent by reference, not copied", "[sys]") {
    const auto file = file_with("old");
    const auto pair = unix_pair();
    REQUIRE(send_file(pair.ours.get(), file.fd(), 0, 3) == 3);
    REQUIRE(::pwrite(file.fd(), "new", 3, 0) == 3);
    CHECK(text_of(pair.peer.get(), 100) == "new");
    std::string text = "old";
    std::array parts{part_of(text)};
    REQUIRE(send_parts(pair.ours.get(), parts, false) == 3);
    text = "new";
    CHECK(text_of(pair.peer.get(), 100) == "old");
}

TEST_CASE("transfer: a peer that has gone is EPIPE, and from parts to a socket no signal",
          "[sys]") {
    std::string text = "text";
    std::array parts{part_of(text)};
    const auto file = file_with(text);
    result<std::size_t> sent;
    auto pair = unix_pair();
    pair.peer.reset();
    CHECK_FALSE(raises_sigpipe([&] { sent = send_parts(pair.ours.get(), parts, false); }));
    CHECK(sent.error() == system_error(EPIPE));
    CHECK_FALSE(raises_sigpipe([&] { sent = send_parts(pair.ours.get(), parts, true); }));
    CHECK(sent.error() == system_error(EPIPE));
    // Those that cannot be told so raise it, as they say.
    CHECK(raises_sigpipe([&] { sent = send_file(pair.ours.get(), file.fd(), 0, 4); }));
    CHECK(sent.error() == system_error(EPIPE));
    sys::pipe ends = make_pipe();
    ends.read_end.reset();
    CHECK(raises_sigpipe([&] { sent = write_parts(ends.write_end.get(), parts); }));
    CHECK(sent.error() == system_error(EPIPE));
}

TEST_CASE("transfer: descriptors that cannot be sent to or from are refused", "[sys]") {
    std::string text = "text";
    std::array parts{part_of(text)};
    const auto file = file_with(text);
    const auto pair = unix_pair();
    CHECK(send_parts(-1, parts, false).error() == system_error(EBADF));
    CHECK(send_parts(file.fd(), parts, false).error() == system_error(ENOTSOCK));
    CHECK(write_parts(-1, parts).error() == system_error(EBADF));
    CHECK(send_file(-1, file.fd(), 0, 4).error() == system_error(EBADF));
    CHECK(send_file(pair.ours.get(), -1, 0, 4).error() == system_error(EBADF));
}

TEST_CASE("transfer: faults of the system are passed on, and interruptions are not", "[sys]") {
    std::string text = "text";
    std::array parts{part_of(text)};
    const auto file = file_with(text);
    const auto pair = unix_pair();
    const auto each = [&](auto&& check) {
        check([&] { return send_parts(pair.ours.get(), parts, false); });
        check([&] { return write_parts(pair.ours.get(), parts); });
        check([&] { return send_file(pair.ours.get(), file.fd(), 0, 4); });
        check([&] { return sys::is_socket(pair.ours.get()); });
    };
    faults broken;
    for (const int error : {ENOBUFS, ENOMEM, ECONNRESET}) {
        each([&](auto&& send) {
            broken.fail_call(0, error);
            CHECK(send().error() == system_error(error));
            CHECK(faults::calls() == 1);
        });
    }
    each([&](auto&& send) {
        broken.fail_call(0, EINTR, 3);
        CHECK(send().has_value());
        CHECK(faults::calls() == 4);
    });
}

TEST_CASE("transfer: real signals do not get a blocked send to give up", "[sys]") {
    std::string text(1000, 'y');
    std::array parts{part_of(text)};
    const auto file = file_with(text);
    const sys::pipe ends = make_pipe();
    const auto pair = unix_pair();

    int full = -1;
    int peer = -1;
    std::size_t held_back = 0;
    result<std::size_t> sent;
    // Fills up, sends once more while a timer interrupts, and reads when it has done so.
    const auto send_when_full = [&](auto&& send) {
        held_back = send_until_full(send);
        make_blocking(full);
        const interrupts timer;
        const pid_t sender = thread_number();
        std::thread reader{[&] {
            wait_asleep(sender);
            interrupts::wait_for(5);
            const auto got = read_exactly(peer, held_back);
        }};
        sent = send();
        reader.join();
    };
    SECTION("of parts into a pipe") {
        full = ends.write_end.get();
        peer = ends.read_end.get();
        make_blocking(peer);
        send_when_full([&] { return write_parts(full, parts); });
    }
    SECTION("of a file into a pipe") {
        full = ends.write_end.get();
        peer = ends.read_end.get();
        make_blocking(peer);
        send_when_full([&] { return send_file(full, file.fd(), 0, text.size()); });
    }
    SECTION("of a file into a socket") {
        full = pair.ours.get();
        peer = pair.peer.get();
        send_when_full([&] { return send_file(full, file.fd(), 0, text.size()); });
    }
    REQUIRE(sent.has_value());
    CHECK(*sent > 0);
}

TEST_CASE("transfer: what came is received, nothing is waited for, and the end is 0", "[sys]") {
    std::array<std::byte, 8> into{};
    for (const bool piped : {false, true}) {
        connection link = piped ? connection{} : tcp_pair();
        if (piped) {
            sys::pipe ends = make_pipe();
            link = {std::move(ends.read_end), std::move(ends.write_end)};
        } else {
            make_blocking(link.ours.get());  // a socket is not waited for all the same
        }
        const auto get = [&] {
            return piped ? sys::read_some(link.ours.get(), into)
                         : sys::receive(link.ours.get(), into);
        };
        CHECK(get().error() == system_error(EAGAIN));
        REQUIRE(::write(link.peer.get(), "0123456789", 10) == 10);
        pollfd readable{link.ours.get(), POLLIN, 0};
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
        CHECK(get() == 8U);
        CHECK(into[7] == std::byte{'7'});
        CHECK(get() == 2U);
        CHECK(into[1] == std::byte{'9'});
        link.peer.reset();
        REQUIRE(::poll(&readable, 1, 10'000) == 1);
        CHECK(get() == 0U);
    }
    CHECK(sys::receive(-1, into).error() == system_error(EBADF));
    CHECK(sys::read_some(-1, into).error() == system_error(EBADF));
}

}  // namespace
