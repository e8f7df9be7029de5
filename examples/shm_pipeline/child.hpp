// SPDX-License-Identifier: MIT
#pragma once

// Another program, started by this one.

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include <zcpool/base/result.hpp>

namespace shm_pipeline {

/// How a process ended.
struct ending {
    bool was_killed = false;  ///< by a signal
    int code = 0;             ///< the exit code, or the signal's number
};

/// A running process. One that was not waited for is killed when the object goes.
class child {
public:
    child() noexcept = default;
    /// Starts a program with arguments, of which the first is what it calls itself, with no signal
    /// blocked and in a process group of its own, so that a terminal's Ctrl-C is for us alone.
    ///
    /// `output`: what its standard output becomes; -1: ours.
    /// Errors: the errno of posix_spawnp; ENOENT when there is no such program.
    [[nodiscard]] static zcpool::result<child> start(const char* program,
                                                     const std::vector<std::string>& words,
                                                     int output = -1);
    child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    child& operator=(child&& other) noexcept {
        std::swap(pid_, other.pid_);
        return *this;
    }
    ~child();

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void kill(int signal) const noexcept;
    /// Returns: whether it has ended, and how.
    [[nodiscard]] bool has_ended(ending& how) noexcept { return wait(how, false); }
    /// Waits for its end.
    [[nodiscard]] ending wait() noexcept;

private:
    explicit child(pid_t pid) noexcept : pid_(pid) {}
    [[nodiscard]] bool wait(ending& how, bool blocks) noexcept;

    pid_t pid_ = -1;
};

}  // namespace shm_pipeline
