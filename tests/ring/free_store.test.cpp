// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/ring/free_store.hpp>

namespace {

using namespace zcpool;

static_assert(free_store<bitmap_store>);
struct stack_without_rebuild {
    void push(std::uint32_t) noexcept {}
    std::uint32_t pop() noexcept { return no_index; }
    [[nodiscard]] std::uint32_t capacity() const noexcept { return 0; }
};
static_assert(!free_store<stack_without_rebuild>);

/// A store with memory of its own.
struct owned_store {
    explicit owned_store(std::uint32_t capacity)
        : memory(bitmap_store::words_for(capacity)), store(memory, capacity) {}
    std::vector<bitmap_store::word> memory;
    bitmap_store store;
};

TEST_CASE("free_store: an empty store has no index", "[ring]") {
    for (const std::uint32_t capacity : {1U, 64U, 65U, 4096U, 4097U}) {
        owned_store owned{capacity};
        CHECK(owned.store.pop() == no_index);
        CHECK(owned.store.capacity() == capacity);
    }
}

TEST_CASE("free_store: every index comes out once, lowest first", "[ring]") {
    for (const std::uint32_t capacity : {1U, 2U, 63U, 64U, 65U, 4096U, 4097U, 300'000U}) {
        owned_store owned{capacity};
        for (std::uint32_t i = capacity; i-- > 0;) {
            owned.store.push(i);
        }
        bool in_order = true;
        for (std::uint32_t i = 0; i < capacity; ++i) {
            in_order &= owned.store.pop() == i;
        }
        CHECK(in_order);
        CHECK(owned.store.pop() == no_index);
    }
}

TEST_CASE("free_store: a few indices out and in again are the same few", "[ring]") {
    owned_store owned{4096};
    for (std::uint32_t i = 0; i < 4096; ++i) {
        owned.store.push(i);
    }
    std::set<std::uint32_t> used;
    for (int round = 0; round < 1000; ++round) {
        const auto a = owned.store.pop();
        const auto b = owned.store.pop();
        used.insert({a, b});
        owned.store.push(a);
        owned.store.push(b);
    }
    CHECK(used.size() == 2);
}

TEST_CASE("free_store: a search from a start goes round, lowest first behind it", "[ring]") {
    owned_store owned{200};
    for (const std::uint32_t i : {199U, 3U, 130U, 64U, 2U, 128U}) {
        owned.store.push(i);
    }
    CHECK(owned.store.pop(2) == 128);
    CHECK(owned.store.pop(2) == 130);
    CHECK(owned.store.pop(2) == 199);
    CHECK(owned.store.pop(2) == 2);
    owned.store.push(199);
    CHECK(owned.store.pop(4 + 3) == 199);  // a start beyond what is filled is taken modulo
    CHECK(owned.store.pop(1) == 64);
    CHECK(owned.store.pop(1) == 3);
    CHECK(owned.store.pop(1) == no_index);
    std::vector<std::uint32_t> some(2);
    owned.store.push_many(std::vector<std::uint32_t>{0, 65, 66});
    CHECK(owned.store.pop_many(some, 1) == 2);
    CHECK(some == std::vector<std::uint32_t>{65, 66});
}

TEST_CASE("free_store: a start in a store of many words finds everything", "[ring]") {
    owned_store owned{64 * 130};
    for (std::uint32_t i = 0; i < 130; ++i) {
        owned.store.push(64 * i);
    }
    CHECK(owned.store.pop(70) == 64 * 6);
    std::set<std::uint32_t> found;
    for (std::uint32_t i = 1; i < 130; ++i) {
        found.insert(owned.store.pop(70));
    }
    CHECK(found.size() == 129);
    CHECK(found.count(no_index) == 0);
    CHECK(owned.store.pop(70) == no_index);
}

TEST_CASE("free_store: starts differ where only a part is filled, and each keeps its few indices",
          "[ring]") {
    owned_store owned{1024};
    for (std::uint32_t i = 0; i < 512; ++i) {
        owned.store.push(i);
    }
    const auto a = owned.store.pop(9);
    const auto b = owned.store.pop(10);
    CHECK(a / 64 != b / 64);
    owned.store.push(a);
    owned.store.push(b);
    for (int round = 0; round < 100; ++round) {
        REQUIRE(owned.store.pop(9) == a);
        REQUIRE(owned.store.pop(10) == b);
        owned.store.push(b);
        owned.store.push(a);
    }
}

TEST_CASE("free_store: an index pushed twice is in it once", "[ring]") {
    owned_store owned{128};
    owned.store.push(100);
    owned.store.push(100);
    CHECK(owned.store.pop() == 100);
    CHECK(owned.store.pop() == no_index);
}

TEST_CASE("free_store: rebuild finds what a dead pusher did not announce", "[ring]") {
    owned_store owned{128};
    // What push() leaves when its process dies between its two steps: the leaf bit alone.
    owned.memory[8].store(std::uint64_t{1} << 7, std::memory_order_relaxed);
    CHECK(owned.store.pop() == no_index);
    owned.store.rebuild();
    CHECK(owned.store.pop() == 7);
}

TEST_CASE("free_store: bits beyond the capacity are not indices", "[ring]") {
    owned_store owned{70};
    for (auto& each : owned.memory) {
        each.store(~std::uint64_t{0},
                   std::memory_order_relaxed);  // what a scribbling peer could leave
    }
    std::uint32_t highest = 0;
    std::uint32_t found = 0;
    for (auto i = owned.store.pop(); i != no_index; i = owned.store.pop()) {
        highest = std::max(highest, i);
        ++found;
    }
    CHECK(highest == 69);
    CHECK(found == 70);
}

TEST_CASE("free_store: threads that exchange indices neither lose nor double one",
          "[ring][.stress]") {
    for (const std::uint32_t capacity : {1U, 4U, 64U, 200U}) {
        owned_store owned{capacity};
        for (std::uint32_t i = 0; i < capacity; ++i) {
            owned.store.push(i);
        }
        std::vector<std::atomic<int>> holders(capacity);
        std::atomic<int> doubled{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (int round = 0; round < 100'000; ++round) {
                    const auto index = owned.store.pop();
                    if (index == no_index) {
                        continue;
                    }
                    doubled += holders[index].fetch_add(1) != 0 ? 1 : 0;
                    holders[index].fetch_sub(1);
                    owned.store.push(index);
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(doubled == 0);
        std::uint32_t left = 0;
        while (owned.store.pop() != no_index) {
            ++left;
        }
        CHECK(left == capacity);  // without a death not even a hint is lost
    }
}

}  // namespace
