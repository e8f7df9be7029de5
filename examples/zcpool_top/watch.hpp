// SPDX-License-Identifier: MIT
#pragma once

// Which pools are looked at: those of a process, or all that there are.

#include <cstddef>
#include <expected>
#include <string>
#include <vector>

#include <sys/types.h>

#include <zcpool_top/process_book.hpp>
#include <zcpool_top/snapshot.hpp>

namespace top {

/// Pools that were found, and are looked at again and again.
struct watch {
    std::vector<watched_pool> pools;
    std::size_t denied = 0;             ///< processes that could not be looked at
    std::vector<std::string> warnings;  ///< files that look like pools and are none of ours
    process_book book;

    /// All pools, but those that have come to their end, which are not looked at any more.
    [[nodiscard]] std::vector<pool_snapshot> look();
};

/// Finds the pools of a process; also of one that has died, as long as a process that shares its
/// pool lives.
///
/// Returns: in words why there is none to be seen, and what to do.
[[nodiscard]] std::expected<watch, std::string> watch_process(pid_t pid);

/// Finds all pools.
/// Returns: in words why the system could not be asked.
[[nodiscard]] std::expected<watch, std::string> watch_all();

}  // namespace top
