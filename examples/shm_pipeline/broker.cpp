// SPDX-License-Identifier: MIT
#include <shm_pipeline/broker.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/handover.hpp>

#include <shm_pipeline/unix_path.hpp>

namespace shm_pipeline {
namespace {

// The pool has 31 places, and one is ours.
constexpr std::size_t most_stages = 30;

// Frames that may be somewhere at a time: in the channel to the packager, in those to the viewers,
// which have the same ones, and one in the hands of each process.
std::uint32_t slots_for(const options& values) {
    const std::uint32_t channel = std::bit_ceil(values.sending.capacity);
    return values.broker.slots != 0 ? values.broker.slots : 2 * channel + values.broker.viewers + 4;
}

pid_t peer_pid(int socket) {
    ucred peer{};
    socklen_t bytes = sizeof peer;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 ? peer.pid : -1;
}

}  // namespace

std::expected<broker, std::string> broker::create(const options& values) {
    auto pool = frame_pool::create(values.broker.size.bytes(), slots_for(values));
    if (!pool) {
        return std::unexpected{pool.error()};
    }
    if (auto shared = pool->view().share(); !shared) {
        return std::unexpected{
            fmt::format("the pool cannot be shared: {}; preflight says what this "
                        "system lacks",
                        shared.error().message())};
    }
    auto page = board::create(values.broker.size);
    if (!page) {
        return std::unexpected{fmt::format("no memory to count in: {}", page.error().message())};
    }
    auto listener = open_at(values.socket, SOCK_NONBLOCK, ::bind);
    if (!listener || ::listen(listener->get(), 64) != 0) {
        return std::unexpected{fmt::format("--socket {}: {}; choose a path that is not there yet",
                                           values.socket, listener.error().message())};
    }
    return broker{values.socket, std::move(*pool), std::move(*page), std::move(*listener)};
}

broker::broker(std::string path, frame_pool pool, shm_pipeline::board shared,
               zcpool::sys::unique_fd listener)
    : path_(std::move(path)),
      pool_(std::move(pool)),
      board_(std::move(shared)),
      listener_(std::move(listener)),
      reaper_(pool_.view()) {}

broker::~broker() {
    if (listener_) {
        ::unlink(path_.c_str());
    }
}

void broker::watch(std::vector<pollfd>& entries) const {
    for (const connection& each : connections_) {
        entries.push_back({each.socket.get(), POLLIN, 0});
    }
    entries.push_back({listener_.get(), POLLIN, 0});
}

void broker::go_on(const std::vector<pollfd>& entries) {
    const auto has_news = [&](int fd) {
        return std::ranges::any_of(
            entries, [fd](const pollfd& each) { return each.fd == fd && each.revents != 0; });
    };
    const bool was_knocked_at = has_news(listener_.get());
    // Those that went make room for those that came.
    std::vector<connection> stay;
    std::vector<connection> fresh;
    for (connection& each : connections_) {
        if (!has_news(each.socket.get())) {
            stay.push_back(std::move(each));
        } else if (!each.as) {
            fresh.push_back(std::move(each));
        }  // a stage has nothing to say: it has gone
    }
    connections_ = std::move(stay);
    for (connection& each : fresh) {
        if (welcome(each)) {
            connections_.push_back(std::move(each));
            introduce_to_all(connections_.back());
        }
    }
    if (was_knocked_at) {
        accept();
    }
}

void broker::accept() {
    for (;;) {
        zcpool::sys::unique_fd socket{
            ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!socket) {
            return;
        }
        const pid_t pid = peer_pid(socket.get());
        connections_.push_back({std::move(socket), pid, std::nullopt});
    }
}

bool broker::welcome(connection& one) {
    const auto got = hear(one.socket.get());
    if (!got || got->message.what != saying::hello) {
        return false;
    }
    const role as = got->message.which;
    const bool is_taken = as != role::viewer && count(as) != 0;
    if (is_taken || connections_.size() >= most_stages) {
        return false;
    }
    one.as = as;
    return zcpool::ipc::send_pool(one.socket.get(), pool_.view()) &&
           say(one.socket.get(), {.what = saying::board, .which = as}, board_.fd());
}

void broker::introduce_to_all(const connection& one) {
    for (const connection& each : connections_) {
        if (!each.as) {
            continue;
        }
        for (const auto& [sender, receiver] : {std::pair{&one, &each}, std::pair{&each, &one}}) {
            if (index_of(*sender->as) + 1 == index_of(*receiver->as)) {
                introduce(*sender, *receiver);
            }
        }
    }
}

void broker::introduce(const connection& sender, const connection& receiver) {
    std::array<int, 2> pair{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return;
    }
    const zcpool::sys::unique_fd first{pair[0]};
    const zcpool::sys::unique_fd second{pair[1]};
    // Of one that has just died the other one hears by the end of the socket between them.
    static_cast<void>(
        say(sender.socket.get(), {.what = saying::send_to, .which = *receiver.as}, first.get()));
    static_cast<void>(say(receiver.socket.get(),
                          {.what = saying::receive_from, .which = *sender.as}, second.get()));
}

void broker::forget(pid_t pid) {
    std::erase_if(connections_, [pid](const connection& each) { return each.pid == pid; });
}

void broker::reap() {
    const auto found = reaper_.reap();
    if (found) {
        const auto& slots = found->recovered.slots;
        taken_back_ += slots.freed + slots.resting + slots.quarantined;
    }
}

std::size_t broker::count(role as) const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(
        connections_, [as](const connection& each) { return each.as == as; }));
}

slot_account broker::account() {
    slot_account found;
    for (int tries = 0; tries < 100; ++tries) {
        reap();
        const auto audit = zcpool::ipc::audit(pool_.view());
        found.processes =
            static_cast<std::size_t>(std::ranges::count_if(audit.processes, [](const auto& each) {
                return each.state != zcpool::process_state::free;
            }));
        const auto stats = pool_.view().stats();
        found.lost = 0;
        for (std::size_t index = 0; index < audit.class_count; ++index) {
            found.lost += stats[index].slots - audit.classes[index].available();
        }
        if (found.processes == 1 && found.lost == 0) {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return found;
}

}  // namespace shm_pipeline
