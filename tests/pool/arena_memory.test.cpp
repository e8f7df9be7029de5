// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/huge_pages.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/arena_memory.hpp>
#include <zcpool/sys/pipe.hpp>

// What a pool with arenas is granted, and what it is instead where that is not to be had.

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::arena_backing;
using zcpool::arena_report;
using zcpool::checking;
using zcpool::creation_report;
using zcpool::errc;
using zcpool::huge_page_size;
using zcpool::lending;

using arena_pool = zcpool::pool<zcpool::size_classes<64_KiB, 1_MiB>>;

bool says(const arena_report& report, std::string_view words) {
    return std::string_view{report.text}.find(words) != std::string_view::npos;
}

/// A pool of options that ask for arenas, which it did not get: it copies, and says why.
template <class Pool = arena_pool>
creation_report refused_arenas(const zcpool::pool_options& options) {
    creation_report report;
    const auto pool = Pool::create(options, &report);
    REQUIRE(pool.has_value());
    CHECK(report.lending == lending::never);
    CHECK(report.arenas.text[0] != '\0');
    const zcpool::slice sent = make_slice(*pool, 100, 1);
    CHECK_FALSE(sent.lend().has_value());
    CHECK_FALSE(sent.lend_memory());
    return report;
}

TEST_CASE("arena_memory: a pool of arenas lends, and has nothing to say", "[pool]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    creation_report report;
    const auto pool = arena_pool::create(arena_options(32, 3), &report);
    REQUIRE(pool.has_value());
    CHECK(report.lending == lending::arena);
    CHECK(report.cache == zcpool::cache_policy::none);
    CHECK(std::string_view{report.arenas.text}.empty());
    CHECK(std::string_view{report.text}.empty());
    CHECK(report.data_bytes == 3 * huge_page_size);
    CHECK(report.arenas.bytes == report.data_bytes);
    CHECK(report.arenas.huge_bytes == report.data_bytes);
    CHECK(pool->report().arenas.huge_bytes == report.data_bytes);
    CHECK(make_slice(*pool, 100, 1).lend_memory());
}

TEST_CASE("arena_memory: without a file there is no descriptor to be lent, and no mark", "[pool]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_pool<arena_pool>(arena_options(32, 2));
    const zcpool::slice sent = make_slice(pool, 100, 1);
    CHECK_FALSE(sent.lend().has_value());
    CHECK(pool.stats()[0].lent == 0);
    CHECK(sent.subslice(10).lend_memory());
    CHECK(pool.stats()[0].lent == 1);
}

TEST_CASE("arena_memory: where huge pages of a file are forbidden the pool copies", "[pool]") {
    if (shmem_huge_pages{}.was_granted()) {
        SKIP("this system gives files huge pages");
    }
    auto options = arena_options(32, 2);
    options.arenas = arena_backing::memfd;
    const auto report = refused_arenas(options);
    CHECK(says(report.arenas, "0 of 4194304 bytes"));
    CHECK(says(report.arenas, "shmem_enabled"));
    CHECK(report.arenas.huge_bytes == 0);
}

TEST_CASE("arena_memory: a file's huge pages are lent with their descriptor", "[pool]") {
    const shmem_huge_pages allowed{"advise"};
    if (!allowed.was_granted()) {
        SKIP("shmem_enabled may not be set to advise");
    }
    auto options = arena_options(32, 2);
    options.arenas = arena_backing::memfd;
    const auto pool = make_pool<arena_pool>(options);
    INFO(pool.report().arenas.text);
    REQUIRE(pool.report().lending == lending::arena);
    CHECK(pool.report().arenas.huge_bytes == pool.report().data_bytes);
    const auto where = make_slice(pool, 100, 1).lend();
    REQUIRE(where.has_value());
    CHECK(where->fd >= 0);
    CHECK(where->offset == 0);
}

TEST_CASE("arena_memory: without reserved huge pages hugetlb is refused in words", "[pool]") {
    if (has_reserved_huge_pages()) {
        SKIP("this system has huge pages in reserve");
    }
    auto options = arena_options(32, 2);
    options.arenas = arena_backing::hugetlb;
    CHECK(says(refused_arenas(options).arenas, "vm.nr_hugepages"));
}

TEST_CASE("arena_memory: reserved huge pages are lent, and renewed while there are more of them",
          "[pool]") {
    const reserved_huge_pages some{3};  // two for the pool, one for what is in flight
    if (!has_reserved_huge_pages()) {
        SKIP("no huge pages can be reserved");
    }
    using large_pool = zcpool::pool<zcpool::size_classes<2_MiB>>;
    auto options = arena_options(2, 0);
    options.arenas = arena_backing::hugetlb;
    const auto pool = make_pool<large_pool>(options);
    INFO(pool.report().arenas.text);
    REQUIRE(pool.report().lending == lending::arena);
    CHECK(pool.report().arenas.huge_bytes == 2 * huge_page_size);
    zcpool::sys::pipe held = zcpool::sys::pipe::create().value();
    for (int i = 0; i < 2; ++i) {
        zcpool::slice sent = make_slice(pool, zcpool::page_size, 7);
        REQUIRE(sent.lend_memory());
        const iovec part{const_cast<std::byte*>(sent.data()), sent.size()};
        REQUIRE(held.fill_from(std::span{&part, 1}) == zcpool::page_size);
    }
    // Both rest, and both are in the pipe: there is one page more.
    zcpool::buffer first = pool.try_acquire(1);
    REQUIRE(first);
    CHECK_FALSE(pool.try_acquire(1));
    CHECK(pool.stats()[0].quarantined >= 1);
    fill(first.space(), 8);
    std::vector<std::byte> got(zcpool::page_size);
    for (int i = 0; i < 2; ++i) {
        REQUIRE(held.read(got.data(), got.size()) == got.size());
        CHECK(got == pattern(zcpool::page_size, 7));
    }
    CHECK(pool.try_acquire(1));
}

TEST_CASE("arena_memory: each refusal says what was refused, and what to do", "[pool]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    {
        const faults broken;
        faults::switch_renewal_off();
        CHECK(says(refused_arenas(arena_options(32, 2)).arenas, "left them shared"));
    }
    {
        const faults broken;
        faults::switch_renewal_off(1);  // every class is tried
        CHECK(says(refused_arenas(arena_options(32, 2)).arenas, "left them shared"));
    }
    {
        const faults broken;
        faults::fail_punches(EINVAL);
        CHECK(says(refused_arenas(arena_options(32, 2)).arenas, "Linux 5.18"));
    }
    bool unseen = false;
    for (long i = 0; i < 12; ++i) {  // one of them opens /proc/self/smaps
        faults broken;
        broken.fail_call(i, EACCES);
        creation_report report;
        const auto pool = arena_pool::create(arena_options(32, 2), &report);
        unseen = unseen || (pool && says(report.arenas, "mount /proc"));
    }
    CHECK(unseen);
    auto tight = arena_options(32, 2);
    tight.lent_settle_time = 30s;
    tight.lent_budget_permille = 499;
    CHECK(says(refused_arenas(tight).arenas, "raise lent_budget_permille"));
    tight.lent_budget_permille = 500;
    CHECK(make_pool<arena_pool>(tight).report().lending == lending::arena);
    using checked_pool =
        zcpool::pool<zcpool::size_classes<64_KiB>, zcpool::pool_policy{.checking = checking::full}>;
    CHECK(says(refused_arenas<checked_pool>(arena_options(32, 0)).arenas, "checked pool"));
}

TEST_CASE("arena_memory: what the options themselves forbid is refused", "[pool]") {
    creation_report report;
    auto options = arena_options(32, 2);
    options.reserve = {0, 1};
    CHECK(arena_pool::create(options, &report).error() == errc::invalid_options);
    CHECK(std::string_view{report.text}.find("class 1") != std::string_view::npos);
    using uneven_pool = zcpool::pool<zcpool::size_classes<132_KiB>>;
    CHECK(uneven_pool::create(arena_options(1, 0), &report).error() == errc::invalid_options);
    CHECK(std::string_view{report.text}.find("135168 bytes") != std::string_view::npos);
}

TEST_CASE("arena_memory: a pool with arenas is not shared, and trims nothing", "[pool]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_pool<arena_pool>(arena_options(32, 2));
    CHECK(pool.share().error() == errc::unsupported);
    CHECK(pool.trim() == 0);
    CHECK(pool.try_acquire(1));
}

TEST_CASE("arena_memory: whichever system call fails, there is a pool or an error, and no leak",
          "[pool]") {
    const held before;
    for (long i = 0;; ++i) {
        REQUIRE(i < 200);
        faults broken;
        broken.fail_call(i, ENFILE);
        creation_report report;
        const auto pool = arena_pool::create(arena_options(32, 2), &report);
        if (faults::calls() <= i) {
            CHECK(pool.has_value());
            break;
        }
        if (pool) {
            CHECK((report.lending == lending::arena || report.arenas.text[0] != '\0'));
            CHECK(pool->try_acquire(1));
        } else {
            CHECK(pool.error() == std::error_code(ENFILE, std::system_category()));
        }
    }
    CHECK(before == held{});
}

TEST_CASE("arena_memory: an arena that comes back serves as many waiters as it has slots",
          "[pool]") {
    if (!has_huge_pages()) {
        SKIP("no transparent huge pages are to be had");
    }
    const auto pool = make_pool<arena_pool>(arena_options(32, 2));
    std::array<zcpool::buffer, 2> both;
    REQUIRE(pool.acquire_many(1_MiB, both) == 2);
    both[0].commit(100);
    both[1].commit(100);
    zcpool::slice first = std::move(both[0]).freeze();
    zcpool::slice second = std::move(both[1]).freeze();
    REQUIRE((first.lend_memory() && second.lend_memory()));
    std::atomic<int> served{0};
    std::vector<std::thread> waiting;
    for (int i = 0; i < 2; ++i) {
        waiting.emplace_back([&] {
            auto found = pool.acquire_for(1_MiB, 60s);
            served += found ? 1 : 0;
            for (int wait = 0; served.load() < 2 && wait < 10'000; ++wait) {
                std::this_thread::sleep_for(1ms);  // with the slot in hand
            }
        });
    }
    while (pool.stats()[1].waited < 2) {
        std::this_thread::yield();
    }
    std::this_thread::sleep_for(20ms);
    first = {};
    second = {};
    for (std::thread& each : waiting) {
        each.join();
    }
    CHECK(served == 2);
}

}  // namespace
