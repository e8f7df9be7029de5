// SPDX-License-Identifier: MIT
#include <support/feeds.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/ipc/feed_session.hpp>

namespace {

using namespace zcpool_test;
using zcpool::ipc::feed_session;

TEST_CASE("feed_session: keeps the pool, and what it closes with is taken back", "[ipc]") {
    const auto pair = blocking_unix_pair();
    zcpool::unique_object<feed_session> session;
    {
        const auto pool = make_pool({.slots = {4, 1}});
        auto& core = zcpool::pool_sharing::core_of(pool);
        auto made =
            feed_session::create(core, pair.ours.get(),
                                 {.capacity = 2, .frames = 2, .data_bytes = core.memory().size()});
        REQUIRE(made.has_value());
        session = std::move(*made);
        REQUIRE(session->send(make_slice(pool, 10, 1)).has_value());
        REQUIRE(session->send(make_slice(pool, 10, 2)).has_value());
        CHECK(session->send(make_slice(pool, 10, 3)).error() == zcpool::errc::full);
        CHECK(session->drop_oldest());
        CHECK(session->outstanding() == 1);
        CHECK(slots_in_use(pool) == 1);
    }
    CHECK(session->outstanding() == 1);
    session->close();
    CHECK(session->outstanding() == 0);
    CHECK_FALSE(session->drop_oldest());
    CHECK_FALSE(session->is_reader_gone());
}

}  // namespace
