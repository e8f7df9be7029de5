// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <zcpool/ipc/channel_options.hpp>

namespace {

TEST_CASE("channel_options: by default it waits, and loses nothing", "[ipc]") {
    const zcpool::ipc::channel_options options;
    CHECK(options.when_full == zcpool::ipc::back_pressure::wait);
    CHECK(options.wakes_by == zcpool::ipc::wake_by::futex);
    CHECK(options.capacity > 0);
    CHECK(options.capacity <= zcpool::ipc::max_channel_capacity);
}

}  // namespace
