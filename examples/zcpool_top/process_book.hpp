// SPDX-License-Identifier: MIT
#pragma once

// What the system says of processes: names, what they are doing, how long they have been there.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <sys/types.h>

namespace top {

/// A process as /proc shows it.
struct process_facts {
    std::string name;         ///< as it calls itself: up to 15 bytes of anything
    char state = '?';         ///< proc_pid_stat(5): R, S, D, T, Z, ...
    std::uint64_t start = 0;  ///< clock ticks since boot
};

/// Looks a process up. Returns: nothing when there is none that may be looked at.
[[nodiscard]] std::optional<process_facts> look_up(pid_t pid);

/// The user that a process runs as; nothing when there is none.
[[nodiscard]] std::optional<uid_t> user_of(pid_t pid);

/// Seconds since a process started.
[[nodiscard]] double age_of(std::uint64_t start);

/// Knows processes by pid and start time, and remembers the names of those who have gone.
class process_book {
public:
    /// Returns: what is known; without a state when the process has gone, and without a name when
    /// it was never seen.
    [[nodiscard]] process_facts find(pid_t pid, std::uint64_t start);

private:
    std::map<std::pair<pid_t, std::uint64_t>, std::string> names_;
};

}  // namespace top
