// SPDX-License-Identifier: MIT
#include <utility>

#include <support/partners.hpp>
#include <zcpool/ipc/sent_slices.hpp>

namespace {

using namespace zcpool_test;
using zcpool::slice_transfer;
using zcpool::ipc::sent_slices;

TEST_CASE("sent_slices: keeps what was shared until it was taken", "[ipc]") {
    partners<> pair;
    auto sent = sent_slices::create(4);
    REQUIRE(sent.has_value());
    for (std::uint64_t i = 0; i < 4; ++i) {
        sent->put(i, make_slice(pair.here, 64, i), {});
    }
    CHECK(slots_in_use(pair.here) == 4);
    CHECK(sent->keeps());
    sent->release(2);
    CHECK(sent->released() == 2);
    CHECK(slots_in_use(pair.here) == 2);
    sent->put(4, make_slice(pair.here, 64, 9), {});
    sent->release(4);
    CHECK(sent->keeps());
    sent->recall(zcpool::pool_sharing::core_of(pair.here));
    CHECK_FALSE(sent->keeps());
    CHECK(pair.all_free());
}

TEST_CASE("sent_slices: takes back what was handed over and not received", "[ipc]") {
    partners<> pair;
    auto& ours = zcpool::pool_sharing::core_of(pair.here);
    auto sent = sent_slices::create(2);
    for (std::uint64_t i = 0; i < 2; ++i) {
        auto frame = make_slice(pair.here, 64, i);
        auto where = slice_transfer::describe(ours, frame);
        REQUIRE(slice_transfer::hand_over(ours, frame));
        where->handed_over = true;
        sent->put(i, {}, *where);
    }
    CHECK_FALSE(sent->keeps());
    sent->release(1);  // the receiver has it: it is not ours to free
    CHECK(slots_in_use(pair.here) == 2);
    sent->recall(ours);
    CHECK(sent->released() == 2);
    CHECK(slots_in_use(pair.here) == 1);
}

}  // namespace
