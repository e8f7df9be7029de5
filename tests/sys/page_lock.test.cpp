// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/page_lock.hpp>

namespace {

using namespace zcpool;
using sys::lock_pages;
using zcpool_test::faults;
using zcpool_test::system_error;

constexpr std::size_t bytes = 4 * page_size;

sys::mapping make(std::size_t size = bytes) {
    auto made = sys::mapping::anonymous(size);
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// Bytes of this process that are locked.
std::size_t locked_bytes() {
    std::ifstream status{"/proc/self/status"};
    for (std::string word; status >> word;) {
        if (word == "VmLck:") {
            std::size_t kibibytes = 0;
            status >> kibibytes;
            return kibibytes * 1024;
        }
    }
    return 0;
}

/// Whether mlock(2) does here what it says: sanitizers turn it into nothing.
bool can_lock() {
    const sys::mapping probe = make(page_size);
    const std::size_t before = locked_bytes();
    return ::mlock(probe.data(), page_size) == 0 && locked_bytes() == before + page_size;
}

TEST_CASE("page_lock: not asked for, nothing is locked and nothing refused", "[sys]") {
    const sys::mapping pages = make();
    const std::size_t before = locked_bytes();
    faults counting;
    counting.fail_call(1, ENOMEM);  // the call that must not be made
    lock_report report;
    CHECK(lock_pages(pages, lock_policy::none, report).has_value());
    CHECK(faults::calls() == 1);  // getrlimit
    CHECK(report.policy == lock_policy::none);
    CHECK_FALSE(report.locked);
    CHECK_FALSE(report.refusal);
    CHECK(report.bytes == bytes);
    CHECK(locked_bytes() == before);
}

TEST_CASE("page_lock: refused, best effort goes on and says so", "[sys]") {
    const sys::mapping pages = make();
    for (const int error : {ENOMEM, EPERM, EAGAIN}) {
        faults broken;
        broken.fail_call(1, error);
        lock_report report;
        CHECK(lock_pages(pages, lock_policy::best_effort, report).has_value());
        CHECK(report.policy == lock_policy::best_effort);
        CHECK_FALSE(report.locked);
        CHECK(report.refusal == system_error(error));
        CHECK(report.bytes == bytes);
    }
}

TEST_CASE("page_lock: refused, required fails with the same reason and report", "[sys]") {
    const sys::mapping pages = make();
    for (const int error : {ENOMEM, EPERM, EAGAIN}) {
        faults broken;
        broken.fail_call(1, error);
        lock_report report;
        CHECK(lock_pages(pages, lock_policy::required, report).error() == system_error(error));
        CHECK(report.policy == lock_policy::required);
        CHECK_FALSE(report.locked);
        CHECK(report.refusal == system_error(error));
        CHECK(report.bytes == bytes);
    }
}

TEST_CASE("page_lock: the report is of this call, with nothing left of an earlier one", "[sys]") {
    const sys::mapping pages = make();
    lock_report report{.policy = lock_policy::required,
                       .locked = true,
                       .refusal = system_error(EIO),
                       .bytes = 1,
                       .soft_limit = 2,
                       .hard_limit = 3};
    faults broken;
    broken.fail_call(0, EIO);  // getrlimit: the limits are unknown
    CHECK(lock_pages(pages, lock_policy::none, report).has_value());
    CHECK(report.policy == lock_policy::none);
    CHECK_FALSE(report.locked);
    CHECK_FALSE(report.refusal);
    CHECK(report.bytes == bytes);
    CHECK(report.soft_limit == 0);
    CHECK(report.hard_limit == 0);
}

TEST_CASE("page_lock: the limits are those of the process, soft and hard", "[sys]") {
    const sys::mapping pages = make();
    // In a child: what is lowered is lowered for good.
    CHECK(zcpool_test::status_of([&] {
              const rlimit lowered{3 * page_size, 7 * page_size};
              if (::setrlimit(RLIMIT_MEMLOCK, &lowered) != 0) {
                  return 1;
              }
              lock_report report;
              const auto done = lock_pages(pages, lock_policy::none, report);
              return done && report.soft_limit == 3 * page_size &&
                             report.hard_limit == 7 * page_size
                         ? 0
                         : 2;
          }) == 0);
    struct rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    lock_report report;
    CHECK(lock_pages(pages, lock_policy::none, report).has_value());
    CHECK(report.hard_limit == (limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max));
}

TEST_CASE("page_lock: granted, the pages are locked until they are unmapped", "[sys]") {
    if (!can_lock()) {
        SKIP("mlock is refused here, or a sanitizer has made it nothing");
    }
    const std::size_t before = locked_bytes();
    for (const lock_policy policy : {lock_policy::best_effort, lock_policy::required}) {
        sys::mapping pages = make();
        lock_report report;
        REQUIRE(lock_pages(pages, policy, report).has_value());
        CHECK(report.policy == policy);
        CHECK(report.locked);
        CHECK_FALSE(report.refusal);
        CHECK(report.bytes == bytes);
        CHECK(locked_bytes() == before + bytes);
        pages.reset();
        CHECK(locked_bytes() == before);
    }
}

TEST_CASE("page_lock: a trial locks nothing and takes no memory", "[sys]") {
    const std::size_t before = locked_bytes();
    const lock_report done = sys::try_lock(page_size);
    if (!done.locked) {
        SKIP("mlock is refused here");
    }
    CHECK(done.policy == lock_policy::best_effort);
    CHECK(done.bytes == page_size);
    CHECK_FALSE(done.refusal);
    CHECK(locked_bytes() == before);
}

TEST_CASE("page_lock: a trial that is refused says why", "[sys]") {
    faults broken;
    broken.fail_call(1, ENOMEM);  // mmap
    CHECK(sys::try_lock(bytes).refusal == system_error(ENOMEM));
    broken.fail_call(-1, 0);
    for (const int error : {ENOMEM, EPERM, ENOSYS}) {
        faults::fail_lock_trials(error);
        const lock_report report = sys::try_lock(bytes);
        CHECK_FALSE(report.locked);
        CHECK(report.refusal == system_error(error));
        CHECK(report.bytes == bytes);
    }
}

// Run as a user without privileges under RLIMIT_MEMLOCK of 0, 64 KiB and 8 MiB
// (tests/support/with_memlock.sh).
TEST_CASE("page_lock: at a real limit, what fits is locked and a page more refused",
          "[sys][.memlock]") {
    const char* const text = std::getenv("ZCPOOL_TEST_MEMLOCK");
    if (text == nullptr) {
        SKIP("ZCPOOL_TEST_MEMLOCK is not set: run tests/support/with_memlock.sh");
    }
    const std::size_t limit = std::stoul(text);
    const auto refusal = system_error(limit == 0 ? EPERM : ENOMEM);
    lock_report report;
    if (limit != 0) {
        const sys::mapping fits = make(limit);
        CHECK(lock_pages(fits, lock_policy::required, report).has_value());
        CHECK(report.locked);
        CHECK(locked_bytes() == limit);
    }
    const sys::mapping larger = make(limit + page_size);
    CHECK(lock_pages(larger, lock_policy::required, report).error() == refusal);
    CHECK(report.soft_limit == limit);
    CHECK(report.hard_limit == limit);
    CHECK(lock_pages(larger, lock_policy::best_effort, report).has_value());
    CHECK(report.refusal == refusal);
    CHECK(locked_bytes() == 0);
    CHECK(sys::try_lock(limit + page_size).refusal == refusal);
    CHECK(sys::try_lock(limit == 0 ? page_size : limit).locked == (limit != 0));
    CHECK(locked_bytes() == 0);
}

}  // namespace
