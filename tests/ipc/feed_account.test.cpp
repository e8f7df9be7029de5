// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>

#include <support/pools.hpp>
#include <zcpool/ipc/feed_account.hpp>

namespace {

using namespace zcpool_test;
using zcpool::ipc::feed_account;
using zcpool::ipc::feed_frame;
using zcpool::ipc::feed_memory;

constexpr auto relaxed = zcpool::memory_order_relaxed;

TEST_CASE("feed_account: a ticket stands for one frame until it comes back", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    std::array<feed_memory::receipt, 3> receipts;
    auto account = feed_account::create(3);
    REQUIRE(account.has_value());
    std::array<feed_frame, 3> out;
    for (auto& each : out) {
        REQUIRE(account->has_room());
        each = account->add(make_slice(pool, 10, 1), receipts);
    }
    CHECK_FALSE(account->has_room());
    CHECK(account->size() == 3);
    account->collect(receipts);
    CHECK(account->size() == 3);
    receipts[out[1].ticket].store(feed_frame::receipt(out[1].use), relaxed);
    account->collect(receipts);
    account->collect(receipts);
    CHECK(account->size() == 2);
    CHECK(slots_in_use(pool) == 2);
    const feed_frame again = account->add(make_slice(pool, 10, 2), receipts);
    CHECK(again.ticket == out[1].ticket);
    CHECK(again.use != out[1].use);
    account->collect(receipts);  // the old receipt is not for this use
    CHECK(account->size() == 3);
    account->abandon();
    CHECK(account->size() == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("feed_account: a frame is cancelled once, and only if it is still out", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    std::array<feed_memory::receipt, 2> receipts;
    auto account = feed_account::create(2);
    const feed_frame first = account->add(make_slice(pool, 10, 1), receipts);
    account->cancel(first);
    CHECK(account->size() == 0);
    account->cancel(first);
    CHECK(account->size() == 0);
    const feed_frame second = account->add(make_slice(pool, 10, 1), receipts);
    REQUIRE(second.ticket == first.ticket);
    account->cancel(first);
    CHECK(account->size() == 1);
    receipts[second.ticket].store(feed_frame::receipt(second.use), relaxed);
    account->collect(receipts);
    account->cancel(second);
    CHECK(account->size() == 0);
    CHECK(account->has_room());
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
