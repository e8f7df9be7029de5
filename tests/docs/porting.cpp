// SPDX-License-Identifier: MIT
// The server of cmake/docs/porting.md, before and after, over TCP: pipelined requests of clients of
// which some read slowly, each byte of each answer checked.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;

// What the server answers: so many bytes, of a value, as the request says.
std::size_t answer_bytes(std::uint8_t request) { return 1000 + std::size_t{request} * 1000; }

std::size_t render(std::uint8_t request, std::span<std::byte> into) {
    docs::fill(into.first(answer_bytes(request)), static_cast<char>(request));
    return answer_bytes(request);
}

namespace before {
// [snippet: cmake/docs/porting.md]
struct connection {
    int socket;
    std::byte* body = nullptr;
    std::size_t size = 0, sent = 0;

    bool respond(std::uint8_t request) {  // false: close the connection
        body = static_cast<std::byte*>(std::malloc(answer_bytes(request)));
        if (body == nullptr) {
            return false;
        }
        size = render(request, {body, answer_bytes(request)});
        sent = 0;
        return flush();
    }

    bool flush() {
        while (body != nullptr && sent < size) {
            const ssize_t n = ::send(socket, body + sent, size - sent, MSG_NOSIGNAL);
            if (n < 0) {
                return errno == EAGAIN || errno == EINTR;
            }
            sent += static_cast<std::size_t>(n);
        }
        std::free(body);
        body = nullptr;
        return true;
    }

    std::uint32_t events() const { return body != nullptr ? EPOLLOUT : EPOLLIN; }
    ~connection() { std::free(body); }
};
// [/snippet]
}  // namespace before

namespace after {
// [snippet: cmake/docs/porting.md]
template <zcpool::chain_sink Sink>  // sink::write to begin with
struct connection {
    zcpool::pool_view pool;
    Sink out;
    zcpool::sink::state now = zcpool::sink::state::done;

    bool respond(std::uint8_t request) {  // false: close the connection
        zcpool::buffer body = pool.try_acquire(answer_bytes(request));
        if (!body) {
            return false;  // no room, or no class is so large: or answer 503
        }
        body.commit(render(request, body.space()));
        out.push(std::move(body).freeze());
        return flush();
    }

    bool flush() {
        now = out.flush();
        return now != zcpool::sink::state::failed;
    }

    std::uint32_t events() const {
        switch (now) {
            case zcpool::sink::state::done: return EPOLLIN;      // the next request
            case zcpool::sink::state::blocked: return EPOLLOUT;  // room in the socket
            default: return 0;  // pending: EPOLLERR, which comes without being asked for
        }
    }
};
// [/snippet]
}  // namespace after

zcpool::sys::unique_fd listener(sockaddr_in& at) {
    zcpool::sys::unique_fd made{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    at = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero{}};
    socklen_t size = sizeof at;
    require(::bind(made.get(), reinterpret_cast<sockaddr*>(&at), size) == 0 &&
                ::listen(made.get(), 64) == 0 &&
                ::getsockname(made.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0,
            "a listening socket");
    return made;
}

// [snippet: cmake/docs/porting.md]
/// `connect` makes a connection for a socket. One loop serves both.
void serve(int listening, const std::atomic<bool>& stopped, auto connect) {
    using connection = decltype(connect(0));
    std::unordered_map<int, std::unique_ptr<connection>> connections;
    const zcpool::sys::unique_fd poll{::epoll_create1(EPOLL_CLOEXEC)};
    const auto watch = [&](int operation, int socket, std::uint32_t events) {
        epoll_event event{.events = events, .data = {.fd = socket}};
        ::epoll_ctl(poll.get(), operation, socket, &event);
    };
    watch(EPOLL_CTL_ADD, listening, EPOLLIN);
    while (!stopped) {
        epoll_event event;
        if (::epoll_wait(poll.get(), &event, 1, 10) == 1) {
            const int socket = event.data.fd;
            if (socket == listening) {
                const int accepted = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK);
                if (accepted >= 0) {
                    connections[accepted] = std::make_unique<connection>(connect(accepted));
                    watch(EPOLL_CTL_ADD, accepted, EPOLLIN);
                }
            } else {
                connection& who = *connections.at(socket);
                bool alive = who.flush();
                std::uint8_t request;
                while (alive && who.events() == EPOLLIN) {
                    const ssize_t n = ::recv(socket, &request, 1, 0);
                    if (n <= 0) {
                        alive = n < 0 && (errno == EAGAIN || errno == EINTR);
                        break;
                    }
                    alive = who.respond(request);
                }
                if (alive) {
                    watch(EPOLL_CTL_MOD, socket, who.events());
                } else {
                    watch(EPOLL_CTL_DEL, socket, 0);
                    connections.erase(socket);  // new: before the descriptor that it sends to
                    ::close(socket);
                }
            }
        }
        zcpool::sink::linger_list::common().poll();  // new: for zerocopy and automatic
    }
    for (const auto& [socket, each] : connections) {
        ::close(socket);
    }
}
// [/snippet]

/// Sends `requests` at once, and reads the answers, with a pause before each of some.
void ask(const sockaddr_in& at, std::vector<std::uint8_t> requests, bool slowly) {
    const zcpool::sys::unique_fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    require(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0,
            "connect");
    require(::send(socket.get(), requests.data(), requests.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(requests.size()),
            "send");
    std::vector<std::byte> got;
    for (const std::uint8_t request : requests) {
        if (slowly) {
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        got.resize(answer_bytes(request));
        require(::recv(socket.get(), got.data(), got.size(), MSG_WAITALL) ==
                    static_cast<ssize_t>(got.size()),
                "a whole answer");
        require(docs::all_are(got, static_cast<char>(request)), "the right answer");
    }
}

void drive(auto connect) {
    sockaddr_in at{};
    const auto listening = listener(at);
    std::atomic<bool> stopped = false;
    std::jthread server{[&] { serve(listening.get(), stopped, connect); }};
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i) {
        std::vector<std::uint8_t> requests(200);
        for (std::size_t k = 0; k < requests.size(); ++k) {
            requests[k] = static_cast<std::uint8_t>(k * 37 + static_cast<std::size_t>(i));
        }
        clients.emplace_back(ask, at, std::move(requests), i % 2 != 0);
    }
    clients.clear();
    stopped = true;
}

template <zcpool::chain_sink Sink>
void drive_ported(zcpool::pool_view pool) {
    drive([&](int socket) { return after::connection<Sink>{pool, Sink{socket}}; });
    for (int i = 0; i < 1000 && zcpool::sink::linger_list::common().poll() != 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    for (const auto& each : pool.stats()) {
        require(each.in_use == 0, "every slot came back");
        require(each.exhausted == 0, "there was room");
    }
}

void run() {
    using namespace zcpool::literals;
    // [snippet: cmake/docs/porting.md]
    std::signal(SIGPIPE, SIG_IGN);  // for the sinks that lend: splice(2) has no MSG_NOSIGNAL

    using answer_pool = zcpool::pool<zcpool::size_classes<16_KiB, 64_KiB, 256_KiB>>;
    auto pool = answer_pool::create({.slots = {64, 64, 64}});
    // [/snippet]
    const auto never = docs::value_or_end(std::move(pool));
    drive_ported<zcpool::sink::write>(never);
    drive_ported<zcpool::sink::zerocopy>(never);

    const auto cached = docs::value_or_end(
        answer_pool::create({.slots = {64, 64, 64}, .lending = zcpool::lending::cached}));
    drive_ported<zcpool::sink::automatic>(cached);

    // Where huge pages are not to be had this one copies, and says so.
    const auto arenas =
        docs::value_or_end(answer_pool::create({.slots = {256, 128, 64},
                                                .lending = zcpool::lending::arena,
                                                .lent_settle_time = std::chrono::milliseconds{0}}));
    drive_ported<zcpool::sink::vmsplice>(arenas);
    drive_ported<zcpool::sink::automatic>(arenas);
}

}  // namespace

int main() {
    drive([](int socket) { return before::connection{.socket = socket}; });
    run();
    return 0;
}
