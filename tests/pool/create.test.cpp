// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>

#include <support/allocations.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/create.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::creation_report;
using zcpool::errc;

bool says(const creation_report& report, std::string_view words) {
    return std::string_view{report.text}.find(words) != std::string_view::npos;
}

TEST_CASE("create: a pool that gets all it asks for has nothing to say", "[pool]") {
    creation_report report;
    const auto pool = small_pool::create(lending_options(4, 4), &report);
    REQUIRE(pool.has_value());
    CHECK(report.lending == zcpool::lending::cached);
    CHECK(report.data_bytes == 4 * 4096 + 4 * 65536);
    CHECK(report.control_bytes % 4096 == 0);
    CHECK(pool->report().data_bytes == report.data_bytes);
}

TEST_CASE("create: says whether the pool zeroes, as a checked one does in any case", "[pool]") {
    using checked = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                 zcpool::pool_policy{.checking = zcpool::checking::full}>;
    CHECK(make_pool({.slots = {64, 1}}).report().zeroing == zcpool::zeroing::never);
    CHECK(make_pool({.slots = {64, 1}}).report().cache == zcpool::cache_policy::thread);
    CHECK(make_pool(zeroing_options(64, 1)).report().zeroing == zcpool::zeroing::on_release);
    CHECK(make_pool(zeroing_options(64, 1)).report().cache == zcpool::cache_policy::none);
    CHECK(make_pool<checked>({.slots = {64, 1}}).report().zeroing == zcpool::zeroing::on_release);
    // Where both are asked for, its slots are touched once.
    const auto both = make_pool<checked>(zeroing_options(1, 1));
    for (int round = 0; round < 2; ++round) {
        auto held = both.try_acquire(1);
        spoil(held);
    }
}

TEST_CASE("create: options out of range are refused with the value and the limit", "[pool]") {
    creation_report report;
    CHECK(small_pool::create({.slots = {0, 1}}, &report).error() == errc::invalid_options);
    CHECK(says(report, "0 slots of 4096 bytes"));
    CHECK(small_pool::create({.slots = {1, 2'000'000}}, &report).error() == errc::invalid_options);
    CHECK(says(report, "2000000 slots of 65536 bytes"));
    CHECK(says(report, "1048576"));
    CHECK(small_pool::create({.slots = {1, 1, 7}}, &report).error() == errc::invalid_options);
    CHECK(says(report, "7 slots for class 2"));
    CHECK(small_pool::create({.slots = {1, 1}, .lent_budget_permille = 1001}, &report).error() ==
          errc::invalid_options);
    CHECK(says(report, "1001"));
    CHECK(small_pool::create({.slots = {1, 1}, .lent_settle_time = -1ms}, &report).error() ==
          errc::invalid_options);
    CHECK(says(report, "-1 ms"));
    CHECK(small_pool::create({.slots = {1, 1}, .lent_settle_time = 3'600'001ms}, &report).error() ==
          errc::invalid_options);
    CHECK(says(report, "3600001 ms"));
    CHECK(small_pool::create({.slots = {1, 1}, .lent_settle_time = 3'600'000ms}).has_value());
    CHECK_FALSE(small_pool::create({.slots = {0, 0}}).has_value());  // and without a report
}

TEST_CASE("create: more memory than the machine has is an error value, not a killed process",
          "[pool]") {
    using large_pool = zcpool::pool<zcpool::size_classes<1_GiB>>;
    creation_report report;
    const auto pool = large_pool::create({.slots = {1'000'000}}, &report);
    REQUIRE_FALSE(pool.has_value());
    CHECK(pool.error() == std::errc::not_enough_memory);
    CHECK(says(report, "1073741824000000 bytes"));
    CHECK(says(report, "fewer slots"));
}

TEST_CASE("create: lending that would corrupt is refused, not believed", "[pool]") {
    const held before;
    const faults broken;
    faults::switch_renewal_off();
    creation_report report;
    CHECK(small_pool::create(lending_options(1, 1), &report).error() == errc::renewal_ineffective);
    CHECK(says(report, "shmem_enabled"));
    CHECK(small_pool::create({.slots = {1, 1}}).has_value());  // unless it is to be shared
    CHECK(before == held{});
}

TEST_CASE("create: every class must renew, not only the first", "[pool]") {
    const faults broken;
    faults::switch_renewal_off(1);  // the first class's trial still works
    creation_report report;
    CHECK(small_pool::create(lending_options(1, 1), &report).error() == errc::renewal_ineffective);
    CHECK(says(report, "65536-byte"));
}

TEST_CASE("create: a kernel with other pages is refused with both sizes", "[pool]") {
    const faults other;
    faults::pretend_page_size(65536);
    creation_report report;
    CHECK(small_pool::create({.slots = {1, 1}}, &report).error() == errc::unsupported);
    CHECK(says(report, "65536"));
    CHECK(says(report, "4096"));
}

TEST_CASE("create: whichever system call fails, it is told and nothing is leaked", "[pool]") {
    const held before;
    long failed = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 200);
        faults broken;
        broken.fail_call(i, ENFILE);
        creation_report report;
        auto options = lending_options(2, 2);
        options.locking = zcpool::lock_policy::required;
        const auto pool = small_pool::create(options, &report);
        if (faults::calls() <= i) {
            CHECK(pool.has_value());
            break;
        }
        if (!pool) {
            ++failed;
            CHECK(pool.error() == std::error_code(ENFILE, std::system_category()));
            CHECK(says(report, "refused"));
        }
    }
    CHECK(failed >= 15);
    CHECK(before == held{});
}

TEST_CASE("create: without memory for book-keeping there is no pool, and nothing is leaked",
          "[pool]") {
    using checked = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                 zcpool::pool_policy{.checking = zcpool::checking::full}>;
    const held before;
    CHECK(fail_each_allocation([] { return error_of(small_pool::create({.slots = {64, 2}})); }) >
          0);
    CHECK(fail_each_allocation(
              [] { return error_of(small_pool::create(lending_options(64, 2))); }) > 0);
    CHECK(fail_each_allocation([] { return error_of(checked::create({.slots = {4, 4}})); }) > 0);
    CHECK(fail_each_allocation([] {
              zcpool::pool_options arenas{.slots = {1, 64}, .lending = zcpool::lending::arena};
              return error_of(small_pool::create(arenas));
          }) > 0);
    CHECK(before == held{});
}

TEST_CASE("create: a thread without memory for a cache goes on without one", "[pool]") {
    for (long which = 0;; ++which) {
        REQUIRE(which < 100);
        const auto pool = make_pool({.slots = {64, 2}});
        const failing_allocation broken{which};
        {
            const auto first = pool.try_acquire(4_KiB);
            const auto second = pool.try_acquire(4_KiB);
            CHECK(first);
            CHECK(second);
        }
        CHECK(slots_in_use(pool) == 0);
        if (!broken.has_failed()) {
            break;
        }
    }
}

TEST_CASE("create: refused locking is reported, and fatal only where it is required", "[pool]") {
    creation_report report;
    for (const int error : {ENOMEM, EPERM}) {
        // The last call of a creation is the lock: count them first.
        faults broken;
        broken.fail_call(1'000'000, error);
        const auto whole = small_pool::create({.slots = {1, 1}}, &report);
        REQUIRE(whole.has_value());
        const long lock = faults::calls() - 1;

        broken.fail_call(lock, error);
        const auto pool = small_pool::create({.slots = {1, 1}}, &report);
        REQUIRE(pool.has_value());
        CHECK_FALSE(report.locking.locked);
        CHECK(report.locking.refusal == std::error_code(error, std::system_category()));
        CHECK(says(report, "ulimit -l"));
        CHECK_FALSE(pool->report().locking.locked);

        broken.fail_call(lock, error);
        const auto none = small_pool::create(
            {.slots = {1, 1}, .locking = zcpool::lock_policy::required}, &report);
        REQUIRE_FALSE(none.has_value());
        CHECK(none.error() == std::error_code(error, std::system_category()));
    }
}

// Run as a user without privileges under RLIMIT_MEMLOCK of 0, 64 KiB and 8 MiB
// (tests/support/with_memlock.sh).
TEST_CASE("create: at a real limit locking is refused exactly beyond it", "[pool][.memlock]") {
    const char* const text = std::getenv("ZCPOOL_TEST_MEMLOCK");
    if (text == nullptr) {
        SKIP("ZCPOOL_TEST_MEMLOCK is not set: run tests/support/with_memlock.sh");
    }
    const std::size_t limit = std::stoul(text);
    struct rlimit actual{};
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &actual) == 0);
    REQUIRE(actual.rlim_cur == limit);

    using page_pool = zcpool::pool<zcpool::size_classes<4_KiB>>;
    const auto pages = static_cast<std::uint32_t>(limit / 4096);
    creation_report report;
    SECTION("within the limit it is locked") {
        if (pages != 0) {
            const auto pool = page_pool::create(
                {.slots = {pages}, .locking = zcpool::lock_policy::required}, &report);
            INFO(report.text);
            REQUIRE(pool.has_value());
            CHECK(report.locking.locked);
            CHECK(report.locking.soft_limit == limit);
        }
    }
    SECTION("a page beyond it, best effort goes on and says so") {
        const auto pool = page_pool::create({.slots = {pages + 1}}, &report);
        REQUIRE(pool.has_value());
        CHECK_FALSE(report.locking.locked);
        CHECK(report.locking.refusal.value() == (limit == 0 ? EPERM : ENOMEM));
        CHECK(says(report, "RLIMIT_MEMLOCK is " + std::to_string(limit)));
        CHECK(pool->try_acquire(1));
    }
    SECTION("a page beyond it, required refuses and leaks nothing") {
        const held before;
        const auto pool = page_pool::create(
            {.slots = {pages + 1}, .locking = zcpool::lock_policy::required}, &report);
        REQUIRE_FALSE(pool.has_value());
        CHECK(pool.error().value() == (limit == 0 ? EPERM : ENOMEM));
        CHECK(before == held{});
    }
}

}  // namespace
