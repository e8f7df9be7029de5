// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <support/allocations.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/pool/registered_pages.hpp>

// Two parts of one process in a pool are two partners like any others.

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::pool_sharing;
using zcpool::ipc::attached_pool;
using zcpool::sys::unique_fd;

zcpool::result<attached_pool> try_attach(const zcpool::pool_descriptors& files) {
    return attached_pool::attach(unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)});
}
attached_pool attach(const zcpool::pool_descriptors& files) {
    auto attached = try_attach(files);
    REQUIRE(attached.has_value());
    return std::move(*attached);
}

TEST_CASE("attach: the maker's files are sealed, small-paged and its user's alone", "[ipc]") {
    const auto pool = make_pool(lending_options(4, 1));
    const auto files = pool.share().value();
    for (const int fd : {files.data, files.control}) {
        constexpr int seal_exec = 0x0020;
        CHECK((::fcntl(fd, F_GET_SEALS) & ~seal_exec) ==
              (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
        struct stat status{};
        REQUIRE(::fstat(fd, &status) == 0);
        CHECK((::ftruncate(fd, 0) == -1 && errno == EPERM));
        CHECK((::ftruncate(fd, status.st_size + 4096) == -1 && errno == EPERM));
        CHECK((::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM));
        if ((::fcntl(fd, F_GET_SEALS) & seal_exec) != 0) {
            CHECK((::fchmod(fd, 0700) == -1 && errno == EPERM));
        }
    }
    CHECK(::fallocate(files.data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
}

TEST_CASE("attach: without memory there is no pool, and nothing is kept", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 4}});
    const auto files = pool.share().value();
    const held before;
    CHECK(fail_each_allocation([&] { return error_of(try_attach(files)); }) > 0);
    CHECK(before == held{});
}

TEST_CASE("attach: what one partner takes the other cannot have, and both read the same bytes",
          "[ipc]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {2, 1}});
        const auto files = pool.share().value();
        const auto other = attach(files);
        const auto view = other.view();
        CHECK(view.class_count() == 2);
        CHECK(view.slot_bytes(1) == 64_KiB);
        zcpool::buffer mine = pool.try_acquire(1);
        zcpool::buffer theirs = view.try_acquire(1);
        REQUIRE(mine);
        REQUIRE(theirs);
        CHECK_FALSE(pool.try_acquire(1));
        CHECK_FALSE(view.try_acquire(1));
        std::memset(theirs.data(), 0x5A, 4096);
        theirs.reset();
        zcpool::buffer again = pool.try_acquire(1);
        REQUIRE(again);
        CHECK(again.data()[4095] == std::byte{0x5A});  // the same page, at another address
        mine.reset();
        CHECK(view.try_acquire(1));
        CHECK(view.report().shared);
        CHECK(zcpool::registered_pages::of(view).error() == errc::pages_replaceable);
        CHECK(view.report().cache == zcpool::cache_policy::none);
        CHECK(pool.stats()[0].acquired == 4);  // counted for all
        CHECK(view.stats()[0].acquired == 4);
    }
    CHECK(before == held{});
}

TEST_CASE("attach: not from another pid or time namespace, where the living would look dead",
          "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    const auto files = pool.share().value();
    constexpr int forbidden = 10;
    constexpr int refused = 11;
    // A process stays where it is when it makes such a namespace; its next child is in it.
    const auto from_new = [&](int kind) {
        return status_of([&] {
            if (kind != 0 && ::unshare(kind) != 0) {
                return forbidden;
            }
            const pid_t there = ::fork();
            if (there == 0) {
                const auto attached = try_attach(files);
                ::_exit(attached ? 0 : attached.error() == errc::other_namespace ? refused : 1);
            }
            int status = 0;
            ::waitpid(there, &status, 0);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        });
    };
    CHECK(from_new(0) == 0);
    for (const int kind : {CLONE_NEWPID, 0x80 /* CLONE_NEWTIME */}) {
        const int outcome = from_new(kind);
        if (outcome == forbidden) {
            WARN("this user may not make namespaces: not tested");
        } else {
            CHECK(outcome == refused);
        }
    }
}

TEST_CASE("attach: a waiter is woken by a release in the other part", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto other = attach(pool.share().value());
    for (int round = 0; round < 20; ++round) {
        zcpool::buffer held = round % 2 == 0 ? pool.try_acquire(1) : other.view().try_acquire(1);
        REQUIRE(held);
        std::thread waiter{[&] {
            zcpool::pool_view from = pool;
            if (round % 2 == 0) {
                from = other;
            }
            CHECK(from.acquire_for(1, std::chrono::seconds{30}).has_value());
        }};
        if (round % 4 < 2) {
            ::usleep(2'000);
        }
        held.reset();
        waiter.join();
    }
}

TEST_CASE("attach: slots that one part lent are renewed for the other", "[ipc]") {
    const auto pool = make_pool(lending_options(1, 1));
    const auto other = attach(pool.share().value());
    {
        zcpool::buffer mine = pool.try_acquire(1);
        std::memset(mine.data(), 0x11, 4096);
        mine.commit(4096);
        const zcpool::slice lent = std::move(mine).freeze();
        REQUIRE(lent.lend().has_value());
    }
    zcpool::buffer theirs = other.view().try_acquire(1);
    REQUIRE(theirs);
    CHECK(theirs.data()[0] == std::byte{0});
    theirs.commit(1);
    CHECK(std::move(theirs).freeze().lend().has_value());
    CHECK(other.view().report().lending == zcpool::lending::cached);
}

TEST_CASE("attach: either part may go first, and the other goes on", "[ipc]") {
    const held before;
    auto pool = std::make_unique<small_pool>(make_pool({.slots = {8, 1}, .reserve = {3, 0}}));
    auto other = std::make_unique<attached_pool>(attach(pool->share().value()));
    zcpool::buffer kept = other->view().try_acquire(1);
    SECTION("the maker; what it kept in reserve comes back") {
        pool.reset();
        std::vector<zcpool::buffer> all(8);
        CHECK(other->view().acquire_many(1, all) == 7);
        CHECK_FALSE(other->view().is_closed());
    }
    SECTION("the partner, before its last buffer") {
        other.reset();
        CHECK(kept.data() != nullptr);
        CHECK_FALSE(pool->is_closed());
        kept.reset();
        CHECK(pool->try_acquire(1));
    }
    kept.reset();
    other.reset();
    pool.reset();
    CHECK(before == held{});
}

TEST_CASE("attach: close is for all parts", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto other = attach(pool.share().value());
    other.view().close();
    CHECK(pool.is_closed());
    CHECK(pool.acquire(1).error() == errc::closed);
}

TEST_CASE("attach: 31 processes have a pool, the next is refused, and places come back", "[ipc]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {1, 1}});
        const auto files = pool.share().value();
        std::vector<attached_pool> others;
        for (std::size_t i = 1; i < zcpool::max_processes; ++i) {
            others.push_back(attach(files));
        }
        const held full;
        CHECK(try_attach(files).error() == errc::too_many_processes);
        CHECK(full == held{});
        others.pop_back();
        pool_sharing::recover(pool_sharing::core_of(pool));
        others.push_back(attach(files));
        others.clear();
        for (int i = 0; i < 100; ++i) {
            static_cast<void>(attach(files));  // each frees the places of those before
        }
    }
    CHECK(before == held{});
}

TEST_CASE("attach: a forked child has no part, and may take one of its own", "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    const auto files = pool.share().value();
    const auto other = attach(files);
    CHECK(status_of([&] {
              if (!other.view().is_closed() || other.view().try_acquire(1)) {
                  return 1;
              }
              const auto own = try_attach(files);
              return own && own->view().try_acquire(1) ? 0 : 2;
          }) == 0);
    CHECK(pool.try_acquire(1));
}

TEST_CASE("attach: whichever call fails, nothing is left behind", "[ipc]") {
    const auto pool = make_pool(lending_options(2, 1));
    const auto files = pool.share().value();
    const held before;
    long failed = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 100);
        faults broken;
        broken.fail_call(i, ENFILE);
        const auto attached = try_attach(files);
        if (faults::calls() <= i) {
            CHECK(attached.has_value());
            break;
        }
        failed += attached ? 0 : 1;
        CHECK((attached || attached.error() == std::error_code(ENFILE, std::system_category())));
    }
    CHECK(failed >= 15);
    CHECK(before == held{});
}

TEST_CASE("attach: may lock the pages as well, and says what came of it", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto files = pool.share().value();
    const auto attached =
        attached_pool::attach(unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)},
                              zcpool::lock_policy::best_effort);
    REQUIRE(attached.has_value());
    const auto& report = attached->view().report().locking;
    CHECK((report.locked || report.refusal));
}

}  // namespace
