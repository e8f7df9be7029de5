// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/layout.hpp>

namespace {

using namespace zcpool;

TEST_CASE("layout: slabs follow each other and nothing in control memory overlaps", "[pool]") {
    const std::array<class_spec, 3> classes{{{4096, 1000}, {65536, 100}, {1 << 20, 3}}};
    const auto layout = compute_layout(classes);
    REQUIRE(layout.has_value());
    CHECK(layout->class_count == 3);
    CHECK(layout->data_bytes == 4096 * 1000 + 65536 * 100 + 3 * (1 << 20));
    CHECK(is_aligned(layout->control_bytes, page_size));
    CHECK(layout->classes[0].word_stride == 8);
    CHECK(layout->classes[1].word_stride == cache_line);

    std::vector<std::pair<std::size_t, std::size_t>> parts{{0, sizeof(control_header)}};
    const auto add = [&](std::size_t offset, std::size_t bytes) {
        parts.emplace_back(offset, offset + bytes);
    };
    add(layout->registry, max_processes * sizeof(registry_entry));
    add(layout->waiting, max_processes * sizeof(waiter_shares));
    for (std::size_t i = 0; i < layout->class_count; ++i) {
        const class_layout& each = layout->classes[i];
        add(each.counters, sizeof(class_counters));
        add(each.words, each.word_stride * each.slots);
        add(each.stamps, sizeof(lent_stamp) * each.slots);
        add(each.store, bitmap_store::words_for(each.slots) * 8);
        add(each.ring, sizeof(index_ring::counters) + each.ring_cells * sizeof(index_ring::cell));
    }
    std::sort(parts.begin(), parts.end());
    for (std::size_t i = 1; i < parts.size(); ++i) {
        CHECK(parts[i - 1].second <= parts[i].first);
        CHECK(is_aligned(parts[i].first, cache_line));
    }
    CHECK(parts.back().second <= layout->control_bytes);
}

TEST_CASE("layout: a checked pool has a page behind each slot and one between slabs", "[pool]") {
    const std::array<class_spec, 2> classes{{{4096, 3}, {65536, 2}}};
    for (const auto checks : {checking::full, checking::guarded}) {
        const auto layout = compute_layout(classes, checks);
        REQUIRE(layout.has_value());
        const class_layout& small = layout->classes[0];
        const class_layout& large = layout->classes[1];
        CHECK(small.margin == page_size);
        CHECK(small.offset_of(0) == 0);
        CHECK(small.offset_of(2) == 2 * (4096 + 4096));
        CHECK(large.offset_of(0) == 3 * (4096 + 4096) + 4096);
        CHECK(layout->data_bytes == large.offset_of(1) + 65536 + 4096);
    }
    const auto plain = compute_layout(classes);
    CHECK(plain->classes[0].offset_of(2) == 2 * 4096);
    CHECK(plain->classes[1].offset_of(0) == 3 * 4096);
    CHECK(compute_layout(classes, static_cast<checking>(3)).error() == errc::invalid_options);
    CHECK(plain->control_bytes == compute_layout(classes, checking::full)->control_bytes);
}

TEST_CASE("layout: arenas are whole huge pages, of as many slots as fill them without a rest",
          "[pool]") {
    const std::array<class_spec, 4> classes{
        {{4096, 3}, {48 * 1024, 130}, {1 << 20, 4}, {6 << 20, 2}}};
    const auto layout = compute_layout(classes, checking::none, lending::arena);
    REQUIRE(layout.has_value());
    const auto& [first, second, third, fourth] =
        std::tie(layout->classes[0], layout->classes[1], layout->classes[2], layout->classes[3]);
    CHECK(first.arena_slots == 512);
    CHECK(first.arenas() == 1);
    CHECK(second.arena_slots == 128);  // three huge pages
    CHECK(second.arena_bytes() == 3 * huge_page_size);
    CHECK(second.arenas() == 2);
    CHECK(second.data == huge_page_size);
    CHECK(third.arena_slots == 2);
    CHECK(third.data == 7 * huge_page_size);
    CHECK(fourth.arena_slots == 1);
    CHECK(fourth.data == 9 * huge_page_size);
    CHECK(fourth.arenas() == 2);
    CHECK(layout->data_bytes == 15 * huge_page_size);
    for (const class_layout& each : std::span{layout->classes}.first(4)) {
        CHECK(each.offset_of(each.arena_slots) == each.data + each.arena_bytes());
    }
    CHECK(compute_layout(classes)->classes[0].arenas() == 0);
}

TEST_CASE("layout: arenas that would be too large, or that are checked, are refused", "[pool]") {
    const auto made = [](std::size_t bytes, checking checks = checking::none) {
        return compute_layout(std::array{class_spec{bytes, 1}}, checks, lending::arena).has_value();
    };
    CHECK(made(31 * page_size));        // 62 MiB
    CHECK_FALSE(made(33 * page_size));  // 66 MiB
    CHECK(made(max_slot_bytes));        // a single slot may have any size
    CHECK_FALSE(made(huge_page_size + page_size));
    CHECK_FALSE(made(huge_page_size, checking::full));
}

TEST_CASE("layout: a class table that makes no sense is refused", "[pool]") {
    const auto refused = [](std::vector<class_spec> classes) {
        const auto layout = compute_layout(classes);
        return !layout && layout.error() == errc::invalid_options;
    };
    CHECK(refused({}));
    CHECK(refused(std::vector<class_spec>(17, class_spec{4096, 1})));
    CHECK(refused({{0, 1}}));
    CHECK(refused({{4095, 1}}));
    CHECK(refused({{4096, 0}}));
    CHECK(refused({{4096, max_slots + 1}}));
    CHECK(refused({{4096, 1}, {4096, 1}}));
    CHECK(refused({{8192, 1}, {4096, 1}}));
    CHECK(refused({{max_slot_bytes + 4096, 1}}));
    CHECK(refused({{4096, ~std::uint64_t{0}}}));
    CHECK_FALSE(
        refused({{max_slot_bytes, max_slots}}));  // 2^50 bytes: absurd, but sound arithmetic
}

TEST_CASE("layout: the magic reads as a word in a hex dump", "[pool]") {
    const auto magic = pool_table::expected_magic;
    CHECK(std::memcmp(&magic, "\1ZCPOOL1", 8) == 0);
}

}  // namespace
