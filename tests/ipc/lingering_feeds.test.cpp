// SPDX-License-Identifier: MIT
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <support/feeds.hpp>
#include <zcpool/ipc/lingering_feeds.hpp>

namespace {

using namespace zcpool_test;
using zcpool::slice;
using zcpool::ipc::lingering_feeds;

TEST_CASE("lingering_feeds: each is let go when its reader has given everything back", "[ipc]") {
    auto& list = lingering_feeds::common();
    REQUIRE(list.poll() == 0);
    const auto pool = make_pool({.slots = {8, 1}});
    std::vector<zcpool::ipc::feed_reader> readers;
    std::vector<slice> held;
    for (std::uint64_t i = 0; i < 3; ++i) {
        const auto pair = blocking_unix_pair();
        auto out = open_feed(pair.ours.get(), pool, {});
        readers.push_back(open_reader(pair.peer.get()));
        REQUIRE(out.send(make_slice(pool, 64, i)).has_value());
        held.push_back(readers.back().try_receive());
    }
    CHECK(list.poll() == 3);
    CHECK(slots_in_use(pool) == 3);
    held[1] = {};
    CHECK(list.poll() == 2);
    CHECK(slots_in_use(pool) == 2);
    CHECK(shows_frame(held[0], 0));
    CHECK(shows_frame(held[2], 2));
    held.clear();
    CHECK(list.poll() == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("lingering_feeds: and when its reader is gone", "[ipc]") {
    auto& list = lingering_feeds::common();
    const auto pool = make_pool({.slots = {8, 1}});
    const auto memory = [&] {
        auto pair = blocking_unix_pair();
        std::array<std::byte, 8> text{};
        std::array<unique_fd, 3> fds;
        auto out = open_feed(pair.ours.get(), pool, {.frames = 2, .capacity = 2});
        REQUIRE(zcpool::sys::receive_fds(pair.peer.get(), text, fds).has_value());
        auto hostile = zcpool::ipc::feed_memory::adopt(std::move(fds[1]));
        REQUIRE(out.send(make_slice(pool, 64, 1)).has_value());
        // Taken, and never given back.
        hostile->header().taken.store(1, zcpool::memory_order_relaxed);
        {
            const auto ends = std::move(out);
        }
        CHECK(list.poll() == 1);
        CHECK(slots_in_use(pool) == 1);
        return hostile;
    }();
    CHECK(list.poll() == 0);
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
