// SPDX-License-Identifier: MIT
// The example of cmake/docs/sharing.md: two processes, one of which is killed in the middle.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace zcpool::literals;

// [snippet: cmake/docs/sharing.md]
using frame_pool = zcpool::pool<zcpool::size_classes<1_MiB>>;

/// One process makes the pool and fills frames. false: the other one has died; its slots are back.
bool capture(int socket, std::uint32_t frames) {
    auto pool = frame_pool::create({.slots = {8}}).value();
    zcpool::ipc::send_pool(socket, pool).value();
    auto out = zcpool::ipc::channel_sender::create(pool, {.capacity = 4}).value();
    zcpool::ipc::send_channel(socket, out).value();
    zcpool::ipc::reaper reaper{pool};

    for (std::uint32_t number = 0; number < frames; ++number) {
        auto frame = pool.acquire_for(1_MiB, std::chrono::seconds{5});
        if (!frame) {
            break;
        }
        std::memset(frame->space().data(), static_cast<int>(number), 1_MiB);
        frame->commit(1_MiB);
        if (!out.send(std::move(*frame).freeze())) {  // 16 bytes; waits while the channel is full
            break;                                    // peer_gone, or closed
        }
    }
    const bool all_read = out.finish_for(std::chrono::seconds{5}).has_value();
    while (!all_read && reaper.reap_for(std::chrono::seconds{1}).value().recovered.gone == 0) {
    }
    return all_read;
}

/// Another process, of the same user, reads them where they lie.
std::uint32_t view(int socket, std::uint32_t stop_after) {
    auto pool = zcpool::ipc::receive_pool(socket).value();
    auto in = zcpool::ipc::receive_channel(socket, pool).value();
    std::uint32_t number = 0;
    while (auto frame = in.receive()) {  // errc::closed at the end
        const auto bytes = frame->bytes();
        require(bytes.front() == bytes.back() && bytes.back() == std::byte(number), "the frame");
        if (++number == stop_after) {
            ::raise(SIGKILL);  // with the frame in its hands
        }
    }
    return number;
}
// [/snippet]

/// Whether the viewer saw all frames, and what capture() said.
void run(std::uint32_t frames, std::uint32_t stop_after) {
    auto sockets = docs::connected();
    const pid_t child = ::fork();
    require(child >= 0, "fork");
    if (child == 0) {
        sockets.ours.reset();
        ::_exit(view(sockets.theirs.get(), stop_after) == frames ? 0 : 1);
    }
    sockets.theirs.reset();
    const bool all_read = capture(sockets.ours.get(), frames);
    int status = 0;
    require(::waitpid(child, &status, 0) == child, "waitpid");
    if (stop_after == 0) {
        require(all_read && WIFEXITED(status) && WEXITSTATUS(status) == 0, "all frames were seen");
    } else {
        require(!all_read && WIFSIGNALED(status), "the death was seen");
    }
}

}  // namespace

int main() {
    const auto trial = docs::value_or_end(frame_pool::create({.slots = {1}}));
    if (const auto shared = trial.share(); !shared) {
        docs::skip(shared.error().message().c_str());
    }
    run(100, 0);
    run(100, 50);
    return 0;
}
