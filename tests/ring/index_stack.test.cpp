// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <zcpool/ring/index_stack.hpp>

namespace {

using namespace zcpool;

/// A stack with memory of its own.
struct owned_stack {
    explicit owned_stack(std::uint32_t capacity) : links(capacity), stack(top, links) {}
    index_stack::top_word top;
    std::vector<index_stack::link> links;
    index_stack stack;
};

TEST_CASE("index_stack: what was pushed last comes out first", "[ring]") {
    owned_stack owned{3};
    CHECK(owned.stack.capacity() == 3);
    CHECK(owned.stack.was_empty());
    CHECK(owned.stack.pop() == no_index);
    for (const std::uint32_t i : {1U, 0U, 2U}) {
        owned.stack.push(i);
    }
    CHECK_FALSE(owned.stack.was_empty());
    CHECK(owned.stack.pop() == 2);
    CHECK(owned.stack.pop() == 0);
    owned.stack.push(2);
    CHECK(owned.stack.pop() == 2);
    CHECK(owned.stack.pop() == 1);
    CHECK(owned.stack.pop() == no_index);
    CHECK(owned.stack.was_empty());
}

TEST_CASE("index_stack: every change of the top changes its tag, also when the index is the same",
          "[ring]") {
    owned_stack owned{2};
    owned.stack.push(1);
    const auto before = owned.top.load(std::memory_order_relaxed);
    REQUIRE(owned.stack.pop() == 1);
    owned.stack.push(1);
    CHECK(owned.top.load(std::memory_order_relaxed) != before);
}

TEST_CASE("index_stack: tags start over without harm", "[ring]") {
    owned_stack owned{2};
    owned.top.store(std::uint64_t{0xFFFF'FFFF} << 32, std::memory_order_relaxed);
    owned.stack.push(0);
    owned.stack.push(1);
    CHECK(owned.stack.pop() == 1);
    CHECK(owned.stack.pop() == 0);
    CHECK(owned.stack.pop() == no_index);
}

TEST_CASE("index_stack: threads lose no index and hold none twice", "[ring][.stress]") {
    constexpr std::uint32_t indices = 4;
    owned_stack owned{indices};
    for (std::uint32_t i = 0; i < indices; ++i) {
        owned.stack.push(i);
    }
    std::vector<std::atomic<int>> holders(indices);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int round = 0; round < 100'000; ++round) {
                const auto index = owned.stack.pop();
                if (index == no_index) {
                    continue;
                }
                wrong += index >= indices || holders[index].fetch_add(1) != 0 ? 1 : 0;
                holders[index].fetch_sub(1);
                owned.stack.push(index);
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(wrong == 0);
    std::uint32_t left = 0;
    while (left <= indices && owned.stack.pop() != no_index) {
        ++left;
    }
    CHECK(left == indices);
}

}  // namespace
