// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <support/feeds.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/feed_view.hpp>

namespace {

using namespace zcpool_test;
using zcpool::slice;
using zcpool::ipc::feed_frame;
using zcpool::ipc::feed_memory;
using zcpool::ipc::feed_view;

struct view {
    view() {
        auto file = zcpool::sys::memfd::create("data", 8192);
        auto data = zcpool::sys::mapping::shared(file->fd(), 8192);
        zcpool::ipc::feed_table table;
        table.capacity = 2;
        table.frames = 2;
        made = feed_view::create(std::move(*data), feed_memory::create(table).value(), {}).value();
    }
    [[nodiscard]] std::uint32_t receipt(std::size_t ticket) const {
        return made->memory().receipts()[ticket].load(zcpool::memory_order_relaxed);
    }
    feed_view* made = nullptr;
};

TEST_CASE("feed_view: a slice gives its ticket back, in the use that it was of", "[ipc]") {
    view of;
    slice got = of.made->borrow({0, 8192, 1, 7});
    CHECK(got.size() == 8192);
    slice copy = got;
    got = {};
    CHECK(of.receipt(1) == 0);
    copy = {};
    CHECK(of.receipt(1) == feed_frame::receipt(7));
    CHECK(of.receipt(0) == 0);
    of.made->drop();
}

TEST_CASE("feed_view: numbers that cannot be give nothing", "[ipc]") {
    view of;
    CHECK(of.made->borrow({0, 8193, 0, 1}).empty());
    CHECK(of.made->borrow({1, 8192, 0, 1}).empty());
    CHECK(of.made->borrow({8192, 1, 0, 1}).empty());
    CHECK(of.made->borrow({~std::uint64_t{0}, 2, 0, 1}).empty());
    CHECK(of.made->borrow({0, 0, 0, 1}).empty());
    CHECK(of.made->borrow({0, 1, 2, 1}).empty());
    const slice one = of.made->borrow({8191, 1, 0, 1});
    CHECK(one.size() == 1);
    CHECK(of.made->borrow({0, 1, 0, 2}).empty());  // the ticket is out
    of.made->drop();
    CHECK(one.bytes()[0] == std::byte{0});  // the memory stays for the last slice
}

TEST_CASE("feed_view: slices are released by any thread", "[ipc]") {
    feed_pair pair{{.frames = 2, .capacity = 2}};
    const auto count = static_cast<std::uint64_t>(scaled(2'000));
    std::atomic<std::uint64_t> wrong{0};
    std::thread reader{[&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            auto got = pair.in.receive();
            if (!got || !shows_frame(*got, i % 8)) {
                ++wrong;
            }
            std::thread{[last = std::move(*got)]() mutable { last = {}; }}.join();
        }
    }};
    for (std::uint64_t i = 0; i < count;) {
        if (pair.out.try_send(pair.frame(i % 8))) {
            ++i;
        } else {
            std::this_thread::yield();
        }
    }
    reader.join();
    CHECK(wrong.load() == 0);
    REQUIRE(pair.out.reclaim().has_value());
    CHECK(slots_in_use(pair.pool) == 0);
}

}  // namespace
