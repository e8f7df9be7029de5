// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/forgery.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/ipc/pool_search.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::found_pool;
using zcpool::ipc::pool_observer;
using zcpool::ipc::pool_search;
using zcpool::sys::unique_fd;

std::error_code system_error(int code) { return {code, std::system_category()}; }

std::uint64_t inode_of(int fd) {
    struct stat status{};
    REQUIRE(::fstat(fd, &status) == 0);
    return status.st_ino;
}

bool names(const found_pool& pool, pid_t pid) {
    const auto known = std::span{pool.processes}.first(pool.process_count);
    return std::ranges::count(known, pid) == 1;
}

TEST_CASE("pool_search: it finds the pools of a process, each once", "[ipc]") {
    const held before;
    {
        const auto shared = make_pool({.slots = {4, 2}});
        const auto alone = make_pool({.slots = {8, 2}});
        const int control = shared.share().value().control;
        const unique_fd again{::dup(control)};
        std::array<found_pool, 8> found;
        pool_search search{found};
        REQUIRE(search.look_at(::getpid()));
        REQUIRE(search.report().found == 2);
        CHECK(search.report().denied == 0);
        CHECK_FALSE(search.report().is_full);
        const auto at = std::ranges::find(found, inode_of(control), &found_pool::inode);
        REQUIRE(at != found.end());
        CHECK(at->process_count == 1);
        CHECK(names(*at, ::getpid()));
        CHECK((::fcntl(at->control.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
        CHECK((::fcntl(at->control.get(), F_GETFD) & FD_CLOEXEC) != 0);
        // Looking on adds nothing: those who only read, as `found` does, are observers.
        REQUIRE(search.look_at(::getpid()));
        CHECK(search.report().found == 2);
        const auto observer = pool_observer::open(std::move(at->control));
        REQUIRE(observer.has_value());
        CHECK(observer->is_shared());
        CHECK(observer->stats()[0].slots == 4);
    }
    CHECK(before == held{});
}

TEST_CASE("pool_search: a pool that several processes have counts once", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 2}});
    const int control = pool.share().value().control;
    const child other{[] { return ::pause(); }};
    std::vector<found_pool> found(256);
    pool_search search{found};
    REQUIRE(search.look_at_all());
    const auto is_it = [&](const found_pool& each) { return each.inode == inode_of(control); };
    REQUIRE(std::ranges::count_if(found, is_it) == 1);
    const auto at = std::ranges::find_if(found, is_it);
    CHECK(names(*at, ::getpid()));
    CHECK(names(*at, other.pid()));
}

TEST_CASE("pool_search: observers have no pool", "[ipc]") {
    unique_fd made{::memfd_create("zcpool-control", MFD_CLOEXEC)};
    REQUIRE(made);
    const unique_fd looks = reopen(std::move(made), O_RDONLY);
    std::array<found_pool, 8> found;
    pool_search search{found};
    REQUIRE(search.look_at(::getpid()));
    CHECK(search.report().found == 0);
}

TEST_CASE("pool_search: a name proves nothing, and other names are not looked at", "[ipc]") {
    std::vector<unique_fd> files;
    for (const char* name :
         {"zcpool-control ", "zcpool-contro", "zcpool-data", "zcpool-control (deleted)",
          "a-name-so-long-that-it-does-not-fit-into-what-is-read-of-it-zcpool-control"}) {
        files.emplace_back(::memfd_create(name, MFD_CLOEXEC));
        REQUIRE(files.back());
    }
    std::array<found_pool, 8> found;
    {
        pool_search search{found};
        REQUIRE(search.look_at(::getpid()));
        CHECK(search.report().found == 0);
    }
    files.emplace_back(::memfd_create("zcpool-control", MFD_CLOEXEC));
    pool_search search{found};
    REQUIRE(search.look_at(::getpid()));
    REQUIRE(search.report().found == 1);
    CHECK_FALSE(pool_observer::open(std::move(found[0].control)).has_value());
    // Nor does one of huge pages, which is no pool whatever it says.
    const unique_fd huge{::memfd_create("zcpool-control", MFD_CLOEXEC | MFD_HUGETLB)};
    if (huge) {
        pool_search other{found};
        REQUIRE(other.look_at(::getpid()));
        CHECK(other.report().found == 1);
    }
}

TEST_CASE("pool_search: more than there is room for are said to be there", "[ipc]") {
    const auto one = make_pool({.slots = {4, 2}});
    const auto two = make_pool({.slots = {4, 2}});
    std::array<found_pool, 1> found;
    pool_search search{found};
    REQUIRE(search.look_at(::getpid()));
    CHECK(search.report().found == 1);
    CHECK(search.report().is_full);
}

TEST_CASE("pool_search: nobody's process is ENOENT", "[ipc]") {
    child gone{[] { return 0; }};
    const pid_t pid = gone.pid();
    static_cast<void>(gone.status());
    std::array<found_pool, 1> found;
    CHECK(pool_search{found}.look_at(pid).error() == system_error(ENOENT));
}

TEST_CASE("pool_search: another user's process is EACCES, and counted when all are looked at",
          "[ipc]") {
    if (::geteuid() != 0) {
        SKIP("not root");
    }
    const auto pool = make_pool({.slots = {4, 2}});
    const pid_t parent = ::getpid();
    CHECK(status_of([&] {
              std::array<found_pool, 8> found;
              if (::setgid(65534) != 0 || ::setuid(65534) != 0) {
                  return 1;
              }
              pool_search one{found};
              const auto done = one.look_at(parent);
              if (done || done.error() != system_error(EACCES) || one.report().found != 0) {
                  return 2;
              }
              pool_search all{found};
              if (!all.look_at_all() || all.report().denied == 0) {
                  return 3;
              }
              return 0;
          }) == 0);
}

TEST_CASE("pool_search: whichever call fails, its errno is the answer and nothing leaks", "[ipc]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {4, 2}});
        for (long i = 0;; ++i) {
            REQUIRE(i < 500);
            std::array<found_pool, 2> found;
            pool_search search{found};
            faults broken;
            broken.fail_call(i, ENFILE);
            const auto done = search.look_at(::getpid());
            if (faults::calls() <= i) {
                CHECK(done.has_value());
                CHECK(search.report().found == 1);
                break;
            }
            CHECK_FALSE((done || done.error() != system_error(ENFILE)));
        }
        // What goes while it is looked at is passed over.
        for (long i = 1; i < 6; ++i) {
            std::array<found_pool, 2> found;
            pool_search search{found};
            faults broken;
            broken.fail_call(i, i == 1 ? ESRCH : ENOENT, 1);
            static_cast<void>(search.look_at(::getpid()));
            CHECK(search.report().found <= 1);
        }
    }
    CHECK(before == held{});
}

}  // namespace
