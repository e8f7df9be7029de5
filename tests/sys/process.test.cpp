// SPDX-License-Identifier: MIT
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/process.hpp>

namespace {

using namespace zcpool;
using zcpool_test::child;
using zcpool_test::faults;
using zcpool_test::held;
using zcpool_test::system_error;

TEST_CASE("process: the start time is field 22, whatever the program is called", "[sys]") {
    CHECK(sys::start_time_in("7 (name) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 0") ==
          4711);
    CHECK(sys::start_time_in("7 (a ) S 9 9) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 42 0") ==
          42);
    CHECK(sys::start_time_in("") == 0);
    CHECK(sys::start_time_in("7 (name") == 0);
    CHECK(sys::start_time_in("7 (name) S 1 2 3") == 0);
}

TEST_CASE("process: this process has a start time, the same by its pid", "[sys]") {
    const auto own = sys::start_time_of(0);
    REQUIRE(own.has_value());
    CHECK(*own > 0);
    CHECK(sys::start_time_of(::getpid()).value() == *own);
}

TEST_CASE("process: the start time of nobody is an error", "[sys]") {
    const held before;
    child gone{[] { return 0; }};
    const pid_t pid = gone.pid();
    static_cast<void>(gone.status());
    CHECK_FALSE(sys::start_time_of(pid).has_value());
    CHECK(sys::open_process(pid).error() == system_error(ESRCH));
    faults broken;
    broken.fail_call(0, EACCES);
    CHECK(sys::start_time_of(0).error() == system_error(EACCES));
    broken.fail_call(1, EIO);
    CHECK(sys::start_time_of(0).error() == system_error(EIO));
    broken.fail_call(-1, 0);
    faults::end_files();
    CHECK(sys::start_time_of(0).error() == system_error(EIO));  // an answer without a start time
    CHECK(before == held{});
}

TEST_CASE("process: its descriptor is readable when it has died, not when it has stopped",
          "[sys]") {
    child process{[] {
        for (;;) {
            ::pause();
        }
        return 0;
    }};
    const auto opened = sys::open_process(process.pid());
    if (!opened && opened.error() == system_error(ENOSYS)) {
        SKIP("pidfd_open needs Linux 5.3");
    }
    REQUIRE(opened.has_value());
    std::array<pollfd, 1> entries{};
    entries[0].fd = opened->get();
    CHECK(sys::poll_readable(entries, 0).value() == 0);
    ::kill(process.pid(), SIGSTOP);
    CHECK(sys::poll_readable(entries, 20).value() == 0);
    ::kill(process.pid(), SIGKILL);
    CHECK(sys::poll_readable(entries, 20'000).value() == 1);  // also before anybody has waited
    CHECK((entries[0].revents & POLLIN) != 0);
    faults broken;
    broken.fail_call(0, ENOMEM);
    CHECK(sys::poll_readable(entries, 0).error() == system_error(ENOMEM));
    broken.fail_call(0, EMFILE);
    CHECK(sys::open_process(::getpid()).error() == system_error(EMFILE));
}

TEST_CASE("process: its namespaces have numbers; before Linux 5.6 there is one time for all",
          "[sys]") {
    const auto own = sys::own_namespaces().value();
    CHECK(own.pid != 0);
    CHECK(own.pid != own.time);
    CHECK(sys::own_namespaces().value() == own);
    faults broken;
    broken.fail_call(2, ENOENT);
    CHECK(sys::own_namespaces().value() == sys::process_namespaces{own.pid, 0});
    broken.fail_call(2, EACCES);
    CHECK(sys::own_namespaces().error() == system_error(EACCES));
    broken.fail_call(0, ENOENT);
    CHECK(sys::own_namespaces().error() == system_error(ENOENT));
}

}  // namespace
