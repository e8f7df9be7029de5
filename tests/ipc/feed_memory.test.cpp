// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include <support/forgery.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/feed_memory.hpp>

namespace {

using namespace zcpool_test;
using zcpool::errc;
using zcpool::ipc::feed_frame;
using zcpool::ipc::feed_memory;
using zcpool::ipc::feed_table;
using zcpool::sys::unique_fd;

constexpr feed_table good() {
    feed_table table;
    table.capacity = 4;
    table.frames = 3;
    table.data_bytes = 4096;
    return table;
}

TEST_CASE("feed_memory: a frame keeps its numbers in a message", "[ipc]") {
    const feed_frame largest{(std::uint64_t{1} << 51) - 1, UINT32_MAX, UINT16_MAX, UINT16_MAX};
    for (const feed_frame& each : {feed_frame{}, largest, feed_frame{largest.offset, 0, 0, 0},
                                   feed_frame{0, UINT32_MAX, 0, 0}, feed_frame{0, 0, UINT16_MAX, 0},
                                   feed_frame{0, 0, 0, UINT16_MAX}}) {
        CHECK(feed_frame::of(each.to_message()) == each);
    }
    CHECK(feed_frame::receipt(0) != 0);
    CHECK(feed_frame::receipt(1) != feed_frame::receipt(0));
}

TEST_CASE("feed_memory: both see the same ring and receipts, which do not overlap", "[ipc]") {
    feed_table table = good();
    table.capacity = GENERATE(1U, 4U, 4096U);
    table.frames = GENERATE(1U, 4096U);
    const auto made = feed_memory::create(table);
    REQUIRE(made.has_value());
    const auto adopted = feed_memory::adopt(unique_fd{::dup(made->fd())});
    REQUIRE(adopted.has_value());
    CHECK(adopted->table().frames == table.frames);
    zcpool::spsc_producer in{made->ring()};
    for (std::uint64_t i = 0; i < table.capacity; ++i) {
        REQUIRE(in.try_push({i, ~i}));
    }
    for (auto& each : made->receipts()) {
        each.store(7, zcpool::memory_order_relaxed);
    }
    zcpool::spsc_consumer out{adopted->ring()};
    for (std::uint64_t i = 0; i < table.capacity; ++i) {
        REQUIRE(out.peek() == zcpool::ring_message{i, ~i});
        REQUIRE(out.pop());
    }
    CHECK(adopted->receipts().size() == table.frames);
    CHECK(adopted->receipts()[table.frames - 1].load(zcpool::memory_order_relaxed) == 7);
    const auto* const end =
        reinterpret_cast<const std::byte*>(&adopted->receipts()[table.frames - 1] + 1);
    CHECK(end <=
          reinterpret_cast<const std::byte*>(&adopted->header()) + feed_memory::bytes_for(table));
}

TEST_CASE("feed_memory: what is no feed is refused by name", "[ipc]") {
    const held before;
    const auto refused = [](auto change) {
        const auto made = feed_memory::create(good());
        REQUIRE(made.has_value());
        change(made->header().table);
        const auto got = feed_memory::adopt(unique_fd{::dup(made->fd())});
        return got ? std::error_code{} : got.error();
    };
    CHECK_FALSE(refused([](feed_table&) {}));
    CHECK(refused([](feed_table& t) { t.magic ^= 1; }) == errc::not_a_pool);
    CHECK(refused([](feed_table& t) { ++t.version; }) == errc::wrong_version);
    CHECK(refused([](feed_table& t) { t.wakes_by = 2; }) == errc::not_a_pool);
    for (const std::uint32_t capacity : {0U, 3U, 8192U, ~0U}) {
        CHECK(refused([&](feed_table& t) { t.capacity = capacity; }) == errc::not_a_pool);
    }
    for (const std::uint32_t frames : {0U, 4097U, ~0U}) {
        CHECK(refused([&](feed_table& t) { t.frames = frames; }) == errc::not_a_pool);
    }
    CHECK(refused([](feed_table& t) { t.frames = 4096; }) == errc::not_a_pool);  // the size
    CHECK(feed_memory::adopt(unique_fd{}).error().value() == EBADF);
    {
        const auto made = feed_memory::create(good());
        CHECK(feed_memory::adopt(reopen(unique_fd{::dup(made->fd())}, O_RDONLY)).error() ==
              errc::wrong_access);
        auto unsealed = zcpool::sys::memfd::create("unsealed", feed_memory::bytes_for(good()));
        CHECK(feed_memory::adopt(unique_fd{::dup(unsealed->fd())}).error() == errc::not_sealed);
    }
    CHECK(before == held{});
}

}  // namespace
