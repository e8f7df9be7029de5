// SPDX-License-Identifier: MIT
// A pid that is used again is another process: the dead is recovered although "it" lives, and the
// living is left alone although "it" died.
#include <linux/sched.h>
#include <sys/syscall.h>

#include "workers.hpp"

namespace {

using namespace zcpool_test;

using one_class = zcpool::pool<zcpool::size_classes<4_KiB>>;

/// Forks a process with this pid, which sleeps until it is killed.
/// Returns: -1 where the system does not let us.
pid_t fork_with_pid(pid_t wanted) {
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<std::uint64_t>(&wanted);
    how.set_tid_size = 1;
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (pid == 0) {
        for (;;) {
            ::pause();
        }
    }
    return pid;
}

TEST_CASE("reuse: a later process with the pid of a dead one hides it from nobody", "[reuse]") {
    const auto pool = make_pool<one_class>({.slots = {64}});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    zcpool::ipc::reaper watching{pool};
    for (long n = scaled(100); n > 0; --n) {
        const auto ready = tally.ready.load();
        worker dead{files, 16, static_cast<std::uint64_t>(n), 0, tally};
        while (tally.ready.load() == ready) {
            ::usleep(100);
        }
        const pid_t pid = dead.pid();
        // Half of the time its descriptor is open already when it dies.
        if (n % 2 == 0) {
            REQUIRE(watching.reap().has_value());
        }
        ::usleep(30'000);  // start times are told apart from a clock tick on, 10 ms
        dead.kill();
        const pid_t impostor = fork_with_pid(pid);
        if (impostor < 0) {
            SKIP("clone3 with a pid of one's choice was refused");
        }
        zcpool::ipc::reaper fresh{pool};
        const auto report = n % 2 == 0 ? watching.reap() : fresh.reap();
        ::kill(impostor, SIGKILL);
        REQUIRE(impostor == pid);
        REQUIRE(::waitpid(impostor, nullptr, 0) == impostor);
        REQUIRE(report.has_value());
        CHECK(report->found_dead == 1);
        CHECK(places_taken(pool) == 1);
    }
    check_all_there(pool);
}

}  // namespace
