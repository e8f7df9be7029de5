// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstdint>
#include <memory>
#include <source_location>
#include <system_error>
#include <utility>

#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/source/provided_slots.hpp>
#include <zcpool/sys/uring.hpp>

namespace {

using namespace zcpool_test;
using zcpool::source::provided_slots;

/// Provides slots of 4 KiB, as a ring that receives does.
zcpool::result<provided_slots> provide(zcpool::sys::uring& ring, zcpool::pool_view pool,
                                       unsigned count, std::size_t bytes = 4_KiB) {
    return provided_slots::create(ring, 0, pool, count, bytes, std::source_location::current());
}

#define SLOTS_OR_SKIP(name, pool, count)                                                           \
    const auto ring = zcpool::sys::uring::create(4);                                               \
    if (!ring) {                                                                                   \
        SKIP("io_uring is not to be had");                                                         \
    }                                                                                              \
    auto made = provide(**ring, pool, count);                                                      \
    if (!made && made.error() == std::errc::invalid_argument) {                                    \
        SKIP("before Linux 5.19");                                                                 \
    }                                                                                              \
    REQUIRE(made);                                                                                 \
    provided_slots& name = *made

TEST_CASE("provided_slots: a slot that was filled leaves, and another takes its place",
          "[source]") {
    const auto pool = make_pool({.slots = {6, 1}});
    SLOTS_OR_SKIP(slots, pool, 4);
    CHECK(slots.with_kernel() == 4);
    CHECK(slots_in_use(pool) == 4);
    const zcpool::slice came = slots.take(2, 100);
    CHECK(came.size() == 100);
    CHECK(slots.with_kernel() == 4);
    CHECK(slots_in_use(pool) == 5);
    const zcpool::slice next = slots.take(2, 4096);
    CHECK(next.data() != came.data());
    CHECK(slots_in_use(pool) == 6);
    const zcpool::slice last = slots.take(2, 1);  // nothing takes its place
    CHECK(last.size() == 1);
    CHECK(slots.with_kernel() == 3);
    slots.refill();
    CHECK(slots.with_kernel() == 3);
}

TEST_CASE("provided_slots: empty places are filled when the pool has slots again", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    SLOTS_OR_SKIP(slots, pool, 4);
    zcpool::slice came[4];
    for (std::uint16_t i = 0; i < 4; ++i) {
        came[i] = slots.take(i, 10);
        CHECK(came[i].size() == 10);
        CHECK(slots.with_kernel() == 3U - i);
        CHECK(slots.take(i, 10).empty());  // the kernel does not have it
    }
    came[3] = {};
    came[1] = {};
    slots.refill();
    CHECK(slots.with_kernel() == 2);
    came[0] = {};
    came[2] = {};
    slots.refill();
    CHECK(slots.with_kernel() == 4);
    for (std::uint16_t i = 0; i < 4; ++i) {
        CHECK(slots.take(i, 10).size() == 10);
    }
}

TEST_CASE("provided_slots: a name out of range is nothing, too many bytes are the slot's",
          "[source]") {
    const auto pool = make_pool({.slots = {3, 1}});
    SLOTS_OR_SKIP(slots, pool, 2);
    CHECK(slots.take(2, 10).empty());
    CHECK(slots.take(UINT16_MAX, 10).empty());
    CHECK(slots.take(0, 1 << 20).size() == 4096);
    CHECK(slots.take(1, 0).empty());  // provided again
    CHECK(slots.with_kernel() == 2);
    CHECK(slots.take(1, 4096).size() == 4096);
}

TEST_CASE("provided_slots: what was abandoned is never free again", "[source]") {
    const auto pool = make_pool({.slots = {4, 1}});
    if (zcpool::can_poison) {
        SKIP("AddressSanitizer reports what is lost on purpose");
    }
    const held before;
    {
        SLOTS_OR_SKIP(slots, pool, 2);
        slots.abandon();
    }
    CHECK(slots_in_use(pool) == 2);
    CHECK(before == held{});
}

TEST_CASE("provided_slots: a pool that gives none is told", "[source]") {
    const auto pool = make_pool({.slots = {1, 1}});
    {
        SLOTS_OR_SKIP(slots, pool, 8);
        CHECK(slots.with_kernel() == 1);
        CHECK(provide(**ring, pool, 8).error() == std::error_code{EEXIST, std::system_category()});
    }
    const auto ring = zcpool::sys::uring::create(4).value();
    CHECK(provide(*ring, pool, 8, 1 << 20).error() == zcpool::errc::too_large);
    CHECK(provide(*ring, pool, 3).error() == zcpool::errc::invalid_options);
    const zcpool::buffer only = pool.try_acquire(1);
    const zcpool::buffer other = pool.try_acquire(64_KiB);
    CHECK(provide(*ring, pool, 8).error() == zcpool::errc::exhausted);
    pool.close();
    CHECK(provide(*ring, pool, 8).error() == zcpool::errc::closed);
}

}  // namespace
