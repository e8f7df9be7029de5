// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <utility>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/channel_memory.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::channel_memory;
using zcpool::ipc::channel_table;
using zcpool::sys::unique_fd;

constexpr zcpool::ipc::file_identity some_pool{1, 2};

channel_table good() { return {.capacity = 8, .sender_place = 3, .pool = some_pool}; }

TEST_CASE("channel_memory: both ends see the same table, positions and cells", "[ipc]") {
    const auto made = channel_memory::create(good());
    REQUIRE(made.has_value());
    channel_table table;
    const auto adopted = channel_memory::adopt(unique_fd{::dup(made->fd())}, some_pool, table);
    REQUIRE(adopted.has_value());
    CHECK(table.capacity == 8);
    CHECK(table.sender_place == 3);
    zcpool::spsc_producer in{made->ring()};
    zcpool::spsc_consumer out{adopted->ring()};
    for (std::uint64_t i = 0; i < 8; ++i) {
        REQUIRE(in.try_push({i, ~i}));
    }
    CHECK_FALSE(in.try_push({}));
    for (std::uint64_t i = 0; i < 8; ++i) {
        CHECK(out.peek() == zcpool::ring_message{i, ~i});
        CHECK(out.pop());
    }
    REQUIRE(in.refresh());
    CHECK(in.was_taken() == 8);
}

TEST_CASE("channel_memory: the largest fits its file", "[ipc]") {
    channel_table table = good();
    table.capacity = zcpool::ipc::max_channel_capacity;
    const auto made = channel_memory::create(table);
    REQUIRE(made.has_value());
    zcpool::spsc_producer in{made->ring()};
    for (std::uint64_t i = 0; i < table.capacity; ++i) {
        REQUIRE(in.try_push({i, i}));
    }
}

TEST_CASE("channel_memory: what is no channel of this pool is refused by name", "[ipc]") {
    const held before;
    const auto refused = [](channel_table written, std::uint32_t file_for = 0) {
        const std::uint32_t asked = written.capacity;
        written.capacity = file_for != 0 ? file_for : asked;
        const auto made = channel_memory::create(written);
        REQUIRE(made.has_value());
        made->header().table.capacity = asked;
        channel_table table;
        const auto got = channel_memory::adopt(unique_fd{::dup(made->fd())}, some_pool, table);
        return got ? std::error_code{} : got.error();
    };
    const auto with = [](auto change) {
        channel_table table = good();
        change(table);
        return table;
    };
    CHECK_FALSE(refused(good()));
    CHECK(refused(with([](channel_table& t) { t.magic ^= 1; })) == errc::not_a_pool);
    CHECK(refused(with([](channel_table& t) { ++t.version; })) == errc::wrong_version);
    CHECK(refused(with([](channel_table& t) { t.wakes_by = 2; })) == errc::not_a_pool);
    CHECK(refused(with([](channel_table& t) { t.sender_place = 31; })) == errc::not_a_pool);
    CHECK(refused(with([](channel_table& t) { t.pool.inode = 9; })) == errc::not_a_pool);
    CHECK(refused(with([](channel_table& t) { t.pool.device = 9; })) == errc::not_a_pool);
    for (const std::uint32_t capacity : {0U, 3U, 7U, 1U << 16, ~0U}) {
        CHECK(refused(with([&](channel_table& t) { t.capacity = capacity; }), 8) ==
              errc::not_a_pool);
    }
    CHECK(refused(with([](channel_table& t) { t.capacity = 1024; }), 8) == errc::not_a_pool);
    CHECK(refused(with([](channel_table& t) { t.capacity = 8; }), 1024) == errc::not_a_pool);

    channel_table table;
    CHECK(channel_memory::adopt(unique_fd{}, some_pool, table).error().value() == EBADF);
    {
        auto unsealed = zcpool::sys::memfd::create("unsealed", channel_memory::bytes_for(8));
        CHECK(channel_memory::adopt(unique_fd{::dup(unsealed->fd())}, some_pool, table).error() ==
              errc::not_sealed);
    }
    CHECK(before == held{});
}

}  // namespace
