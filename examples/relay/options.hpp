// SPDX-License-Identifier: MIT
#pragma once

// What the relay is told on its command line, checked before anything is opened.

#include <chrono>
#include <cstddef>
#include <string>

namespace relay {

/// The options of one run.
struct options {
    std::string listen;
    std::string to;
    std::string loop = "epoll";
    bool inspects = false;
    std::size_t max_connections = 1024;
    std::size_t connection_bytes = std::size_t{512} << 10;  ///< of both directions together
    std::size_t pool_bytes = std::size_t{64} << 20;
    std::chrono::milliseconds idle_timeout{60'000};
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::milliseconds statistics_every{0};  ///< 0: only when asked, and at the end
};

/// What became of a command line.
struct parsed_options {
    bool run = false;   ///< false: exit with `exit_code`, everything has been said
    int exit_code = 0;  ///< 0 after --help, 2 for an option that cannot be
    options values;
};

/// Reads the command line; prints help, or what is wrong with which value, what the limit is and
/// what to do.
[[nodiscard]] parsed_options parse_options(int argc, const char* const* argv);

}  // namespace relay
