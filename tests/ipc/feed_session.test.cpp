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

TEST_CASE("feed_session: a reader that is faster with the oldest loses the next one", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    auto pair = blocking_unix_pair();
    auto& core = zcpool::pool_sharing::core_of(pool);
    auto session = feed_session::create(
        core, pair.ours.get(), {.capacity = 4, .frames = 4, .data_bytes = core.memory().size()});
    REQUIRE(session.has_value());
    const auto data = core.memory().file().reopen_read_only();
    REQUIRE((*session)->send_files(data->get()).has_value());
    auto reader = open_reader(pair.peer.get());
    for (std::uint64_t i = 0; i < 4; ++i) {
        REQUIRE((*session)->send(make_slice(pool, 64, i)).has_value());
    }
    const auto first = reader.try_receive();
    CHECK(shows_frame(first, 0));
    SECTION("one is dropped") {
        CHECK((*session)->drop_oldest());
        CHECK(shows_frame(reader.try_receive(), 2));
        CHECK(shows_frame(reader.try_receive(), 3));
        CHECK_FALSE((*session)->drop_oldest());
    }
    SECTION("all that is unread is taken back at the end") {
        (*session)->close();
        CHECK(reader.try_receive().empty());
        CHECK((*session)->outstanding() == 1);
    }
}

}  // namespace
