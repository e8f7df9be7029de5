// SPDX-License-Identifier: MIT
// A load for HTTP servers that reads no bodies: the kernel drops them (MSG_TRUNC of tcp(7)), so
// that the client's copying does not limit what is measured, as it does with wrk, which reads 8 KiB
// at a time. One thread, keep-alive connections with one request each under way.
//
// usage: http_load ADDRESS:PORT CONNECTIONS SECONDS PATH...
//
// The paths are asked for in turn. Prints "result REQUESTS MICROSECONDS P99_MICROSECONDS WRONG
// BYTES": wrong are answers other than 200 with a length; bytes are those of bodies. A connection
// that ends ends the run.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using steady = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

struct tally {
    std::uint64_t wrong = 0;
    std::uint64_t bytes = 0;
    std::vector<std::uint32_t> microseconds;  // of each request
};

/// The requests, in turn.
class requests {
public:
    requests(const std::string& host, char** paths, int count) {
        for (int path = 0; path < count; ++path) {
            texts_.push_back(std::string("GET ") + paths[path] + " HTTP/1.1\r\nHost: " + host +
                             "\r\n\r\n");
        }
    }
    const std::string& next() { return texts_[at_++ % texts_.size()]; }

private:
    std::vector<std::string> texts_;
    std::size_t at_ = 0;
};

class connection {
public:
    explicit connection(const sockaddr_in& server)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (socket_ < 0 ||
            ::connect(socket_, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
            fail("http_load: connect");
        }
        const int on = 1;
        ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~connection() { ::close(socket_); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    [[nodiscard]] int socket() const { return socket_; }

    void ask(const std::string& request) {
        head_bytes_ = 0;
        body_left_ = -1;
        began_ = steady::now();
        // A request is far smaller than the buffer of a socket that has nothing under way.
        if (::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            fail("http_load: send");
        }
    }

    /// Takes what has come. Returns: whether the answer is whole.
    bool receive(tally& all) {
        const bool in_body = body_left_ >= 0;
        const ssize_t got = in_body ? ::recv(socket_, head_, static_cast<std::size_t>(body_left_),
                                             MSG_TRUNC | MSG_DONTWAIT)
                                    : ::recv(socket_, head_ + head_bytes_,
                                             sizeof head_ - head_bytes_, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) {
            return false;
        }
        if (got <= 0) {
            fail("http_load: the server ended a connection");
        }
        if (in_body) {
            body_left_ -= got;
            all.bytes += static_cast<std::uint64_t>(got);
        } else {
            head_bytes_ += static_cast<std::size_t>(got);
            parse_head(all);
        }
        if (body_left_ != 0) {
            return false;
        }
        const auto took =
            std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - began_);
        all.microseconds.push_back(static_cast<std::uint32_t>(took.count()));
        return true;
    }

private:
    void parse_head(tally& all) {
        const std::string_view text(head_, head_bytes_);
        const std::size_t end = text.find("\r\n\r\n");
        if (end == std::string_view::npos) {
            if (head_bytes_ == sizeof head_) {
                std::fputs("http_load: a head of more than 4 KiB\n", stderr);
                std::exit(1);
            }
            return;
        }
        static constexpr std::string_view name = "\r\ncontent-length:";
        const auto at =
            std::search(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), name.begin(),
                        name.end(), [](char left, char right) {
                            return (left >= 'A' && left <= 'Z' ? left + 32 : left) == right;
                        });
        const bool has_length = at != text.begin() + static_cast<std::ptrdiff_t>(end);
        all.wrong += text.substr(0, 12) != "HTTP/1.1 200" || !has_length;
        const long length = has_length ? std::atol(&*at + name.size()) : 0;
        const auto with_head = static_cast<long>(head_bytes_ - (end + 4));
        body_left_ = std::max(length - with_head, 0L);
        all.bytes += static_cast<std::uint64_t>(with_head);
    }

    int socket_;
    char head_[4096];
    std::size_t head_bytes_ = 0;
    long body_left_ = -1;  // -1: the head is not whole
    steady::time_point began_;
};

sockaddr_in parse_address(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
        std::fprintf(stderr, "http_load: '%s' is not ADDRESS:PORT\n", text.c_str());
        std::exit(2);
    }
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1)));
    return address;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5 || std::atoi(argv[2]) < 1 || std::atof(argv[3]) <= 0) {
        std::fputs("usage: http_load ADDRESS:PORT CONNECTIONS SECONDS PATH...\n", stderr);
        return 2;
    }
    const sockaddr_in server = parse_address(argv[1]);
    requests asked(argv[1], argv + 4, argc - 4);
    tally all;
    std::vector<std::unique_ptr<connection>> connections;
    const int poll = ::epoll_create1(EPOLL_CLOEXEC);
    for (int number = 0; number < std::atoi(argv[2]); ++number) {
        connections.push_back(std::make_unique<connection>(server));
        epoll_event event{EPOLLIN, {.ptr = connections.back().get()}};
        if (::epoll_ctl(poll, EPOLL_CTL_ADD, connections.back()->socket(), &event) != 0) {
            fail("http_load: epoll_ctl");
        }
    }
    const auto began = steady::now();
    const auto end = began + std::chrono::duration_cast<steady::duration>(
                                 std::chrono::duration<double>(std::atof(argv[3])));
    for (auto& each : connections) {
        each->ask(asked.next());
    }
    epoll_event events[256];
    while (steady::now() < end) {
        const int ready = ::epoll_wait(poll, events, 256, 100);
        for (int at = 0; at < ready; ++at) {
            auto& each = *static_cast<connection*>(events[at].data.ptr);
            if (each.receive(all)) {
                each.ask(asked.next());
            }
        }
    }
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - began).count();
    if (all.microseconds.empty()) {
        std::fputs("http_load: no answer came\n", stderr);
        return 1;
    }
    const auto p99 =
        all.microseconds.begin() + static_cast<std::ptrdiff_t>(all.microseconds.size() * 99 / 100);
    std::nth_element(all.microseconds.begin(), p99, all.microseconds.end());
    std::printf("result %zu %lld %u %llu %llu\n", all.microseconds.size(),
                static_cast<long long>(took), *p99, static_cast<unsigned long long>(all.wrong),
                static_cast<unsigned long long>(all.bytes));
    return 0;
}
