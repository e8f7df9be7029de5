// SPDX-License-Identifier: MIT
#pragma once

// What the programs behind the examples of the documents share: they end with 1 and a line at the
// first thing that is not as the document says, and with 77 where this system lacks what it shows.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <span>
#include <system_error>

#include <zcpool/sys/unique_fd.hpp>

namespace docs {

inline void require(bool holds, const char* what,
                    std::source_location where = std::source_location::current()) {
    if (!holds) {
        std::fprintf(stderr, "%s:%u: not so: %s\n", where.file_name(), where.line(), what);
        std::exit(1);
    }
}

/// Ends the program as one that was skipped.
[[noreturn]] inline void skip(const char* why) {
    std::fprintf(stderr, "skipped: %s\n", why);
    std::exit(77);
}

/// A pool, a channel, ... or the end of the program: this is a kernel that cannot, or an error.
template <class Result>
auto value_or_end(Result made, std::source_location where = std::source_location::current()) {
    if (!made) {
        if (made.error() == std::errc::not_supported) {
            skip(made.error().message().c_str());
        }
        require(false, made.error().message().c_str(), where);
    }
    return std::move(*made);
}

struct socket_pair {
    zcpool::sys::unique_fd ours, theirs;
};

/// Two connected AF_UNIX sockets.
inline socket_pair connected(int flags = 0) {
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends.data()) == 0,
            "socketpair");
    return {zcpool::sys::unique_fd{ends[0]}, zcpool::sys::unique_fd{ends[1]}};
}

inline void fill(std::span<std::byte> bytes, char with) {
    std::ranges::fill(bytes, static_cast<std::byte>(with));
}

inline bool all_are(std::span<const std::byte> bytes, char wanted) {
    return std::ranges::all_of(
        bytes, [=](std::byte each) { return each == static_cast<std::byte>(wanted); });
}

}  // namespace docs
