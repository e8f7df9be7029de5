// SPDX-License-Identifier: MIT
// A process that is stopped is not dead, and holds nobody up.
#include <array>
#include <chrono>

#include "workers.hpp"

namespace {

using namespace zcpool_test;

using one_class = zcpool::pool<zcpool::size_classes<4_KiB>>;

/// What each process has of the only class.
auto shares(zcpool::pool_view pool) { return zcpool::ipc::audit(pool).classes[0].of_process; }

TEST_CASE("stops: nothing is taken from a process that is stopped, and the others go on",
          "[stops]") {
    const auto pool = make_pool<one_class>({.slots = {64}});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::vector<worker> workers;
    for (unsigned i = 0; i < 3; ++i) {
        workers.emplace_back(files, 16, random(), i, tally);
    }
    while (tally.ready.load() < workers.size()) {
        pause(random, 1'000);
    }
    zcpool::ipc::reaper reap{pool};
    bool held_something = false;
    for (long n = scaled(40); n > 0; --n) {
        pause(random, 20'000);
        const auto which = static_cast<unsigned>(random() % workers.size());
        ::kill(workers[which].pid(), SIGSTOP);
        int status = 0;
        REQUIRE(::waitpid(workers[which].pid(), &status, WUNTRACED) == workers[which].pid());
        const auto before = shares(pool);
        std::array<std::uint64_t, 3> steps;
        for (unsigned i = 0; i < 3; ++i) {
            steps[i] = tally.steps[i].load();
        }
        const auto until = std::chrono::steady_clock::now() +
                           std::chrono::milliseconds{50 + static_cast<long>(random() % 450)};
        do {
            const auto report = reap.reap();
            REQUIRE(report.has_value());
            CHECK(report->found_dead == 0);
            CHECK(report->recovered.gone == 0);
            pause(random, 20'000);
        } while (std::chrono::steady_clock::now() < until);
        // However busy the machine is: the others come on in the end.
        for (unsigned i = 0; i < 3; ++i) {
            for (int tries = 0; i != which && tries < 10'000; ++tries) {
                if (tally.steps[i].load() != steps[i]) {
                    break;
                }
                ::usleep(1'000);
            }
            CHECK((tally.steps[i].load() != steps[i]) == (i != which));
        }
        // The stopped one's place is the one whose pid it has.
        const auto audit = zcpool::ipc::audit(pool);
        for (std::size_t place = 0; place < audit.processes.size(); ++place) {
            if (audit.processes[place].who.pid == static_cast<unsigned>(workers[which].pid())) {
                CHECK(audit.processes[place].state == zcpool::process_state::live);
                CHECK(audit.classes[0].of_process[place].all() == before[place].all());
                held_something = held_something || before[place].all() != 0;
            }
        }
        ::kill(workers[which].pid(), SIGCONT);
    }
    CHECK(held_something);
    CHECK(tally.mismatches.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    for (worker& each : workers) {
        each.kill();
    }
    REQUIRE(reap.reap().has_value());
    REQUIRE(reap.reap().has_value());
    check_all_there(pool);
}

}  // namespace
