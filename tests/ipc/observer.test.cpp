// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/forgery.hpp>
#include <support/partners.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/ipc/reaper.hpp>

namespace {

using namespace zcpool_test;
using zcpool::control_header;
using zcpool::errc;
using zcpool::pool_table;
using zcpool::process_state;
using zcpool::ipc::pool_observer;
using zcpool::ipc::process_life;
using zcpool::sys::unique_fd;

/// A pool's control file, as an observer has it: opened another time, for reading only.
unique_fd look_into(zcpool::pool_view pool) {
    return reopen(unique_fd{::dup(pool.share().value().control)}, O_RDONLY);
}

/// The control file of a pool that is not to be shared: by its name in /proc.
unique_fd look_into_unshared() {
    for (int fd = 0; fd < 256; ++fd) {
        char name[64]{};
        const std::string path = "/proc/self/fd/" + std::to_string(fd);
        if (::readlink(path.c_str(), name, sizeof name - 1) > 0 &&
            std::string{name} == "/memfd:zcpool-control (deleted)") {
            return unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
        }
    }
    return {};
}

pool_observer observe(unique_fd control) {
    auto opened = pool_observer::open(std::move(control));
    REQUIRE(opened.has_value());
    return std::move(*opened);
}

std::vector<char> contents(int fd) {
    std::vector<char> bytes(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)));
    REQUIRE(::pread(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
}

/// Everything that an observer can be asked.
std::uint64_t ask_all(const pool_observer& observer) {
    std::uint64_t sum = observer.is_closed() + 2U * observer.is_shared();
    for (const auto& each : observer.stats()) {
        sum += each.in_use + each.acquired;
    }
    const auto audit = observer.audit();
    for (const auto& each : audit.classes) {
        sum += each.available() + each.damaged;
    }
    for (const auto& each : observer.processes()) {
        sum += each.who.pid + static_cast<std::uint64_t>(each.life);
    }
    return sum;
}

TEST_CASE("observer: it sees what the pool's own processes see", "[ipc]") {
    partners<> both{lending_options(8, 4)};
    const zcpool::pool_view here = both.here;
    const zcpool::pool_view there = both.there;
    const pool_observer observer = observe(look_into(here));
    CHECK(observer.is_shared());
    CHECK_FALSE(observer.is_checked());
    CHECK(observer.lends());
    CHECK_FALSE(observer.zeroes());

    const zcpool::buffer mine = here.try_acquire(64_KiB);
    const zcpool::buffer theirs = there.try_acquire(1);
    const zcpool::slice shown = make_slice(there, 5, 1);
    static_cast<void>(shown.lend());
    {
        static_cast<void>(make_slice(here, 5, 2).lend());
    }  // rests

    const auto own = here.stats();
    const auto seen = observer.stats();
    REQUIRE(seen.size() == own.size());
    CHECK(seen.lent_budget_bytes == own.lent_budget_bytes);
    CHECK(seen.lent_detached_bytes == own.lent_detached_bytes);
    for (std::size_t i = 0; i < own.size(); ++i) {
        CHECK(seen[i].slot_bytes == own[i].slot_bytes);
        CHECK(seen[i].slots == own[i].slots);
        CHECK(seen[i].in_use == own[i].in_use);
        CHECK(seen[i].high_water == own[i].high_water);
        CHECK(seen[i].acquired == own[i].acquired);
        CHECK(seen[i].released == own[i].released);
        CHECK(seen[i].lent == own[i].lent);
    }
    CHECK(seen[0].in_use == 2);
    CHECK(seen[0].lent == 2);
    const auto audit = observer.audit();
    CHECK(audit.class_count == 2);
    CHECK(audit.classes[0].resting == 1);
    CHECK(audit.classes[0].free == 5);
    CHECK(audit.classes[0].of_process[1].owned == 1);
    CHECK(audit.classes[0].of_process[1].published == 1);
    CHECK(audit.classes[1].of_process[0].owned == 1);
    CHECK(audit.processes[1].state == process_state::live);
    CHECK(audit.processes[2].state == process_state::free);

    CHECK_FALSE(observer.is_closed());
    both.here.close();
    CHECK(observer.is_closed());
}

TEST_CASE("observer: it writes nothing and takes no place", "[ipc]") {
    const held before;
    {
        partners<> both;
        const zcpool::buffer some = both.here.try_acquire(1);
        const auto files = both.here.share().value();
        const auto bytes = contents(files.control);
        const long mapped = pool_mappings();
        pool_observer observer = observe(look_into(both.here));
        CHECK(ask_all(observer) != 0);
        CHECK(pool_mappings() == mapped + 1);
        // None of its mappings could ever be written: that is a matter of the descriptor.
        std::ifstream maps{"/proc/self/maps"};
        int observing = 0;
        for (std::string line; std::getline(maps, line);) {
            observing += line.find(" r--s ") != std::string::npos &&
                                 line.find("zcpool-control") != std::string::npos
                             ? 1
                             : 0;
        }
        CHECK(observing == 1);
        const pool_observer moved = std::move(observer);
        CHECK(ask_all(moved) != 0);
        CHECK(contents(files.control) == bytes);
        CHECK(zcpool::ipc::audit(both.here).processes[2].state == process_state::free);
    }
    CHECK(before == held{});
}

TEST_CASE("observer: who has died is told from who is stopped, and from who has left", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 4}});
    const auto files = pool.share().value();
    const pool_observer observer = observe(look_into(pool));
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    const auto partner = [&] {
        auto mine = zcpool::ipc::attached_pool::attach(unique_fd{::dup(files.data)},
                                                       unique_fd{::dup(files.control)});
        const zcpool::buffer held = mine ? mine->view().try_acquire(1) : zcpool::buffer{};
        static_cast<void>(::write(ready[1], held ? "y" : "n", 1));
        ::pause();
        return 0;
    };
    const auto await = [&] {
        char answer = 0;
        REQUIRE(::read(ready[0], &answer, 1) == 1);
        REQUIRE(answer == 'y');
    };
    child first{partner};
    await();
    child second{partner};
    await();
    const auto is_of = [&](std::uint32_t place, const child& whose) {
        return observer.processes()[place].who.pid == static_cast<std::uint32_t>(whose.pid());
    };
    CHECK(observer.processes()[0].life == process_life::alive);
    CHECK(is_of(1, first));
    CHECK(is_of(2, second));
    CHECK(observer.processes()[3].state == process_state::free);
    CHECK(observer.processes()[3].life == process_life::unknown);
    CHECK(observer.processes()[1].who.start_time ==
          zcpool::sys::start_time_of(first.pid()).value());

    ::kill(first.pid(), SIGSTOP);
    ::kill(second.pid(), SIGKILL);
    siginfo_t gone{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(second.pid()), &gone, WEXITED | WNOWAIT) == 0);
    // A zombie has died, though its pid is still its own.
    CHECK(observer.processes()[1].life == process_life::alive);
    CHECK(observer.processes()[2].leaks());
    CHECK(observer.processes()[2].state == process_state::live);
    CHECK(observer.audit().classes[0].of_process[2].owned == 1);
    static_cast<void>(second.status());
    CHECK(observer.processes()[2].leaks());

    zcpool::ipc::reaper reaper{pool};
    CHECK(reaper.reap().value().found_dead == 1);
    CHECK_FALSE(observer.processes()[2].leaks());
    CHECK(observer.audit().classes[0].of_process[2].all() == 0);
    CHECK(observer.processes()[1].life == process_life::alive);
    {
        const auto visitor = attach_again(pool);
        CHECK(observer.processes()[2].life == process_life::alive);
    }
    CHECK(observer.processes()[2].life != process_life::ended);
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_CASE("observer: a pid that is another's by now is a death", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 4}});
    const pool_observer observer = observe(look_into(pool));
    const auto own = zcpool::pool_sharing::this_process().value();
    REQUIRE(zcpool::pool_sharing::registry(zcpool::pool_sharing::core_of(pool))
                .join({own.pid, own.start_time + 1}));
    CHECK(observer.processes()[0].life == process_life::alive);
    CHECK(observer.processes()[1].life == process_life::ended);
}

TEST_CASE("observer: nobody is taken for dead where pids are others'", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 4}});
    const auto files = pool.share().value();
    const pool_observer observer = observe(look_into(pool));
    REQUIRE(
        zcpool::pool_sharing::registry(zcpool::pool_sharing::core_of(pool)).join({4'194'303, 1}));
    CHECK(observer.processes()[1].life == process_life::ended);
    const std::uint64_t elsewhere = 1;
    REQUIRE(::pwrite(files.control, &elsewhere, sizeof elsewhere,
                     offsetof(pool_table, namespaces)) == sizeof elsewhere);
    CHECK(observer.processes()[0].life == process_life::unknown);
    CHECK(observer.processes()[1].life == process_life::unknown);
    CHECK(observer.processes()[1].state == process_state::live);
}

TEST_CASE("observer: where the system has no pidfd, nobody is taken for dead", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 4}});
    const pool_observer observer = observe(look_into(pool));
    bool asked = false;
    for (long i = 0; i < 50 && !asked; ++i) {
        faults broken;
        broken.fail_call(i, ENOSYS);
        const auto life = observer.processes()[0].life;
        CHECK(life != process_life::ended);
        asked = life == process_life::alive;
    }
    CHECK(asked);
}

TEST_CASE("observer: a pool that is not shared can be seen, in use an upper bound", "[ipc]") {
    using cached_pool = zcpool::pool<zcpool::size_classes<4_KiB>>;
    const auto pool = make_pool<cached_pool>({.slots = {256}});
    const pool_observer observer = observe(look_into_unshared());
    {
        const zcpool::buffer one = pool.try_acquire(1);
        const zcpool::buffer two = pool.try_acquire(1);
        CHECK_FALSE(observer.is_shared());
        CHECK(observer.processes()[0].state == process_state::free);
        CHECK(observer.stats()[0].in_use >= 2);
        CHECK(observer.stats()[0].in_use == 2 + zcpool::pool_view{pool}.stats()[0].cached);
        CHECK(observer.audit().classes[0].of_process[0].owned == observer.stats()[0].in_use);
    }
    REQUIRE(pool.share().has_value());  // which empties the caches
    CHECK(observer.is_shared());
    CHECK(observer.stats()[0].in_use == 0);
    CHECK(observer.processes()[0].life == process_life::alive);
}

TEST_CASE("observer: checked pools and those with arenas can be seen", "[ipc]") {
    using checked_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                      zcpool::pool_policy{.checking = zcpool::checking::full}>;
    {
        const auto pool = make_pool<checked_pool>({.slots = {4, 2}});
        const zcpool::buffer one = pool.try_acquire(1);
        const pool_observer observer = observe(look_into_unshared());
        CHECK(observer.is_checked());
        CHECK(observer.zeroes());
        CHECK(observer.stats()[0].in_use == 1);
        CHECK(observer.stats()[1].in_use == 0);
    }
    {
        const auto pool = make_pool(
            {.slots = {1500, 70}, .lending = zcpool::lending::arena, .lent_budget_permille = 1000});
        if (pool.report().lending != zcpool::lending::arena) {
            SKIP("no huge pages");
        }
        const zcpool::buffer one = pool.try_acquire(5'000);
        const pool_observer observer = observe(look_into_unshared());
        CHECK(observer.lends());
        CHECK(observer.stats()[1].in_use == 1);
        CHECK(observer.stats()[0].slots == 1500);
    }
}

struct bad_case {
    std::string name;
    std::error_code expected;
    std::function<unique_fd()> make;
};

std::vector<bad_case> bad_cases() {
    std::vector<bad_case> cases;
    const auto changed = [&](std::string name, errc expected,
                             std::function<void(forgery&)> change) {
        cases.push_back({std::move(name), expected, [change = std::move(change)] {
                             forgery with;
                             change(with);
                             return reopen(with.control(), O_RDONLY);
                         }});
    };
    cases.push_back(
        {"none", std::error_code{EBADF, std::system_category()}, [] { return unique_fd{}; }});
    cases.push_back({"a directory", errc::not_a_pool,
                     [] { return unique_fd{::open("/", O_RDONLY | O_CLOEXEC)}; }});
    cases.push_back({"a device", errc::not_a_pool,
                     [] { return unique_fd{::open("/dev/zero", O_RDONLY | O_CLOEXEC)}; }});
    cases.push_back({"a file of the system", errc::not_a_pool,
                     [] { return unique_fd{::open("/proc/self/stat", O_RDONLY | O_CLOEXEC)}; }});
    cases.push_back(
        {"open for writing too", errc::wrong_access, [] { return forgery{}.control(); }});
    cases.push_back({"open for writing alone", errc::wrong_access,
                     [] { return reopen(forgery{}.control(), O_WRONLY); }});
    cases.push_back(
        {"a path", errc::wrong_access, [] { return reopen(forgery{}.control(), O_PATH); }});
    cases.push_back(
        {"the data", errc::not_a_pool, [] { return reopen(forgery{}.data(), O_RDONLY); }});
    for (const int seals : {0, all_seals & ~F_SEAL_SHRINK, all_seals & ~F_SEAL_GROW,
                            all_seals & ~F_SEAL_SEAL, all_seals | F_SEAL_WRITE}) {
        changed("seals", errc::not_sealed, [=](forgery& f) { f.control_seals = seals; });
    }
    for (const mode_t mode : {0644U, 0666U, 0700U}) {
        changed("mode", errc::wrong_access, [=](forgery& f) { f.control_mode = mode; });
    }
    for (const off_t bytes : {off_t{0}, off_t{1}, off_t{sizeof(pool_table)},
                              off_t{sizeof(control_header)}, off_t{4096}}) {
        changed("truncated", errc::not_a_pool, [=](forgery& f) { f.control_bytes = bytes; });
    }
    changed("longer", errc::not_a_pool, [](forgery& f) { f.control_bytes += 4096; });
    const auto table = [&](std::string name, errc expected,
                           std::function<void(pool_table&)> change) {
        changed("table: " + name, expected,
                [change = std::move(change)](forgery& f) { change(f.table); });
    };
    table("magic", errc::not_a_pool, [](auto& t) { t.magic ^= 1; });
    table("version", errc::wrong_version, [](auto& t) { ++t.version; });
    table("no class", errc::not_a_pool, [](auto& t) { t.class_count = 0; });
    table("17 classes", errc::not_a_pool, [](auto& t) { t.class_count = 17; });
    table("2^32 classes", errc::not_a_pool, [](auto& t) { t.class_count = ~0U; });
    table("2^40 slots", errc::not_a_pool, [](auto& t) { t.classes[1].slots = 1ULL << 40; });
    table("2^20 slots", errc::not_a_pool, [](auto& t) { t.classes[1].slots = 1ULL << 20; });
    table("2^64 bytes", errc::not_a_pool, [](auto& t) { t.classes[1].slot_bytes = ~4095ULL; });
    table("data bytes", errc::not_a_pool, [](auto& t) { t.data_bytes += 4096; });
    table("control bytes", errc::not_a_pool, [](auto& t) { t.control_bytes -= 4096; });
    table("an unused class", errc::not_a_pool, [](auto& t) { t.classes[9].slots = 1; });
    table("lends", errc::not_a_pool, [](auto& t) { t.lends = 2; });
    table("zeroes", errc::not_a_pool, [](auto& t) { t.zeroes = 2; });
    table("checks that are none", errc::not_a_pool, [](auto& t) { t.checking = 3; });
    table("checks that are 0 in a byte", errc::not_a_pool, [](auto& t) { t.checking = 256; });
    table("checks of another layout", errc::not_a_pool, [](auto& t) { t.checking = 1; });
    table("the budget", errc::not_a_pool, [](auto& t) { t.lent_budget_bytes = ~0ULL; });
    table("the time", errc::not_a_pool, [](auto& t) { t.lent_settle_ms = 3'600'001; });
    return cases;
}

TEST_CASE("observer: what is no control file of a pool is refused by name, and closed", "[ipc]") {
    const held before;
    for (const bad_case& each : bad_cases()) {
        INFO(each.name);
        const auto opened = pool_observer::open(each.make());
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error() == each.expected);
    }
    CHECK(observe(reopen(forgery{}.control(), O_RDONLY)).layout().class_count == 2);
    CHECK(before == held{});
}

TEST_CASE("observer: another user's pool is for root to see, and for no partner", "[ipc]") {
    const forgery good;
    {
        faults broken;
        faults::pretend_uid(static_cast<long>(::geteuid()) + 1);
        CHECK(pool_observer::open(reopen(good.control(), O_RDONLY)).error() == errc::wrong_access);
    }
    if (::geteuid() != 0) {
        SKIP("not root");
    }
    unique_fd data = good.data();
    unique_fd control = good.control();
    REQUIRE(::fchown(data.get(), 65534, 65534) == 0);
    REQUIRE(::fchown(control.get(), 65534, 65534) == 0);
    unique_fd again = reopen(unique_fd{::dup(control.get())}, O_RDONLY);
    CHECK(zcpool::ipc::check_descriptors(std::move(data), std::move(control)).error() ==
          errc::wrong_access);
    CHECK(pool_observer::open(std::move(again)).has_value());
}

TEST_CASE("observer: whichever call fails, its errno is the answer and nothing leaks", "[ipc]") {
    const held before;
    {
        const forgery good;
        const unique_fd control = reopen(good.control(), O_RDONLY);
        for (long i = 0;; ++i) {
            REQUIRE(i < 50);
            unique_fd mine{::dup(control.get())};
            faults broken;
            broken.fail_call(i, ENFILE);
            const auto opened = pool_observer::open(std::move(mine));
            if (faults::calls() <= i) {
                CHECK(opened.has_value());
                CHECK(i >= 6);
                break;
            }
            CHECK(opened.error() == std::error_code(ENFILE, std::system_category()));
        }
    }
    CHECK(before == held{});
}

TEST_CASE("observer: whatever words say, each slot is counted and nothing else happens", "[ipc]") {
    const forgery good{{{4096, 300}, {65536, 2}}};
    const unique_fd control = good.control();
    const pool_observer observer = observe(reopen(unique_fd{::dup(control.get())}, O_RDONLY));
    const auto begin = sizeof(pool_table);
    std::vector<std::uint64_t> noise((static_cast<std::size_t>(good.control_bytes) - begin) / 8);
    std::mt19937_64 random{4711};
    for (long round = 0; round < scaled(40); ++round) {
        // Among them all bits, none, and single bytes that differ.
        for (auto& each : noise) {
            each = round == 0 ? 0 : round == 1 ? ~0ULL : random();
        }
        REQUIRE(::pwrite(control.get(), noise.data(), noise.size() * 8, off_t{begin}) ==
                static_cast<ssize_t>(noise.size() * 8));
        const auto audit = observer.audit();
        const auto stats = observer.stats();
        for (std::size_t i = 0; i < 2; ++i) {
            const auto slots = good.classes[i].slots;
            CHECK(stats[i].slots == slots);
            CHECK(stats[i].in_use <= slots);
            CHECK(audit.classes[i].available() + audit.classes[i].damaged <= slots);
            if (round == 0) {
                CHECK(audit.classes[i].free == slots);
            }
            if (round == 1) {
                CHECK(audit.classes[i].damaged == slots);
            }
        }
        for (const auto& each : observer.processes()) {
            CHECK(each.life != process_life::alive);  // of another namespace, by the noise
        }
    }
    // The table may change too: what was checked is what is used.
    pool_table forged = good.table;
    forged.class_count = ~0U;
    forged.classes[0].slots = ~0ULL;
    REQUIRE(::pwrite(control.get(), &forged, sizeof forged, 0) == sizeof forged);
    CHECK(observer.audit().class_count == 2);
    CHECK(observer.stats()[0].slots == 300);
}

TEST_CASE("observer: a table that changes while it is opened is used as it was checked", "[ipc]") {
    const forgery good;
    const unique_fd control = good.control();
    const unique_fd read = reopen(unique_fd{::dup(control.get())}, O_RDONLY);
    std::atomic<bool> over{false};
    std::thread flipper{[&] {
        const auto at =
            static_cast<off_t>(offsetof(pool_table, classes) + sizeof(zcpool::class_spec) +
                               offsetof(zcpool::class_spec, slots));
        for (std::uint64_t slots = 0; !over.load(); ++slots) {
            const std::uint64_t said = slots % 2 == 0 ? 1ULL << 20 : 2;
            static_cast<void>(::pwrite(control.get(), &said, sizeof said, at));
        }
    }};
    int opened = 0;
    int refused = 0;
    for (long round = 0; round < scaled(20'000) || opened == 0 || refused == 0; ++round) {
        const auto found = pool_observer::open(unique_fd{::dup(read.get())});
        ++(found ? opened : refused);
        CHECK((found ? found->stats()[1].slots == 2 : found.error() == errc::not_a_pool));
    }
    over = true;
    flipper.join();
}

TEST_CASE("observer: a pool that changes meanwhile is never seen with a slot too many", "[ipc]") {
    partners<> both{{.slots = {64, 4}}};
    const auto files = both.here.share().value();
    const pool_observer observer = observe(look_into(both.here));
    std::atomic<bool> over{false};
    std::array<std::thread, 2> workers;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        workers[i] =
            std::thread{[&, view = i == 0 ? zcpool::pool_view{both.here} : both.there.view()] {
                std::vector<zcpool::buffer> held;
                while (!over.load()) {
                    held.push_back(view.try_acquire(1));
                    if (held.size() == 20) {
                        held.clear();
                    }
                    // One who comes and goes.
                    static_cast<void>(zcpool::ipc::attached_pool::attach(
                        unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)}));
                }
            }};
    }
    // Until they have done something in the meantime.
    for (long round = 0; round < scaled(500) || observer.stats()[0].acquired < 2'000; ++round) {
        const auto audit = observer.audit();
        const auto& seen = audit.classes[0];
        const auto held_slots = seen.of_process[0].all() + seen.of_process[1].all();
        CHECK(seen.available() + held_slots == 64);
        CHECK(seen.damaged == 0);
        CHECK(observer.stats()[0].in_use <= 64);
        for (const auto& each : observer.processes()) {
            CHECK_FALSE(each.leaks());
        }
    }
    over = true;
    for (auto& each : workers) {
        each.join();
    }
}

}  // namespace
