// SPDX-License-Identifier: MIT
#include <calibrate/connection.hpp>

#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace calibrate {
namespace {

using zcpool::sys::unique_fd;

constexpr std::size_t read_bytes = std::size_t{64} << 10;

void require(bool holds, const char* what) {
    if (!holds) {
        throw std::system_error{errno, std::system_category(), what};
    }
}

/// bbr, the default of many systems, paces on loopback as if it were a long line.
void use_cubic(int socket) noexcept {
    ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

sockaddr_in own_address(const unique_fd& listener) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    require(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0,
            "getsockname");
    return address;
}

unique_fd listen_on(in_addr_t host, std::uint16_t port) {
    unique_fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    require(static_cast<bool>(listener), "socket");
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(host);
    require(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
            "bind");
    require(::listen(listener.get(), 8) == 0, "listen");
    return listener;
}

std::pair<unique_fd, unique_fd> connect_loopback() {
    const unique_fd listener = listen_on(INADDR_LOOPBACK, 0);
    const sockaddr_in address = own_address(listener);
    unique_fd near{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    use_cubic(near.get());
    require(::connect(near.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
            "connect");
    unique_fd far{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    require(static_cast<bool>(far), "accept");
    return {std::move(near), std::move(far)};
}

std::pair<unique_fd, unique_fd> connect_unix() {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    // TCP grows its buffers by itself; here it takes a word.
    const int bytes = 4 << 20;
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

unique_fd connect_remote(const std::string& to) {
    const auto colon = to.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == to.size()) {
        throw std::invalid_argument{fmt::format("--to {}: write HOST:PORT", to)};
    }
    std::string host = to.substr(0, colon);
    if (host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), to.c_str() + colon + 1, &wanted, &list);
        error != 0) {
        throw std::runtime_error{fmt::format("--to {}: {}", to, ::gai_strerror(error))};
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{list, &::freeaddrinfo};
    for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
        unique_fd made{::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (made && ::connect(made.get(), each->ai_addr, each->ai_addrlen) == 0) {
            return made;
        }
    }
    throw std::system_error{errno, std::system_category(), "--to " + to};
}

}  // namespace

connection::connection(path over, const std::string& to) {
    if (over == path::remote) {
        near_ = connect_remote(to);
    } else {
        std::tie(near_, far_) = over == path::loopback ? connect_loopback() : connect_unix();
        reader_ = std::thread{[this] { drain(); }};
    }
    ::fcntl(near_.get(), F_SETFL, O_NONBLOCK);
}

connection::~connection() {
    ::shutdown(near_.get(), SHUT_WR);
    if (reader_.joinable()) {
        reader_.join();
    }
}

std::string connection::congestion_control() const {
    char name[32]{};
    socklen_t size = sizeof name - 1;
    return ::getsockopt(near_.get(), IPPROTO_TCP, TCP_CONGESTION, name, &size) == 0 ? name : "";
}

bool connection::wait_drained(std::size_t bytes, std::chrono::steady_clock::time_point end) {
    expected_ += bytes;
    const auto is_drained = [this] {
        if (far_) {
            // acquire: pairs with drain(); only the count matters, but what follows begins after
            // it.
            return drained_.load(zcpool::memory_order_acquire) >= expected_;
        }
        // What the remote kernel has acknowledged is gone from here, which is all that is measured.
        int unacknowledged = 0;
        return ::ioctl(near_.get(), SIOCOUTQ, &unacknowledged) != 0 || unacknowledged == 0;
    };
    while (!is_drained()) {
        if (std::chrono::steady_clock::now() >= end) {
            return false;
        }
        if (far_) {
            std::this_thread::yield();
            continue;
        }
        pollfd broken{near_.get(), 0, 0};
        require(::poll(&broken, 1, 1) == 0 || (broken.revents & POLLHUP) == 0, "the remote peer");
    }
    return true;
}

void connection::drain() noexcept {
    pin_to(1);
    const auto buffer = std::make_unique_for_overwrite<std::byte[]>(read_bytes);
    for (;;) {
        const auto got = ::recv(far_.get(), buffer.get(), read_bytes, 0);
        if (got <= 0) {
            return;
        }
        // release: pairs with wait_drained().
        drained_.fetch_add(static_cast<std::uint64_t>(got), zcpool::memory_order_release);
    }
}

void pin_to(unsigned index) noexcept {
    cpu_set_t now;
    if (::sched_getaffinity(0, sizeof now, &now) != 0) {
        return;
    }
    static const cpu_set_t all = now;  // of the first caller, which nobody had pinned yet
    unsigned wanted = index % static_cast<unsigned>(std::max(1, CPU_COUNT(&all)));
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &all) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            ::sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

void discard(std::uint16_t port) {
    const unique_fd listener = listen_on(INADDR_ANY, port);
    fmt::print("discarding what comes to port {}\n", ntohs(own_address(listener).sin_port));
    std::fflush(stdout);
    for (;;) {
        const int accepted = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
        require(accepted >= 0 || errno == ECONNABORTED || errno == EINTR, "accept");
        if (accepted < 0) {
            continue;
        }
        std::thread{[fd = unique_fd{accepted}] {
            const auto buffer = std::make_unique_for_overwrite<std::byte[]>(read_bytes);
            while (::recv(fd.get(), buffer.get(), read_bytes, 0) > 0) {
            }
        }}.detach();
    }
}

}  // namespace calibrate
