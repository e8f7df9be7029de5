// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/holders.hpp>
#include <support/scale.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/pool/byte_pattern.hpp>
#include <zcpool/pool/slab_arenas.hpp>

namespace {

using namespace zcpool;
using namespace zcpool::literals;
using zcpool_test::faults;
using zcpool_test::me;

constexpr std::size_t slot_bytes = 512_KiB;
constexpr std::uint32_t in_arena = 4;

/// One class of slots, four of which make an arena. What it promises does not depend on the size of
/// pages.
struct arenas_fixture {
    explicit arenas_fixture(std::uint32_t slots, std::size_t budget_bytes = 0, int settle_ms = 0,
                            zeroing zeroes = zeroing::never) {
        const std::array<class_spec, 1> classes{{{slot_bytes, slots}}};
        layout = compute_layout(classes, checking::none, lending::arena).value();
        data =
            shared_memory::create_huge("zcpool-data", layout.data_bytes, arena_backing::anonymous)
                .value();
        control = shared_memory::create("zcpool-control", layout.control_bytes, page_use::control)
                      .value();
        auto& header = *reinterpret_cast<control_header*>(control.data());
        const lent_budget budget{header.detached, budget_bytes,
                                 std::chrono::milliseconds{settle_ms}};
        REQUIRE(slots_of.open(layout.classes[0], class_index{0}, data, control, budget, nullptr,
                              zeroes));
        REQUIRE(tested.open(slots_of));
        tested.fill_store();
    }

    [[nodiscard]] slot_record* take(search how = search::quick) {
        return tested.take(me, how).record;
    }
    /// Takes the slot with this number, which must be next.
    slot_record& take_next(std::uint32_t slot) {
        slot_record* const found = take();
        REQUIRE(found != nullptr);
        REQUIRE(to_number(found->slot) == slot);
        return *found;
    }
    void lend(slot_record& record) { REQUIRE(slots_of.lend(record, me)); }
    drop_outcome give_back(slot_record& record) { return tested.give_back(record, me); }

    /// Takes all slots of the next arena, lends the first, and gives all back.
    std::uint32_t rest_one() {
        std::vector<slot_record*> all;
        for (std::uint32_t i = 0; i < in_arena; ++i) {
            all.push_back(take());
            REQUIRE(all.back() != nullptr);
        }
        const std::uint32_t arena = to_number(all.front()->slot) / in_arena;
        lend(*all.front());
        for (slot_record* const each : all) {
            give_back(*each);
        }
        return arena;
    }

    [[nodiscard]] slot_state state(std::uint32_t slot) const {
        return slots_of.word(slot).was().state;
    }
    [[nodiscard]] class_stats stats() const { return slots_of.stats(); }

    /// Forgets every hint.
    void lose_hints() {
        const class_layout& there = layout.classes[0];
        std::memset(control.data() + there.store, 0,
                    bitmap_store::words_for(there.slots) * sizeof(bitmap_store::word));
        std::memset(control.data() + there.ring, 0,
                    sizeof(index_ring::counters) + there.ring_cells * sizeof(index_ring::cell));
    }

    pool_layout layout;
    shared_memory data;
    shared_memory control;
    slab slots_of;
    slab_arenas tested;
};

TEST_CASE("slab_arenas: slots are taken in order, also those that came back meanwhile", "[pool]") {
    arenas_fixture f{2 * in_arena};
    f.give_back(f.take_next(0));
    f.give_back(f.take_next(1));
    for (std::uint32_t slot = 2; slot < 2 * in_arena; ++slot) {
        f.take_next(slot);
    }
}

TEST_CASE("slab_arenas: an arena of which nothing was lent is used again as it is", "[pool]") {
    arenas_fixture f{in_arena};
    for (int round = 0; round < 3; ++round) {
        for (std::uint32_t slot = 0; slot < in_arena; ++slot) {
            slot_record& record = f.take_next(slot);
            CHECK(record.data[0] == (round == 0 ? std::byte{0} : std::byte{7}));
            record.data[0] = std::byte{7};
            f.give_back(record);
        }
    }
    CHECK(f.stats().renewed == 0);
}

TEST_CASE("slab_arenas: in a pool that zeroes no slot comes back with what was in it", "[pool]") {
    arenas_fixture f{in_arena, 0, 0, zeroing::on_release};
    for (int round = 0; round < 4; ++round) {
        for (std::uint32_t slot = 0; slot < in_arena; ++slot) {
            slot_record& record = f.take_next(slot);
            unpoison(record.data, slot_bytes);  // as a buffer does
            CHECK(first_other({record.data, slot_bytes}, std::byte{0}) == slot_bytes);
            std::memset(record.data, 7, slot_bytes);
            if (round == 1 && slot == 1) {
                f.lend(record);
            }
            f.give_back(record);
        }
    }
    CHECK(f.stats().renewed == in_arena);
}

TEST_CASE("slab_arenas: no slot is taken again before the whole arena was renewed", "[pool]") {
    arenas_fixture f{in_arena};
    std::vector<slot_record*> all;
    for (std::uint32_t slot = 0; slot < in_arena; ++slot) {
        all.push_back(&f.take_next(slot));
        all.back()->data[0] = std::byte{7};
    }
    const std::uint32_t lent = 2;
    f.lend(*all[lent]);
    for (std::uint32_t slot = 0; slot + 1 < in_arena; ++slot) {
        CHECK(f.give_back(*all[slot]) ==
              (slot == lent ? drop_outcome::resting : drop_outcome::freed));
        CHECK(f.take(search::thorough) == nullptr);
    }
    CHECK(all[0]->data[0] == std::byte{7});  // nothing was renewed meanwhile
    f.give_back(*all[in_arena - 1]);
    for (std::uint32_t slot = 0; slot < in_arena; ++slot) {
        CHECK(f.take_next(slot).data[0] == std::byte{0});
    }
    CHECK(f.stats().renewed == in_arena);
}

TEST_CASE("slab_arenas: arenas that need no renewal come first, then the longest-resting",
          "[pool]") {
    arenas_fixture f{4 * in_arena};
    CHECK(f.rest_one() == 0);
    CHECK(f.rest_one() == 1);
    CHECK(f.rest_one() == 2);
    for (const std::uint32_t arena : {3U, 0U, 1U, 2U}) {
        for (std::uint32_t i = 0; i < in_arena; ++i) {
            f.take_next(arena * in_arena + i);
        }
    }
    CHECK(f.take(search::thorough) == nullptr);
}

TEST_CASE(
    "slab_arenas: a free slot of an arena of which none was lent is found before the pool is "
    "exhausted",
    "[pool]") {
    arenas_fixture f{2 * in_arena};
    std::vector<slot_record*> all;
    for (std::uint32_t slot = 0; slot < 2 * in_arena; ++slot) {
        all.push_back(&f.take_next(slot));
    }
    CHECK(f.take() == nullptr);
    f.lend(*all[0]);
    f.give_back(*all[1]);
    CHECK(f.take() == nullptr);  // of its arena one is lent
    f.give_back(*all[in_arena + 2]);
    slot_record& again = f.take_next(in_arena + 2);
    CHECK(f.take() == nullptr);
    // It counts as one that has yet to come back.
    for (const std::uint32_t slot : {0U, 1U, 3U}) {
        f.give_back(*all[in_arena + slot]);
    }
    f.give_back(again);
    CHECK(f.take_next(in_arena).data != nullptr);
}

TEST_CASE("slab_arenas: what a sweep took out of the current arena is passed over", "[pool]") {
    arenas_fixture f{in_arena};
    f.give_back(f.take_next(0));
    // The sweep of another thread, which saw no room a moment ago.
    const auto generation = f.slots_of.word(2).claim(me);
    REQUIRE(generation.has_value());
    slot_record& lent = f.take_next(1);
    f.lend(lent);
    f.give_back(lent);
    f.give_back(f.take_next(3));
    CHECK(f.slots_of.word(2).drop(*generation, me) == drop_outcome::freed);
    f.take_next(0);  // what was passed over is not waited for
}

TEST_CASE("slab_arenas: the budget counts whole arenas", "[pool]") {
    arenas_fixture f{4 * in_arena, 2 * huge_page_size, 60'000};
    for (const std::uint32_t arena : {0U, 1U, 2U, 3U}) {
        CHECK(f.rest_one() == arena);
    }
    for (std::uint32_t slot = 0; slot < 2 * in_arena; ++slot) {
        f.take_next(slot);
    }
    const taken_slot none = f.tested.take(me, search::thorough);
    CHECK(none.record == nullptr);
    CHECK(none.retry_after > std::chrono::milliseconds{10});
    CHECK(f.tested.renew_resting(me, 100) == 0);
    CHECK(f.stats().renewed == 2 * in_arena);
    for (std::uint32_t slot = 2 * in_arena; slot < 4 * in_arena; ++slot) {
        CHECK(f.slots_of.word(slot).was().state ==
              (slot % in_arena == 0 ? slot_state::published : slot_state::free));
    }
    // There is no room to lend any other slot, and what it would detach is an arena.
    CHECK_FALSE(f.slots_of.lend(f.slots_of.record(0), me));
}

TEST_CASE("slab_arenas: a budget with room for a slot, but not for its arena, lends nothing",
          "[pool]") {
    arenas_fixture f{in_arena, huge_page_size - page_size, 60'000};
    CHECK_FALSE(f.slots_of.lend(f.take_next(0), me));
}

TEST_CASE("slab_arenas: an arena that cannot be renewed is set aside and tried again", "[pool]") {
    arenas_fixture f{in_arena};
    f.rest_one();
    {
        const faults broken;
        faults::fail_populating(ENOMEM);
        const taken_slot none = f.tested.take(me, search::thorough);
        CHECK(none.record == nullptr);
        CHECK(none.retry_after.count() != 0);
        for (std::uint32_t slot = 0; slot < in_arena; ++slot) {
            CHECK(f.state(slot) == slot_state::quarantine);
        }
        CHECK(f.stats().quarantined >= in_arena);
        CHECK(f.stats().renewed == 0);
    }
    f.take_next(0);
    CHECK(f.stats().renewed == in_arena);
}

TEST_CASE("slab_arenas: arenas can be renewed ahead of need, whole ones", "[pool]") {
    arenas_fixture f{3 * in_arena};
    for (std::uint32_t arena = 0; arena < 3; ++arena) {
        f.rest_one();
    }
    CHECK(f.tested.renew_resting(me, 1) == in_arena);
    CHECK(f.tested.renew_resting(me, in_arena + 1) == 2 * in_arena);
    CHECK(f.tested.renew_resting(me, 1) == 0);
    const faults broken;
    faults::fail_populating(ENOMEM);  // none needs it any more
    for (std::uint32_t i = 0; i < 3 * in_arena; ++i) {
        CHECK(f.take() != nullptr);
    }
}

TEST_CASE("slab_arenas: the last arena may have fewer slots, and is renewed as a whole", "[pool]") {
    arenas_fixture f{in_arena + 1};
    CHECK(f.layout.data_bytes == 2 * huge_page_size);
    for (int round = 0; round < 2; ++round) {
        std::vector<slot_record*> all;
        for (std::uint32_t slot = 0; slot <= in_arena; ++slot) {
            all.push_back(&f.take_next(slot));
        }
        CHECK(f.take() == nullptr);
        f.lend(*all[0]);
        f.lend(*all[in_arena]);
        for (slot_record* const each : all) {
            f.give_back(*each);
        }
    }
    CHECK(f.stats().renewed == in_arena + 1);
    CHECK(f.tested.renew_resting(me, 100) == in_arena + 1);
}

TEST_CASE("slab_arenas: arenas whose hints were lost are found, ready or resting", "[pool]") {
    arenas_fixture f{3 * in_arena};
    f.rest_one();
    f.lose_hints();
    std::array<bool, 3 * in_arena> seen{};
    for (std::uint32_t i = 0; i < 3 * in_arena; ++i) {
        slot_record* const found = f.take();
        REQUIRE(found != nullptr);
        CHECK_FALSE(std::exchange(seen[to_number(found->slot)], true));
    }
    CHECK(f.take() == nullptr);
    CHECK(f.stats().renewed == in_arena);
}

TEST_CASE(
    "slab_arenas: a slot in somebody's hands keeps its arena as it is, whatever the count says",
    "[pool]") {
    arenas_fixture f{in_arena};
    f.rest_one();
    const auto generation = f.slots_of.word(3).claim(me);
    REQUIRE(generation.has_value());
    f.data.data()[0] = std::byte{7};
    CHECK(f.take(search::thorough) == nullptr);
    CHECK(f.data.data()[0] == std::byte{7});
    CHECK(slot_word::is_resting(f.slots_of.word(0).was()));
    CHECK(f.state(1) == slot_state::free);
    CHECK(f.slots_of.word(3).drop(*generation, me) == drop_outcome::freed);
    f.take_next(0);
    CHECK(f.data.data()[0] == std::byte{0});
}

TEST_CASE("slab_arenas: threads never have the same slot, nor one that was not renewed", "[pool]") {
    constexpr std::uint32_t threads = 4;
    arenas_fixture f{2 * in_arena};
    std::array<std::atomic<std::uint32_t>, 2 * in_arena> owners{};
    std::atomic<long> wrong{0};
    std::atomic<long> done{0};
    const long wanted = zcpool_test::scaled(20'000);
    std::vector<std::thread> team;
    for (std::uint32_t self = 1; self <= threads; ++self) {
        team.emplace_back([&, self] {
            while (done.load() < wanted) {
                slot_record* const record = f.take();
                if (record == nullptr) {
                    std::this_thread::yield();
                    continue;
                }
                auto& owner = owners[to_number(record->slot)];
                wrong += owner.exchange(self) != 0 ? 1 : 0;
                // Who lent the slot left its mark, which renewal takes away.
                wrong += record->data[0] != std::byte{0} ? 1 : 0;
                const bool lends = (done.fetch_add(1) + self) % 3 == 0;
                if (lends && f.slots_of.lend(*record, me)) {
                    record->data[0] = std::byte{7};
                }
                wrong += owner.exchange(0) != self ? 1 : 0;
                f.give_back(*record);
            }
        });
    }
    for (std::thread& each : team) {
        each.join();
    }
    CHECK(wrong == 0);
    CHECK(f.stats().renewed > 0);
    // Nothing was lost: when the rest of what is current was handed out too, all can be had.
    std::vector<slot_record*> rest;
    while (slot_record* const each = f.take(search::thorough)) {
        rest.push_back(each);
    }
    for (slot_record* const each : rest) {
        f.give_back(*each);
    }
    for (std::uint32_t i = 0; i < 2 * in_arena; ++i) {
        CHECK(f.take(search::thorough) != nullptr);
    }
    CHECK(f.take(search::thorough) == nullptr);
}

}  // namespace
