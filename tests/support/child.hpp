// SPDX-License-Identifier: MIT
#pragma once

// A forked child that runs a function, and how it ended.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include <support/catch.hpp>

namespace zcpool_test {

/// A child process. Waited for at the latest when the object goes, and killed before that if nobody
/// waited.
class child {
public:
    /// Forks; the child ends with what `body` returns as its exit code. The child must not use
    /// Catch's macros: it has a copy of the whole test run.
    template <class Body>
    explicit child(Body&& body) {
        std::fflush(nullptr);  // what is buffered would come out of both
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            // Catch turns fatal signals into test reports, and a core would be of no use.
            for (const int fatal : {SIGABRT, SIGSEGV, SIGBUS, SIGTERM}) {
                ::signal(fatal, SIG_DFL);
            }
            const rlimit none{0, 0};
            static_cast<void>(::setrlimit(RLIMIT_CORE, &none));
            ::_exit(static_cast<int>(body()));
        }
    }
    child(const child&) = delete;
    child& operator=(const child&) = delete;
    ~child() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            static_cast<void>(status());
        }
    }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// Waits for the end. Returns: the exit code, or minus the number of the signal that killed it.
    [[nodiscard]] int status() noexcept {
        int status = 0;
        while (::waitpid(pid_, &status, 0) == -1 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

private:
    pid_t pid_ = -1;
};

/// Runs a function in a child. Returns: its exit code, or minus the signal that killed it.
template <class Body>
int status_of(Body&& body) {
    return child{body}.status();
}

}  // namespace zcpool_test
