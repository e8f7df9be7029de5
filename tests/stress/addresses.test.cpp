// SPDX-License-Identifier: MIT

// Nothing in shared memory depends on where it is mapped: two threads work on one memfd through two
// mappings at different addresses, as two processes would.

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>

#include <support/catch.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/index_ring.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include "stamp.hpp"
#include "stepping.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::bitmap_store;
using zcpool::index_ring;
using zcpool::no_index;
using zcpool::slot_word;

// A lock of the library for a wide atomic lies in each process for itself, and would lock nothing.
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(bitmap_store::word) == 8 && sizeof(index_ring::cell) == 8);

constexpr std::uint32_t slots = 70;  // two leaves of the store

/// Everything that two processes would share.
struct shared_block {
    std::array<bitmap_store::word, bitmap_store::words_for(slots)> store;
    index_ring::counters positions;
    std::array<index_ring::cell, 128> cells;
    std::array<slot_word, slots> words;
    alignas(64) std::array<std::array<std::byte, 256>, slots> contents;
};

/// The block as one of two mappings shows it.
struct mapped {
    explicit mapped(int fd) {
        void* const at =
            ::mmap(nullptr, sizeof(shared_block), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        REQUIRE(at != MAP_FAILED);
        block = static_cast<shared_block*>(at);
    }
    mapped(const mapped&) = delete;
    mapped& operator=(const mapped&) = delete;
    ~mapped() { ::munmap(block, sizeof(shared_block)); }
    [[nodiscard]] bitmap_store store() const { return {block->store, slots}; }
    [[nodiscard]] index_ring ring() const { return {block->positions, block->cells}; }
    shared_block* block = nullptr;
};

TEST_CASE("shared memory: two threads at two addresses share slots without a meeting",
          "[addresses]") {
    const zcpool::sys::unique_fd file{::memfd_create("stress", MFD_CLOEXEC)};
    REQUIRE(file);
    REQUIRE(::ftruncate(file.get(), sizeof(shared_block)) == 0);
    const stepping handler;
    const mapped first{file.get()};
    const mapped second{file.get()};
    REQUIRE(first.block != second.block);
    new (first.block) shared_block{};
    auto filling = first.store();
    for (std::uint32_t i = 0; i < slots; ++i) {
        filling.push(i);
    }
    std::atomic<long> mismatches{0};
    std::atomic<long> wrong_steps{0};
    std::atomic<long> nothing{0};
    run_together(2, [&](unsigned number) {
        const mapped& mine = number == 0 ? first : second;
        const zcpool::holder_set me = 1U << number;
        auto store = mine.store();
        auto ring = mine.ring();
        dice random{number + 1};
        for (long n = 0, all = scaled(5'000'000) / 2; n < all; ++n) {
            std::uint32_t index = no_index;
            stop_at_times(4096, random, [&] { index = n % 2 == 0 ? store.pop() : ring.pop(); });
            if (index == no_index) {
                index = store.pop();
            }
            if (index == no_index) {
                nothing.fetch_add(1, std::memory_order_relaxed);
                continue;
            }
            slot_word& word = mine.block->words[index];
            std::optional<std::uint32_t> generation;
            stop_at_times(4096, random, [&] { generation = word.claim(me); });
            if (!generation) {
                ++wrong_steps;  // nobody claims without the hint here
                continue;
            }
            const auto stamp = make_stamp(number, static_cast<std::uint64_t>(n));
            put_stamp(mine.block->contents[index], stamp);
            mismatches += has_stamp(mine.block->contents[index], stamp) ? 0 : 1;
            const bool published = random.below(4) == 0 && word.publish(*generation, me);
            static_cast<void>(published);
            wrong_steps += word.drop(*generation, me) == zcpool::drop_outcome::freed ? 0 : 1;
            stop_at_times(4096, random, [&] {
                if (random.below(2) == 0 || !ring.push(index)) {
                    store.push(index);
                }
            });
        }
    });
    CHECK(mismatches == 0);
    CHECK(wrong_steps == 0);
    // All hints are still there, in the one or the other.
    auto store = second.store();
    auto ring = second.ring();
    std::uint32_t left = 0;
    while (store.pop() != no_index) {
        ++left;
    }
    while (ring.pop() != no_index) {
        ++left;
    }
    for (const auto& cell : second.block->cells) {  // where a reader was late for a lap
        left += static_cast<std::uint32_t>(cell.load(std::memory_order_relaxed)) != 0 ? 1 : 0;
    }
    CHECK(left == slots);
}

}  // namespace
