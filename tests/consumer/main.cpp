// SPDX-License-Identifier: MIT

// A program of somebody else's. It is compiled with what the road brings and nothing more, sends a
// frame through a socket, and ends well when it arrives and when the headers are those of the
// version that was asked for.

#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#if defined(CONSUMER_HAS_ONE_HEADER)
#include "zcpool.hpp"
#else
#include <zcpool/version.hpp>
#include <zcpool/zcpool.hpp>
#endif

#if defined(ZCPOOL_SYSCALL_PROVIDER_HEADER)
#error "a definition of the tests reached a consumer"
#endif

using namespace zcpool::literals;

namespace {

bool sends_a_frame() {
    auto pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>::create({.slots = {4, 2}});
    int ends[2];
    if (!pool || ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        return false;
    }
    zcpool::buffer frame = pool->try_acquire(10'000);
    if (!frame) {
        return false;
    }
    std::memset(frame.space().data(), 'z', 10'000);
    frame.commit(10'000);

    zcpool::sink::write out{ends[0]};
    out.push(std::move(frame).freeze());
    if (out.flush() != zcpool::sink::state::done) {
        return false;
    }
    std::string got(10'000, ' ');
    const bool whole = ::recv(ends[1], got.data(), got.size(), MSG_WAITALL) == 10'000;
    ::close(ends[0]);
    ::close(ends[1]);
    return whole && got == std::string(10'000, 'z');
}

}  // namespace

int main() {
    const std::string headers = std::to_string(ZCPOOL_VERSION_MAJOR) + '.' +
                                std::to_string(ZCPOOL_VERSION_MINOR) + '.' +
                                std::to_string(ZCPOOL_VERSION_PATCH);
    if (headers != CONSUMER_EXPECTS_VERSION) {
        std::printf("headers %s, package %s\n", headers.c_str(), CONSUMER_EXPECTS_VERSION);
        return 1;
    }
    if (!sends_a_frame()) {
        std::puts("the frame did not arrive");
        return 1;
    }
    return 0;
}
