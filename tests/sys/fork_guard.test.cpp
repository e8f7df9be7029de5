// SPDX-License-Identifier: MIT
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <zcpool/sys/fork_guard.hpp>

namespace {

using zcpool::sys::fork_guard;
using zcpool_test::faults;
using zcpool_test::status_of;

fork_guard make() {
    auto made = fork_guard::create();
    REQUIRE(made.has_value());
    return std::move(*made);
}

TEST_CASE("fork_guard: knows its creator, before and after it has forked", "[sys]") {
    const fork_guard guard = make();
    CHECK(guard.in_creator());
    CHECK(status_of([] { return 0; }) == 0);
    CHECK(guard.in_creator());
}

TEST_CASE("fork_guard: a forked child is not the creator, nor is its child", "[sys]") {
    const fork_guard guard = make();
    CHECK(status_of([&] {
              if (guard.in_creator()) {
                  return 1;
              }
              const pid_t grandchild = ::fork();
              if (grandchild == 0) {
                  ::_exit(guard.in_creator() ? 2 : 0);
              }
              int status = 0;
              ::waitpid(grandchild, &status, 0);
              return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
          }) == 0);
    CHECK(guard.in_creator());
}

TEST_CASE("fork_guard: a child that clone(2) made without any handlers is seen too", "[sys]") {
    const fork_guard guard = make();
    // As fork, past the C library and with it past pthread_atfork.
    const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::_exit(guard.in_creator() ? 1 : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(static_cast<pid_t>(pid), &status, 0) == pid);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("fork_guard: a thread is in the process of its creator", "[sys]") {
    const fork_guard guard = make();
    bool in_thread = false;
    std::thread{[&] { in_thread = guard.in_creator(); }}.join();
    CHECK(in_thread);
}

TEST_CASE("fork_guard: a child creates guards of its own", "[sys]") {
    const fork_guard guard = make();
    CHECK(status_of([&] {
              const auto own = fork_guard::create();
              return own && own->in_creator() && !guard.in_creator() ? 0 : 1;
          }) == 0);
}

TEST_CASE("fork_guard: works where it was moved to", "[sys]") {
    fork_guard first = make();
    fork_guard second{std::move(first)};
    CHECK(second.in_creator());
    first = std::move(second);
    CHECK(first.in_creator());
    CHECK(status_of([&] { return first.in_creator() ? 1 : 0; }) == 0);
}

TEST_CASE("fork_guard: without its page there is no guard", "[sys]") {
    for (const int call : {0, 1}) {  // mmap, madvise
        faults broken;
        broken.fail_call(call, EINVAL);
        const auto refused = fork_guard::create();
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error() == std::error_code(EINVAL, std::system_category()));
    }
}

}  // namespace
