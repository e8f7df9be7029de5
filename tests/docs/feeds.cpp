// SPDX-License-Identifier: MIT
// The second example of cmake/docs/sharing.md: frames for a process of another user.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace zcpool::literals;

using frame_pool = zcpool::pool<zcpool::size_classes<64_KiB>>;

// [snippet: cmake/docs/sharing.md]
/// The owner of the pool. Returns: frames that were given up because the reader was slow.
std::uint64_t feed_frames(int socket, zcpool::pool_view pool, std::uint32_t frames) {
    auto out = zcpool::ipc::feed::open(socket, pool, {.frames = 4}).value();
    for (std::uint32_t number = 0; number < frames; ++number) {
        zcpool::buffer frame = pool.try_acquire(64_KiB);
        std::memset(frame.space().data(), static_cast<int>(number), 64_KiB);
        frame.commit(64_KiB);
        if (!out.send(std::move(frame).freeze())) {  // never waits: the oldest unread one goes
            break;  // peer_gone, closed; corrupt: it wrote what cannot be into its ring
        }
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    while (out.reclaim() && out.outstanding() != 0 && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return out.stats().dropped;
}  // what was not received is taken back; what the reader holds stays, with lingering_feeds

/// The reader, of any user: it sees the slots, for reading only.
std::uint64_t read_frames(int socket) {
    auto in = zcpool::ipc::feed_reader::receive_from(socket).value();
    std::uint64_t read = 0;
    while (auto frame = in.receive()) {  // errc::closed at the end
        const auto bytes = frame->bytes();
        require(bytes.front() == bytes.back(), "a whole frame");
        ++read;
    }
    return read;
}
// [/snippet]

constexpr uid_t nobody = 65534;

}  // namespace

int main() {
    constexpr std::uint32_t frames = 200;
    const auto pool = docs::value_or_end(frame_pool::create({.slots = {8}}));
    auto sockets = docs::connected();
    auto counts = docs::connected();
    const pid_t child = ::fork();
    require(child >= 0, "fork");
    if (child == 0) {
        sockets.ours.reset();
        require(::getuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0), "setuid");
        const std::uint64_t read = read_frames(sockets.theirs.get());
        ::_exit(::write(counts.theirs.get(), &read, sizeof read) == sizeof read ? 0 : 1);
    }
    sockets.theirs.reset();
    const std::uint64_t dropped = feed_frames(sockets.ours.get(), pool, frames);
    while (zcpool::ipc::lingering_feeds::common().poll() != 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    int status = 0;
    require(::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
            "the reader ended well");
    std::uint64_t read = 0;
    require(::read(counts.ours.get(), &read, sizeof read) == sizeof read, "its count");
    require(read + dropped == frames, "each frame was read or given up");
    require(pool.stats()[0].in_use == 0, "all slots are back");
    return 0;
}
