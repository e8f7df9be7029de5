// SPDX-License-Identifier: MIT
#pragma once

// Both ends of a byte stream, and the sockets that they are handed over by.

#include <sys/socket.h>

#include <optional>
#include <thread>
#include <utility>

#include <support/catch.hpp>
#include <zcpool/ipc/byte_stream.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool_test {

/// Two connected sockets.
struct socket_pair {
    socket_pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        here = zcpool::sys::unique_fd{ends[0]};
        there = zcpool::sys::unique_fd{ends[1]};
    }
    zcpool::sys::unique_fd here;
    zcpool::sys::unique_fd there;
};

/// Both ends in this process.
struct stream_pair {
    explicit stream_pair(const zcpool::ipc::stream_options& options = {.capacity = 4096}) {
        const socket_pair sockets;
        std::optional<zcpool::result<zcpool::ipc::stream_reader>> got;
        std::thread other{[&] {
            got.emplace(zcpool::ipc::stream_reader::receive(sockets.there.get(), options));
        }};
        auto made = zcpool::ipc::stream_writer::create(sockets.here.get(), options);
        other.join();
        REQUIRE(made.has_value());
        REQUIRE(got->has_value());
        writer = std::move(*made);
        reader = std::move(**got);
    }
    zcpool::ipc::stream_writer writer;
    zcpool::ipc::stream_reader reader;
};

}  // namespace zcpool_test
