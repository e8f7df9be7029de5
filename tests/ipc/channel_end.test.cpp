// SPDX-License-Identifier: MIT
#include <utility>

#include <support/partners.hpp>
#include <zcpool/ipc/channel_end.hpp>

namespace {

using namespace zcpool_test;
using zcpool::ipc::channel_end;
using zcpool::ipc::channel_memory;
using zcpool::ipc::channel_role;

struct ends : partners<> {
    zcpool::pool_core& core = zcpool::pool_sharing::core_of(here);
    channel_memory memory = channel_memory::create({.capacity = 2, .pool = {}}).value();
    channel_memory same() {
        zcpool::ipc::channel_table table;
        return channel_memory::adopt(zcpool::sys::unique_fd{::dup(memory.fd())}, {}, table).value();
    }
    channel_end sender{channel_role::sender, core, same(), {}, {}};
    channel_end receiver{channel_role::receiver, core, same(), {}, {}};
};

TEST_CASE("channel_end: each end sees that the other has closed", "[ipc]") {
    ends both;
    CHECK_FALSE(both.receiver.sender_has_closed());
    CHECK_FALSE(both.sender.receiver_has_closed());
    both.sender.close();
    CHECK(both.receiver.sender_has_closed());
    CHECK_FALSE(both.sender.receiver_has_closed());
    {
        const channel_end gone = std::move(both.receiver);
    }
    CHECK(both.sender.receiver_has_closed());
    CHECK_FALSE(both.receiver.is_usable());
    both.receiver.close();  // of no channel any more
}

TEST_CASE("channel_end: who receives is known once it has said so", "[ipc]") {
    ends both;
    CHECK_FALSE(both.sender.receiver());
    const auto seat = zcpool::pool_sharing::seat(zcpool::pool_sharing::core_of(both.there.view()));
    both.receiver.set_receiver(seat);
    REQUIRE(both.sender.receiver());
    CHECK(both.sender.receiver()->index == seat.index);
    CHECK(both.sender.receiver()->status == seat.status);
    both.receiver.header().receiver_place.store(31, zcpool::memory_order_relaxed);
    CHECK_FALSE(both.sender.receiver());
}

}  // namespace
