// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <support/misuse.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/adapt/pmr.hpp>

namespace {

using namespace zcpool_test;
using zcpool::adapt::pool_resource;
using zcpool::adapt::when_exhausted;

/// Gives what operator new gives, counts it, and fails when it is told to.
class counting_resource final : public std::pmr::memory_resource {
public:
    bool fails = false;
    int live = 0;
    std::size_t last_bytes = 0;
    std::size_t last_alignment = 0;

private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (fails) {
            throw std::bad_alloc{};
        }
        last_bytes = bytes;
        last_alignment = alignment;
        void* const got = std::pmr::new_delete_resource()->allocate(bytes, alignment);
        ++live;
        return got;
    }
    void do_deallocate(void* what, std::size_t bytes, std::size_t alignment) override {
        --live;
        std::pmr::new_delete_resource()->deallocate(what, bytes, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
        return this == &other;
    }
};

bool is_refused(std::pmr::memory_resource& from, std::size_t bytes, std::size_t alignment = 1) {
    try {
        from.deallocate(from.allocate(bytes, alignment), bytes, alignment);
        return false;
    } catch (const std::bad_alloc&) {
        return true;
    }
}

TEST_CASE("pmr: containers lie in slots, which come back", "[adapt]") {
    const auto pool = make_pool({.slots = {16, 4}});
    pool_resource tested{pool};
    {
        std::pmr::vector<int> numbers{&tested};
        for (int i = 0; i < 10'000; ++i) {
            numbers.push_back(i);
        }
        CHECK(numbers[9'999] == 9'999);
        CHECK(pool.stats()[1].in_use == 1);
        std::pmr::string text(5000, 'x', &tested);
        text += "y";
        CHECK(text.back() == 'y');
        std::pmr::unordered_map<int, std::pmr::string> map{&tested};
        for (int i = 0; i < 8; ++i) {
            map.emplace(i, "short");
        }
        CHECK(map.at(7) == "short");
        CHECK(map.at(7).get_allocator().resource() == &tested);
        CHECK(slots_in_use(pool) >= 8 + 2);
        CHECK(tested.stats().pool.bytes >= 40'000 + 5'000);
    }
    CHECK(slots_in_use(pool) == 0);
    const auto stats = tested.stats();
    CHECK(stats.pool.allocations == stats.pool.deallocations);
    CHECK(stats.pool.allocations > 12);
    CHECK(stats.pool.bytes == 0);
    CHECK(stats.upstream.allocations == 0);
}

TEST_CASE("pmr: small objects share slots through a resource of the standard's", "[adapt]") {
    const auto pool = make_pool({.slots = {16, 4}});
    pool_resource tested{pool};
    {
        std::pmr::unsynchronized_pool_resource between{
            {.max_blocks_per_chunk = 32, .largest_required_pool_block = 256}, &tested};
        std::pmr::unordered_map<int, int> map{&between};
        for (int i = 0; i < 200; ++i) {
            map.emplace(i, -i);
        }
        CHECK(map.at(199) == -199);
        CHECK(slots_in_use(pool) <= 16);
    }
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("pmr: alignment is honoured, up to a page and beyond", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 2}});
    pool_resource tested{pool};
    for (std::size_t alignment = 1; alignment <= 32_KiB; alignment *= 2) {
        // Two at a time, so that slots of either evenness are tried.
        std::array<void*, 2> got{};
        for (void*& each : got) {
            each = tested.allocate(4000, alignment);
            CHECK(reinterpret_cast<std::uintptr_t>(each) % alignment == 0);
            fill({static_cast<std::byte*>(each), 4000}, alignment);
        }
        CHECK(pool.stats()[alignment <= 4096 ? 0 : 1].in_use == 2);
        for (void* const each : got) {
            tested.deallocate(each, 4000, alignment);
        }
        CHECK(slots_in_use(pool) == 0);
    }
    // Nothing lies in a slot, too, whichever of the two pages it begins at.
    std::array<void*, 2> nothing{};
    for (void*& each : nothing) {
        each = tested.allocate(0, 8_KiB);
    }
    const auto neighbour = pool.try_acquire(1);
    for (void* const each : nothing) {
        tested.deallocate(each, 0, 8_KiB);
    }
    CHECK(slots_in_use(pool) == (neighbour ? 1 : 0));
    CHECK(is_refused(tested, 4000, 128_KiB));  // room for it is certain in no slot
    CHECK(is_refused(tested, SIZE_MAX - 100, 8_KiB));
    CHECK_FALSE(is_refused(tested, 0));
}

TEST_CASE("pmr: what is larger than the largest class goes upstream, or nowhere", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    pool_resource alone{pool};
    CHECK(alone.upstream_resource() == std::pmr::null_memory_resource());
    CHECK(is_refused(alone, 64_KiB + 1));
    CHECK(alone.stats().upstream.allocations == 0);

    counting_resource upstream;
    pool_resource tested{pool, &upstream};
    CHECK(tested.upstream_resource() == &upstream);
    void* const large = tested.allocate(64_KiB + 1, 64);
    CHECK(upstream.live == 1);
    CHECK(upstream.last_bytes == 64_KiB + 1);
    CHECK(upstream.last_alignment == 64);
    CHECK(tested.stats().upstream.bytes == 64_KiB + 1);
    CHECK(tested.stats().pool.allocations == 0);
    tested.deallocate(large, 64_KiB + 1, 64);
    CHECK(upstream.live == 0);
    CHECK(tested.stats().upstream.deallocations == 1);
    CHECK(tested.stats().upstream.bytes == 0);
}

TEST_CASE("pmr: an exhausted pool throws, or asks upstream where it was told to", "[adapt]") {
    const auto pool = make_pool({.slots = {1, 1}});
    counting_resource upstream;
    pool_resource strict{pool, &upstream};
    pool_resource lenient{pool, &upstream, when_exhausted::use_upstream};
    void* const first = lenient.allocate(4096);
    CHECK(upstream.live == 0);
    CHECK(is_refused(strict, 4096));
    CHECK(strict.stats().exhausted == 1);
    CHECK(strict.stats().pool.allocations == 0);
    void* const second = lenient.allocate(4096);
    CHECK(upstream.live == 1);
    CHECK(lenient.stats().exhausted == 1);
    lenient.deallocate(first, 4096);
    lenient.deallocate(second, 4096);
    CHECK(upstream.live == 0);
    CHECK(slots_in_use(pool) == 0);
    CHECK_FALSE(is_refused(strict, 4096));
}

TEST_CASE("pmr: a failing upstream is passed on, and counted as nothing", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 2}});
    counting_resource upstream;
    upstream.fails = true;
    pool_resource tested{pool, &upstream, when_exhausted::use_upstream};
    std::pmr::vector<char> grown{&tested};
    bool thrown = false;
    try {
        for (;;) {
            grown.push_back('x');
        }
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(grown.size() == 64_KiB);  // and is what it was
    CHECK(grown.back() == 'x');
    CHECK(tested.stats().upstream.allocations == 0);
    CHECK(slots_in_use(pool) == 1);
}

TEST_CASE("pmr: equal to itself only", "[adapt]") {
    const auto pool = make_pool({.slots = {2, 1}});
    pool_resource one{pool};
    pool_resource other{pool};
    CHECK(one.is_equal(one));
    CHECK_FALSE(one.is_equal(other));
    CHECK_FALSE(one.is_equal(*std::pmr::new_delete_resource()));
    // So a move between them copies, and each gets back what it gave.
    std::pmr::vector<int> from(100, 7, &one);
    std::pmr::vector<int> to{&other};
    to = std::move(from);
    CHECK(to == std::pmr::vector<int>(100, 7));
    CHECK(other.stats().pool.allocations == 1);
}

TEST_CASE("pmr: memory that outlives the pool object", "[adapt]") {
    const held before;
    {
        auto pool = std::make_unique<small_pool>(make_pool({.slots = {2, 1}}));
        pool_resource tested{*pool};
        {
            std::pmr::vector<int> kept(1000, 7, &tested);
            pool.reset();
            CHECK(kept[999] == 7);
        }
        CHECK(pool_mappings() > before.mappings);  // the resource is what keeps it now
        CHECK(is_refused(tested, 1));
        CHECK(tested.stats().exhausted == 1);
    }
    CHECK(before == held{});
}

TEST_CASE("pmr: many threads allocate here and deallocate there", "[adapt]") {
    const auto pool = make_pool({.slots = {64, 16}});
    pool_resource tested{pool, std::pmr::new_delete_resource(), when_exhausted::use_upstream};
    constexpr int threads = 4;
    constexpr int rounds = 500;
    std::array<std::pmr::vector<std::pmr::vector<std::byte>>, threads> made{
        std::pmr::vector<std::pmr::vector<std::byte>>{}, {}, {}, {}};
    {
        std::vector<std::jthread> team;
        for (int t = 0; t < threads; ++t) {
            team.emplace_back([&tested, &mine = made[static_cast<std::size_t>(t)], t] {
                for (int i = 0; i < rounds; ++i) {
                    const auto size = static_cast<std::size_t>((i * 37 + t) % 70'000 + 1);
                    std::pmr::vector<std::byte> one(size, &tested);
                    fill(one, size);
                    if (i % 25 == 0) {
                        mine.push_back(std::move(one));
                    } else if (one != std::pmr::vector<std::byte>{one, &tested}) {
                        return;  // shows in the counts
                    }
                }
            });
        }
    }
    std::size_t right = 0;
    for (const auto& each : made) {
        for (const auto& one : each) {
            const auto expected = pattern(one.size(), one.size());
            right += std::equal(one.begin(), one.end(), expected.begin()) ? 1 : 0;
        }
    }
    CHECK(right == threads * rounds / 25);
    for (auto& each : made) {
        each.clear();  // in this thread
    }
    const auto stats = tested.stats();
    CHECK(stats.pool.allocations + stats.upstream.allocations ==
          threads * (2 * rounds - rounds / 25));
    CHECK(stats.pool.allocations == stats.pool.deallocations);
    CHECK(stats.upstream.allocations == stats.upstream.deallocations);
    CHECK(stats.pool.bytes == 0);
    CHECK(stats.upstream.bytes == 0);
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("pmr: a checked pool finds what is deallocated twice", "[adapt]") {
    static int found;
    found = 0;
    const auto pool = make_pool<full_pool>(
        {.slots = {1, 1}, .on_misuse = [](const zcpool::misuse_report&) noexcept { ++found; }});
    pool_resource tested{pool};
    tested.deallocate(tested.allocate(100), 100);
    CHECK(found == 0);
    void* const twice = tested.allocate(100);
    tested.deallocate(twice, 100);
    tested.deallocate(twice, 100);
    CHECK(found == 1);
}

}  // namespace
