// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/ring/index_ring.hpp>

namespace {

using namespace zcpool;

static_assert(hint_ring<index_ring>);
struct pop_only {
    std::uint32_t pop() noexcept { return no_index; }
};
static_assert(!hint_ring<pop_only>);

/// A ring with memory of its own.
struct owned_index_ring {
    explicit owned_index_ring(std::uint32_t capacity)
        : cells(index_ring::cells_for(capacity)), ring(counters, cells) {}
    index_ring::counters counters;
    std::vector<index_ring::cell> cells;
    index_ring ring;
};

TEST_CASE("index_ring: pop on an empty ring returns nothing", "[ring]") {
    owned_index_ring owned{4};
    CHECK(owned.ring.pop() == no_index);
    CHECK(owned.ring.pop() == no_index);
    CHECK(owned.ring.push(3));
    CHECK(owned.ring.pop() == 3);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: indices come out in order of arrival, over many laps", "[ring]") {
    owned_index_ring owned{5};
    CHECK(owned.ring.capacity() == 8);
    std::uint32_t in = 0;
    std::uint32_t out = 0;
    for (int lap = 0; lap < 100; ++lap) {
        for (int i = 0; i < 7; ++i) {
            REQUIRE(owned.ring.push(in++));
        }
        for (int i = 0; i < 7; ++i) {
            REQUIRE(owned.ring.pop() == out++);
        }
    }
}

TEST_CASE("index_ring: a full ring refuses and keeps what it has", "[ring]") {
    owned_index_ring owned{2};
    CHECK(owned.ring.push(0));
    CHECK(owned.ring.push(1));
    CHECK_FALSE(owned.ring.push(2));
    CHECK(owned.ring.pop() == 0);
    CHECK(owned.ring.push(2));
    CHECK(owned.ring.pop() == 1);
    CHECK(owned.ring.pop() == 2);
}

TEST_CASE("index_ring: a writer that died after winning its position stops nobody", "[ring]") {
    owned_index_ring owned{4};
    owned.counters.tail.fetch_add(1, std::memory_order_relaxed);  // won, never written
    CHECK(owned.ring.push(7));
    CHECK(owned.ring.pop() == 7);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: a reader that died after winning its position stops nobody", "[ring]") {
    owned_index_ring owned{2};
    CHECK(owned.ring.push(5));
    CHECK(owned.ring.push(6));
    owned.counters.head.fetch_add(1, std::memory_order_relaxed);  // won, never taken
    CHECK(owned.ring.pop() == 6);
    CHECK(owned.ring.pop() == no_index);
    CHECK(owned.ring.push(7));  // finds the 5 in its cell, and takes the next one
    CHECK(owned.ring.pop() == 5);
    CHECK(owned.ring.pop() == 7);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: counters near their end wrap without harm", "[ring]") {
    owned_index_ring owned{4};
    const auto near = ~std::uint64_t{0} - 5;
    owned.counters.head.store(near, std::memory_order_relaxed);
    owned.counters.tail.store(near, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < 64; ++i) {
        REQUIRE(owned.ring.push(i));
        REQUIRE(owned.ring.pop() == i);
    }
}

TEST_CASE("index_ring: a scribbled tail costs a lap, not an age", "[ring]") {
    owned_index_ring owned{4};
    REQUIRE(owned.ring.push(3));
    owned.counters.tail.fetch_add(std::uint64_t{1} << 62, std::memory_order_relaxed);
    CHECK(owned.ring.pop() == 3);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: a head that was scribbled ahead of the tail is an empty ring", "[ring]") {
    owned_index_ring owned{4};
    for (auto& cell : owned.cells) {
        cell.store(9, std::memory_order_relaxed);
    }
    owned.counters.head.store(std::uint64_t{1} << 40, std::memory_order_relaxed);
    CHECK(owned.ring.pop() == no_index);
    CHECK(owned.counters.tail.load(std::memory_order_relaxed) == std::uint64_t{1} << 40);
}

TEST_CASE("index_ring: a known tail that was scribbled costs a few positions", "[ring]") {
    owned_index_ring owned{4};
    owned.counters.known_tail.store(std::uint64_t{1} << 40, std::memory_order_relaxed);
    CHECK(owned.ring.pop() == no_index);
    CHECK(owned.counters.head.load(std::memory_order_relaxed) == 1);
    CHECK(owned.ring.push(3));
    CHECK(owned.ring.pop() == 3);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: cells that were scribbled to be of a later lap end a push", "[ring]") {
    owned_index_ring owned{4};
    for (auto& cell : owned.cells) {
        cell.store(std::uint64_t{1} << 62, std::memory_order_relaxed);
    }
    CHECK_FALSE(owned.ring.push(1));
    CHECK(owned.ring.pop() == no_index);  // a reader puts them right
    CHECK(owned.ring.push(1));
    CHECK(owned.ring.pop() == 1);
}

TEST_CASE("index_ring: a writer whose reader went by takes another position", "[ring]") {
    owned_index_ring owned{4};
    // Two readers saw the same last index; the slower one wins a position beyond the tail.
    REQUIRE(owned.ring.push(1));
    REQUIRE(owned.ring.pop() == 1);
    owned.counters.head.fetch_add(1, std::memory_order_relaxed);
    owned.cells[1].store(std::uint64_t{1} << 32, std::memory_order_relaxed);
    CHECK(owned.ring.push(7));
    CHECK(owned.counters.tail.load(std::memory_order_relaxed) == 3);
    CHECK(owned.ring.pop() == 7);
    CHECK(owned.ring.pop() == no_index);
}

TEST_CASE("index_ring: neighbours lie on different cache lines, and each in a cell of its own",
          "[ring]") {
    owned_index_ring owned{1024};
    std::size_t last = 0;
    for (std::uint32_t i = 0; i < 1024; ++i) {
        REQUIRE(owned.ring.push(i));
        std::size_t place = 0;
        while (place < 1024 && static_cast<std::uint32_t>(
                                   owned.cells[place].load(std::memory_order_relaxed)) != i + 1) {
            ++place;
        }
        REQUIRE(place < 1024);
        REQUIRE((i == 0 || place / 8 != last / 8));
        last = place;
    }
    CHECK_FALSE(owned.ring.push(1024));
}

TEST_CASE("index_ring: what one thread hands to another arrives, none is left behind",
          "[ring][.stress]") {
    owned_index_ring owned{64};
    constexpr std::uint32_t count = 200'000;
    std::atomic<std::uint32_t> taken{0};
    std::thread writer{[&] {
        for (std::uint32_t i = 0; i < count; ++i) {
            while (i - taken.load(std::memory_order_acquire) >= 32 || !owned.ring.push(i)) {
                std::this_thread::yield();
            }
        }
    }};
    bool in_order = true;
    for (std::uint32_t i = 0; i < count; ++i) {
        std::uint32_t index = no_index;
        while ((index = owned.ring.pop()) == no_index) {
            std::this_thread::yield();
        }
        in_order &= index == i;
        taken.store(i + 1, std::memory_order_release);
    }
    writer.join();
    CHECK(in_order);
}

TEST_CASE("index_ring: threads make no index up and hold none twice", "[ring][.stress]") {
    constexpr std::uint32_t slots = 8;
    owned_index_ring owned{
        64};  // more cells than indices and threads: a lap never catches up with itself
    for (std::uint32_t i = 0; i < slots; ++i) {
        REQUIRE(owned.ring.push(i));
    }
    std::vector<std::atomic<int>> holders(slots);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int round = 0; round < 100'000; ++round) {
                const auto index = owned.ring.pop();
                if (index == no_index) {
                    continue;
                }
                wrong += index >= slots || holders[index].fetch_add(1) != 0 ? 1 : 0;
                holders[index].fetch_sub(1);
                wrong += owned.ring.push(index) ? 0 : 1;
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(wrong == 0);
    std::uint32_t left = 0;
    while (owned.ring.pop() != no_index) {
        ++left;
    }
    for (const auto& cell : owned.cells) {  // what a reader that was stopped for a lap let pass
        left += static_cast<std::uint32_t>(cell.load(std::memory_order_relaxed)) != 0 ? 1 : 0;
    }
    CHECK(left == slots);  // without a death no hint is lost
}

}  // namespace
