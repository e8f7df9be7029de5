// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <support/partners.hpp>
#include <support/scale.hpp>
#include <zcpool/chain/slice_transfer.hpp>

namespace {

using namespace zcpool_test;
using zcpool::arrival;
using zcpool::descriptor;
using zcpool::errc;
using zcpool::pool_core;
using zcpool::pool_sharing;
using zcpool::slice;
using zcpool::slice_transfer;

struct transfer : partners<> {
    pool_core& ours = pool_sharing::core_of(here);
    pool_core& theirs = pool_sharing::core_of(there.view());
    zcpool::holder_set us = pool_sharing::seat(ours).bit();
    zcpool::holder_set them = pool_sharing::seat(theirs).bit();

    [[nodiscard]] descriptor describe(const slice& what) {
        const auto made = slice_transfer::describe(ours, what);
        REQUIRE(made.has_value());
        return *made;
    }
    [[nodiscard]] slice receive(const descriptor& where) {
        auto got = slice_transfer::receive(theirs, where, us);
        REQUIRE(got.how == arrival::here);
        return std::move(got.what);
    }
};

TEST_CASE("slice_transfer: the other process reads the same bytes, and frees the slot", "[chain]") {
    transfer pair;
    slice sent = make_slice(pair.here, 5'000, 7).subslice(100, 4'000);
    const auto bytes = std::vector(sent.bytes().begin(), sent.bytes().end());
    slice got = pair.receive(pair.describe(sent));
    CHECK(got.data() != sent.data());
    sent = {};
    CHECK_FALSE(pair.all_free());
    CHECK(std::vector(got.bytes().begin(), got.bytes().end()) == bytes);
    CHECK(slots_in_use(pair.here) == 1);
    got = {};
    CHECK(pair.all_free());
    CHECK(slots_in_use(pair.here) == 0);
}

TEST_CASE("slice_transfer: a slot that its receiver has released before can be read again",
          "[chain]") {
    // Under AddressSanitizer released slots are poisoned, by each process for itself, and those of
    // a new pool by its creator.
    transfer pair;
    for (std::uint64_t round = 0; round < 20; ++round) {
        slice sent = make_slice(pair.here, 5'000, round);
        const slice got = pair.receive(pair.describe(sent));
        CHECK(is_pattern(got.bytes(), round));
    }
    for (std::uint64_t round = 0; round < 20; ++round) {
        slice sent = make_slice(pair.there, 5'000, round);
        const auto where = slice_transfer::describe(pair.theirs, sent);
        REQUIRE(where.has_value());
        const auto got = slice_transfer::receive(pair.ours, *where, pair.them);
        REQUIRE(got.how == arrival::here);
        CHECK(is_pattern(got.what.bytes(), round));
    }
}

TEST_CASE("slice_transfer: told of the same slot several times, it holds it once", "[chain]") {
    transfer pair;
    slice sent = make_slice(pair.here, 64, 1);
    slice first = pair.receive(pair.describe(sent));
    slice second = pair.receive(pair.describe(sent.subslice(10)));
    slice copy = first;
    first = {};
    copy = {};
    CHECK(second.size() == 54);
    sent = {};
    CHECK_FALSE(pair.all_free());
    second = {};
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: a slot comes back to whoever sent it", "[chain]") {
    transfer pair;
    const bool sender_keeps = GENERATE(false, true);
    slice kept = make_slice(pair.here, 64, 1);
    slice got = pair.receive(pair.describe(kept));
    if (!sender_keeps) {
        kept = {};
    }
    const auto where = slice_transfer::describe(pair.theirs, got);
    REQUIRE(where.has_value());
    auto back = slice_transfer::receive(pair.ours, *where, pair.them);
    REQUIRE(back.how == arrival::here);
    CHECK(std::vector(back.what.bytes().begin(), back.what.bytes().end()) == pattern(64, 1));
    got = {};
    kept = {};
    CHECK_FALSE(pair.all_free());
    back.what = {};
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: the only slice of a slot is handed over", "[chain]") {
    transfer pair;
    slice sent = make_slice(pair.here, 64, 1);
    descriptor where = pair.describe(sent);
    {
        const slice copy = sent;
        CHECK_FALSE(slice_transfer::hand_over(pair.ours, sent));
    }
    {
        const slice elsewhere = pair.receive(where);
        CHECK_FALSE(slice_transfer::hand_over(pair.ours, sent));
    }
    CHECK(is_pattern(sent.bytes(), 1));
    REQUIRE(slice_transfer::hand_over(pair.ours, sent));
    CHECK(sent.empty());
    CHECK_FALSE(pair.all_free());
    where.handed_over = true;
    slice got = pair.receive(where);
    CHECK(is_pattern(got.bytes(), 1));
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::here);  // a copy
    got = {};
    CHECK(pair.all_free());
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    slice_transfer::recall(pair.ours, where);  // too late: nothing happens
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: what is handed over leaves its sender, who had sent it before as a copy",
          "[chain]") {
    // One thread of the receiver is slow with the copy, which the sender takes back meanwhile.
    transfer pair;
    slice sent = make_slice(pair.here, 64, 1);
    const descriptor taken_back = pair.describe(sent);
    descriptor handed_over = taken_back;
    handed_over.handed_over = true;
    REQUIRE(slice_transfer::hand_over(pair.ours, sent));
    slice late = pair.receive(taken_back);
    slice got = pair.receive(handed_over);
    late = {};
    CHECK(is_pattern(got.bytes(), 1));
    CHECK_FALSE(pair.all_free());
    got = {};
    CHECK(pair.all_free());
    slice_transfer::recall(pair.ours, handed_over);  // too late: nothing happens
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: what was handed over can be recalled until it was received", "[chain]") {
    auto options = lending_options(4, 1);
    partners<> pair{options};
    pool_core& ours = pool_sharing::core_of(pair.here);
    const bool lent = GENERATE(false, true);
    slice sent = make_slice(pair.here, 64, 1);
    if (lent) {
        REQUIRE(sent.lend());
    }
    auto where = slice_transfer::describe(ours, sent);
    REQUIRE(slice_transfer::hand_over(ours, sent));
    where->handed_over = true;
    slice_transfer::recall(ours, *where);
    CHECK(zcpool::ipc::audit(pair.here).classes[0].resting == (lent ? 1 : 0));
    CHECK(slice_transfer::receive(pool_sharing::core_of(pair.there.view()), *where,
                                  pool_sharing::seat(ours).bit())
              .how == arrival::lost);
    CHECK(pair.here.renew_resting(9) == (lent ? 1U : 0U));
    CHECK(pair.all_free());
    CHECK(slots_in_use(pair.here) == 0);
}

TEST_CASE("slice_transfer: what its sender does not hold any more is lost", "[chain]") {
    transfer pair;
    slice sent = make_slice(pair.here, 64, 1);
    const auto where = pair.describe(sent);
    CHECK(slice_transfer::receive(pair.theirs, where, pair.them).how == arrival::lost);
    sent = {};
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    // The slot has another owner, and another content.
    slice next = make_slice(pair.here, 64, 2);
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    slice held = pair.receive(pair.describe(next));
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    next = {};
    CHECK(std::vector(held.bytes().begin(), held.bytes().end()) == pattern(64, 2));
    held = {};
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: a buffer that is still written cannot be had", "[chain]") {
    transfer pair;
    zcpool::buffer owned = pair.here.try_acquire(64);
    owned.commit(64);
    const descriptor where{0, 0, 0, 0, 64};
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    slice frozen = std::move(owned).freeze();
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::lost);
    CHECK(pair.describe(frozen) == where);
    CHECK(slice_transfer::receive(pair.theirs, where, pair.us).how == arrival::here);
}

TEST_CASE("slice_transfer: numbers that no slot has are refused", "[chain]") {
    transfer pair;
    const slice sent = make_slice(pair.here, 4096, 1);
    const descriptor good = pair.describe(sent);
    const auto with = [&](auto change) {
        descriptor bad = good;
        change(bad);
        return slice_transfer::receive(pair.theirs, bad, pair.us).how;
    };
    CHECK(with([](descriptor& d) { d.size_class = 2; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.slot = 8; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.length = 0; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.length = 4097; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.offset = 1; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.offset = 4097, d.length = 1; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.offset = UINT32_MAX, d.length = 2; }) == arrival::corrupt);
    CHECK(with([](descriptor& d) { d.generation ^= 1; }) == arrival::lost);
    CHECK(with([](descriptor& d) { d.offset = 4095, d.length = 1; }) == arrival::here);
}

TEST_CASE("slice_transfer: only a slice of this pool can be described", "[chain]") {
    transfer pair;
    const auto other = make_pool({.slots = {1, 1}});
    const auto foreign = slice::adopt(std::vector<std::byte>(10));
    CHECK(slice_transfer::describe(pair.ours, slice{}).error() == errc::foreign_slice);
    CHECK(slice_transfer::describe(pair.ours, *foreign).error() == errc::foreign_slice);
    CHECK(slice_transfer::describe(pair.ours, make_slice(other, 1, 1)).error() ==
          errc::foreign_slice);
    const slice one = make_slice(pair.here, 10, 1);
    CHECK(slice_transfer::describe(pair.ours, one.subslice(10)).error() == errc::foreign_slice);
}

TEST_CASE("slice_transfer: a lent slot gets new pages when the last process lets go", "[chain]") {
    auto options = lending_options(2, 2);
    partners<> pair{options};
    pool_core& ours = pool_sharing::core_of(pair.here);
    pool_core& theirs = pool_sharing::core_of(pair.there.view());
    slice sent = make_slice(pair.here, 64, 1);
    auto got = slice_transfer::receive(theirs, *slice_transfer::describe(ours, sent),
                                       pool_sharing::seat(ours).bit());
    REQUIRE(got.how == arrival::here);
    REQUIRE(got.what.lend());
    sent = {};
    got.what = {};
    CHECK(zcpool::ipc::audit(pair.here).classes[0].resting == 1);
    CHECK(pair.here.renew_resting(9) == 1);
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: threads that receive and release one slot at the same time", "[chain]") {
    transfer pair;
    const auto rounds = zcpool_test::scaled(20'000);
    slice sent = make_slice(pair.here, 64, 1);
    const descriptor where = pair.describe(sent);
    std::atomic<long> wrong{0};
    const auto work = [&] {
        for (long n = 0; n < rounds; ++n) {
            auto got = slice_transfer::receive(pair.theirs, where, pair.us);
            while (got.how == arrival::later) {
                std::this_thread::yield();
                got = slice_transfer::receive(pair.theirs, where, pair.us);
            }
            wrong += got.how == arrival::here ? 0 : 1;
        }
    };
    std::thread other{work};
    work();
    other.join();
    CHECK(wrong.load() == 0);
    sent = {};
    CHECK(pair.all_free());
    CHECK(slots_in_use(pair.here) == 0);
}

TEST_CASE("slice_transfer: in a pool that zeroes, whoever lets go last does it", "[chain]") {
    partners<> pair{zeroing_options(1, 1)};
    pool_core& ours = pool_sharing::core_of(pair.here);
    pool_core& theirs = pool_sharing::core_of(pair.there.view());
    const auto us = pool_sharing::seat(ours).bit();
    CHECK(pair.there.view().report().zeroing == zcpool::zeroing::on_release);
    zcpool::buffer held = pair.here.try_acquire(1);
    spoil(held, 64);
    slice sent = std::move(held).freeze();
    descriptor where = slice_transfer::describe(ours, sent).value();
    SECTION("the receiver") {
        slice got = slice_transfer::receive(theirs, where, us).what;
        sent = {};
        CHECK(got.bytes()[63] == std::byte{0x5A});
    }
    SECTION("the sender") {
        slice got = slice_transfer::receive(theirs, where, us).what;
        got = {};
        CHECK(sent.bytes()[63] == std::byte{0x5A});
        sent = {};
        CHECK(slice_transfer::receive(theirs, where, us).how == arrival::lost);
    }
    SECTION("the receiver of what was handed over") {
        REQUIRE(slice_transfer::hand_over(ours, sent));
        where.handed_over = true;
        CHECK(slice_transfer::receive(theirs, where, us).what.bytes()[63] == std::byte{0x5A});
    }
    SECTION("who recalls what was handed over") {
        REQUIRE(slice_transfer::hand_over(ours, sent));
        slice_transfer::recall(ours, where);
    }
    SECTION("who renews what was lent, here and there") {
        REQUIRE(sent.lend());
        slice got = slice_transfer::receive(theirs, where, us).what;
        sent = {};
        REQUIRE(got.lend());
    }
    SECTION("who renews what a reader may be sending") {
        REQUIRE(slice_transfer::detach_later(sent));
    }
    sent = {};
    CHECK(is_zero(pair.there.view().try_acquire(1)));
    CHECK(pair.all_free());
}

TEST_CASE("slice_transfer: of two processes that let go at once, one zeroes the slot",
          "[chain][.stress]") {
    partners<> pair{zeroing_options(1, 1)};
    const zcpool::pool_view views[] = {pair.here, pair.there.view()};
    for (long round = 0; round < scaled(5'000); ++round) {
        pool_core& from = pool_sharing::core_of(views[round % 2]);
        pool_core& to = pool_sharing::core_of(views[(round + 1) % 2]);
        zcpool::buffer held = views[round % 2].acquire_for(1, std::chrono::seconds{20}).value();
        spoil(held);
        slice sent = std::move(held).freeze();
        const descriptor where = slice_transfer::describe(from, sent).value();
        slice got = slice_transfer::receive(to, where, pool_sharing::seat(from).bit()).what;
        REQUIRE_FALSE(got.empty());
        std::thread other{[&got] { got = {}; }};
        sent = {};
        other.join();
    }
    CHECK(is_zero(views[0].try_acquire(1)));
}

}  // namespace
