// SPDX-License-Identifier: MIT
#pragma once

// What zcpool_top is told on its command line.

#include <chrono>
#include <cstdint>
#include <optional>

#include <sys/types.h>

namespace top {

/// The options of one run.
struct options {
    std::optional<pid_t> pid;  ///< none: all processes
    std::chrono::milliseconds interval{1'000};
    std::optional<std::uint64_t> count;  ///< looks; none: until it is ended, or no process lives
    bool json = false;
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

}  // namespace top
