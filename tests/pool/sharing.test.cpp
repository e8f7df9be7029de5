// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/pool/sharing.hpp>

// Attaching is tests/ipc/attach.test.cpp, real deaths are tests/process.

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::holder_set;
using zcpool::pool_sharing;
using zcpool::process_state;

TEST_CASE("sharing: a pool that is shared names its files and has its maker in the registry",
          "[pool]") {
    const auto pool = make_pool({.slots = {32, 4}});
    auto& core = pool_sharing::core_of(pool);
    CHECK(pool_sharing::registry(core).was(0).state == process_state::free);
    CHECK_FALSE(pool.report().shared);
    const auto files = pool.share().value();
    CHECK(files.data >= 0);
    CHECK(files.control >= 0);
    CHECK(files.data != files.control);
    const auto who = pool_sharing::registry(core).identity(0);
    CHECK(pool_sharing::registry(core).was(0).state == process_state::live);
    CHECK(who.pid == static_cast<std::uint32_t>(::getpid()));
    CHECK(who.start_time == zcpool::sys::start_time_of(0).value());
    CHECK(pool.report().shared);
    const auto again = pool.share().value();
    CHECK(again.data == files.data);
    CHECK(again.control == files.control);
}

TEST_CASE("sharing: nothing lies in thread caches from then on", "[pool]") {
    const auto pool = make_pool({.slots = {64, 16}});
    for (int i = 0; i < 4; ++i) {
        static_cast<void>(pool.try_acquire(1));
    }
    CHECK(pool.stats()[0].cached != 0);
    REQUIRE(pool.share().has_value());
    CHECK(pool.stats()[0].cached == 0);
    CHECK(pool.report().cache == zcpool::cache_policy::none);
    for (int i = 0; i < 4; ++i) {
        static_cast<void>(pool.try_acquire(1));
        CHECK(pool.stats()[0].cached == 0);
    }
    CHECK(pool_sharing::audit(pool_sharing::core_of(pool), 0).free == 64);
}

TEST_CASE("sharing: a recovery takes back what a marked process had, and wakes", "[pool]") {
    const auto pool = make_pool({.slots = {4, 1}});
    auto& core = pool_sharing::core_of(pool);
    CHECK(pool_sharing::recover(core).gone == 0);  // not shared
    REQUIRE(pool.share().has_value());
    auto& places = pool_sharing::registry(core);
    const auto dead = places.join({4'000'000, 1}).value();

    // As the dead would have: two slots, and a waiter that is counted.
    std::vector<zcpool::buffer> taken(4);
    REQUIRE(pool.acquire_many(4_KiB, taken) == 4);
    taken.resize(2);
    CHECK(pool_sharing::recover(core).gone == 0);
    std::thread waiter{[&] {
        std::vector<zcpool::buffer> all;
        for (int i = 0; i < 2; ++i) {
            all.push_back(pool.acquire_for(1, std::chrono::seconds{20}).value());
        }
    }};
    waiter.join();
    REQUIRE(places.mark_dying(dead.index, dead.status));
    const auto report = pool_sharing::recover(core);
    CHECK(report.gone == dead.bit());
    CHECK(places.was(dead.index).state == process_state::free);
}

TEST_CASE("sharing: a forked child has no part in it", "[pool]") {
    const auto pool = make_pool({.slots = {4, 1}});
    REQUIRE(pool.share().has_value());
    CHECK(status_of([&] {
              const auto refused = pool.share();
              const bool is_closed = !refused && refused.error() == errc::closed;
              const auto report = pool_sharing::recover(pool_sharing::core_of(pool));
              return is_closed && report.gone == 0 ? 0 : 1;
          }) == 0);
}

TEST_CASE("sharing: without /proc it is refused, and the pool goes on as it was", "[pool]") {
    const auto pool = make_pool({.slots = {4, 1}});
    {
        faults broken;
        broken.fail_call(0, ENOENT);
        const auto refused = pool.share();
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error() == std::error_code(ENOENT, std::system_category()));
    }
    CHECK_FALSE(pool.report().shared);
    CHECK(pool.try_acquire(1));
    CHECK(pool.share().has_value());
}

TEST_CASE("sharing: a checked pool is not for others", "[pool]") {
    using checked = zcpool::pool<zcpool::size_classes<4_KiB>,
                                 zcpool::pool_policy{.checking = zcpool::checking::full}>;
    const auto pool = make_pool<checked>({.slots = {4}});
    CHECK(pool.share().error() == errc::unsupported);
    CHECK_FALSE(pool.report().shared);
}

TEST_CASE("sharing: where pages cannot be replaced the dead could not be recovered: refused",
          "[pool]") {
    const auto made_with = [](auto&& breaking) {
        const faults broken;
        breaking();
        return make_pool({.slots = {4, 1}});
    };
    const auto ineffective = made_with([] { faults::switch_renewal_off(); });
    CHECK(ineffective.share().error() == errc::renewal_ineffective);
    const auto old_kernel = made_with([] { faults::fail_populating(EINVAL); });
    CHECK(old_kernel.share().error() == errc::unsupported);
    // The second class's trial counts as much.
    CHECK(made_with([] { faults::switch_renewal_off(1); }).share().error() ==
          errc::renewal_ineffective);
    for (const auto* pool : {&ineffective, &old_kernel}) {
        CHECK_FALSE(pool->report().shared);
        CHECK(pool->try_acquire(1));
    }
}

TEST_CASE("sharing: a trial that is cut short leaves no slot without pages", "[pool]") {
    const auto is_resident = [](const zcpool::buffer& each) {
        std::vector<unsigned char> pages(each.capacity() / zcpool::page_size);
        REQUIRE(::mincore(const_cast<std::byte*>(each.data()), each.capacity(), pages.data()) == 0);
        return std::all_of(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; });
    };
    int cut_short = 0;
    for (long i = 0;; ++i) {
        REQUIRE(i < 200);
        faults broken;
        broken.fail_call(i, EAGAIN);
        const auto pool =
            small_pool::create({.slots = {2, 1}, .locking = zcpool::lock_policy::none});
        if (faults::calls() <= i) {
            break;
        }
        broken.fail_call(-1, 0);
        if (!pool) {
            continue;
        }
        const auto files = pool->share();
        cut_short += files ? 0 : 1;
        std::vector<zcpool::buffer> taken(3);
        REQUIRE(pool->acquire_many(1, std::span{taken}.first(2)) == 2);
        REQUIRE((taken[2] = pool->try_acquire(64_KiB)));
        CHECK(std::all_of(taken.begin(), taken.end(), is_resident));
    }
    CHECK(cut_short >= 4);  // the pipe, filling it, punching, populating: of each class
}

TEST_CASE("sharing: a closed pool is not shared any more", "[pool]") {
    const auto pool = make_pool({.slots = {4, 1}});
    pool.close();
    CHECK(pool.share().error() == errc::closed);
}

}  // namespace
