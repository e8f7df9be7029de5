// SPDX-License-Identifier: MIT
#include <shm_pipeline/child.hpp>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

extern "C" char** environ;

namespace shm_pipeline {

zcpool::result<child> child::start(const char* program, const std::vector<std::string>& words,
                                   int output) {
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (const std::string& each : words) {
        arguments.push_back(const_cast<char*>(each.c_str()));
    }
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    if (output >= 0) {
        ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    }
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    const int refused =
        ::posix_spawnp(&pid, program, &files, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    if (refused != 0) {
        return zcpool::fail(std::error_code{refused, std::system_category()});
    }
    return child{pid};
}

child::~child() {
    if (pid_ > 0) {
        kill(SIGKILL);
        static_cast<void>(wait());
    }
}

void child::kill(int signal) const noexcept {
    if (pid_ > 0) {  // not waited for, so nobody else has its number
        ::kill(pid_, signal);
    }
}

bool child::wait(ending& how, bool blocks) noexcept {
    int status = 0;
    pid_t got = -1;
    do {
        got = ::waitpid(pid_, &status, blocks ? 0 : WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got != pid_) {
        return false;
    }
    pid_ = -1;
    how.was_killed = WIFSIGNALED(status);
    how.code = how.was_killed ? WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

ending child::wait() noexcept {
    ending how;
    static_cast<void>(wait(how, true));
    return how;
}

}  // namespace shm_pipeline
