// SPDX-License-Identifier: MIT
// The example of README.md, run: it sends 100 frames through a socket and checks what arrives.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <span>

namespace {

void wait_writable(int socket) {
    pollfd wanted{socket, POLLOUT, 0};
    ::poll(&wanted, 1, 1000);
}

std::size_t encode_into(std::span<std::byte> page) {
    std::memset(page.data(), 'z', 48'000);
    return 48'000;
}

}  // namespace

// [snippet: README.md]
#include <zcpool/zcpool.hpp>
using namespace zcpool::literals;

using video_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB, 1_MiB>>;

bool send_frame(video_pool& pool, int socket) {
    zcpool::buffer frame = pool.try_acquire(48'000);  // never blocks
    if (!frame) {
        return false;  // no room: an ordinary answer
    }
    const std::size_t n = encode_into(frame.space());  // write straight into the page
    frame.commit(n);
    const zcpool::slice view = std::move(frame).freeze();  // immutable from here; copies share

    zcpool::sink::sendfile out{socket};
    out.push(view);
    zcpool::sink::state state = out.flush();  // never blocks on a non-blocking socket
    while (state == zcpool::sink::state::blocked) {
        wait_writable(socket);
        state = out.flush();
    }
    return state == zcpool::sink::state::done;
}  // the slot is used again when nobody can read it any more, not before
// [/snippet]

int main() {
    auto pool = video_pool::create({.slots = {8, 4, 1}, .lending = zcpool::lending::cached});
    int ends[2];
    if (!pool || ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        std::fprintf(stderr, "no pool or no socket here\n");
        return 1;
    }
    static char got[48'000];
    for (int i = 0; i < 100; ++i) {
        if (!send_frame(*pool, ends[0]) ||
            ::recv(ends[1], got, sizeof got, MSG_WAITALL) != 48'000 || got[47'999] != 'z') {
            std::fprintf(stderr, "frame %d did not arrive as it was sent\n", i);
            return 1;
        }
    }
    std::printf("100 frames sent from %llu slots\n",
                static_cast<unsigned long long>(pool->stats()[1].high_water));
    ::close(ends[0]);
    ::close(ends[1]);
    return 0;
}
