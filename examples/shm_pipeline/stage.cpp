// SPDX-License-Identifier: MIT
#include <shm_pipeline/stage.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>

#include <fmt/format.h>

#include <zcpool/ipc/handover.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/fd_passing.hpp>
#include <zcpool/sys/process.hpp>

#include <shm_pipeline/unix_path.hpp>

namespace shm_pipeline {

using zcpool::ipc::channel_receiver;
using zcpool::ipc::channel_sender;

std::expected<stage, std::string> stage::join(const std::string& path, role as) {
    const auto no = [](std::string what, const std::error_code& why, std::string_view remedy) {
        return std::unexpected{fmt::format("{}: {}; {}", what, why.message(), remedy)};
    };
    auto control = open_at(path, 0, ::connect);
    if (!control) {
        return no("--socket " + path, control.error(), "is a broker or a run started there?");
    }
    constexpr std::string_view limits =
        "it takes one capture, one packager and 28 viewers, all of its own user";
    if (auto said = say(control->get(), {.what = saying::hello, .which = as}); !said) {
        return no("the broker went away", said.error(), limits);
    }
    auto pool = zcpool::ipc::receive_pool(control->get());
    if (!pool) {
        return no("the broker gave no pool", pool.error(), limits);
    }
    auto got = hear(control->get());
    auto shared = got && got->message.what == saying::board
                      ? shm_pipeline::board::adopt(std::move(got->descriptor))
                      : zcpool::result<shm_pipeline::board>{zcpool::fail(zcpool::errc::closed)};
    if (!shared) {
        return no("the broker gave no board", shared.error(), limits);
    }
    return stage{std::move(*control), std::move(*pool), std::move(*shared)};
}

std::optional<introduction> stage::next(std::chrono::milliseconds longest, int also) {
    std::array<pollfd, 2> entries{};
    entries[0].fd = control_.get();
    entries[1].fd = also;  // below 0 it is ignored
    const auto ready = zcpool::sys::poll_readable(entries, static_cast<int>(longest.count()));
    if (!ready || entries[0].revents == 0) {
        return std::nullopt;
    }
    auto got = hear(control_.get());
    if (!got ||
        (got->message.what != saying::send_to && got->message.what != saying::receive_from)) {
        is_dismissed_ = true;
        return std::nullopt;
    }
    return introduction{got->message.what == saying::receive_from, std::move(got->descriptor)};
}

std::optional<channel_sender> stage::send_to(const introduction& other,
                                             const zcpool::ipc::channel_options& options) const {
    auto out = channel_sender::create(pool_, options);
    std::array<std::byte, 1> answer{};
    if (!out || !zcpool::ipc::send_channel(other.socket.get(), *out) ||
        zcpool::sys::receive_fds(other.socket.get(), answer, {})
                .value_or(zcpool::sys::received_fds{})
                .bytes == 0) {
        return std::nullopt;
    }
    return std::move(*out);
}

std::optional<channel_receiver> stage::receive_from(const introduction& other) const {
    auto in = zcpool::ipc::receive_channel(other.socket.get(), pool_);
    const std::array<std::byte, 1> answer{};
    if (!in || !zcpool::sys::send_fds(other.socket.get(), answer, {})) {
        return std::nullopt;
    }
    return std::move(*in);
}

}  // namespace shm_pipeline
