// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/holders.hpp>
#include <zcpool/pool/slab.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::me;

/// One class of slots of a page, with memories of its own.
struct slab_fixture {
    explicit slab_fixture(std::uint32_t slots, std::size_t budget_bytes = 0, int settle_ms = 0) {
        const std::array<class_spec, 1> classes{{{page_size, slots}}};
        layout = compute_layout(classes).value();
        data = shared_memory::create("zcpool-data", layout.data_bytes, page_use::renewable).value();
        control = shared_memory::create("zcpool-control", layout.control_bytes, page_use::control)
                      .value();
        auto& header = *reinterpret_cast<control_header*>(control.data());
        const lent_budget budget{header.detached, budget_bytes,
                                 std::chrono::milliseconds{settle_ms}};
        REQUIRE(tested.open(layout.classes[0], class_index{0}, data, control, budget, nullptr)
                    .has_value());
        tested.fill_store();
    }

    slot_record* take(search how = search::quick) { return tested.take(me, how).record; }

    /// Takes a slot, lends it and gives it back: it rests.
    std::uint32_t rest_one() {
        slot_record* record = take();
        REQUIRE(record != nullptr);
        REQUIRE(tested.lend(*record, me));
        REQUIRE(tested.give_back(*record, me) != drop_outcome::not_held);
        return to_number(record->slot);
    }

    /// Forgets every hint: what deaths between two steps can leave at worst.
    void lose_hints() {
        std::memset(control.data() + layout.classes[0].store, 0,
                    bitmap_store::words_for(layout.classes[0].slots) * sizeof(bitmap_store::word));
        std::memset(
            control.data() + layout.classes[0].ring, 0,
            sizeof(index_ring::counters) + layout.classes[0].ring_cells * sizeof(index_ring::cell));
    }

    pool_layout layout;
    shared_memory data;
    shared_memory control;
    slab tested;
};

TEST_CASE("slab: every slot is taken once, at its own address", "[pool]") {
    slab_fixture f{5};
    for (std::uint32_t i = 0; i < 5; ++i) {
        slot_record* record = f.take();
        REQUIRE(record != nullptr);
        CHECK(record->data == f.data.data() + i * page_size);
        CHECK(record->bytes == page_size);
    }
    CHECK(f.take() == nullptr);
}

TEST_CASE("slab: slots whose hints were lost are found by the sweep, all of them", "[pool]") {
    slab_fixture f{100};
    f.lose_hints();
    for (int i = 0; i < 100; ++i) {
        REQUIRE(f.take() != nullptr);
    }
    CHECK(f.take() == nullptr);
}

TEST_CASE("slab: resting slots whose hints were lost are found as well", "[pool]") {
    slab_fixture f{1};
    f.rest_one();
    f.lose_hints();
    CHECK(f.take() != nullptr);
}

TEST_CASE("slab: an index beyond the slots, scribbled into shared memory, reaches no slot",
          "[pool]") {
    slab_fixture f{1};
    f.rest_one();
    auto& positions =
        *reinterpret_cast<index_ring::counters*>(f.control.data() + f.layout.classes[0].ring);
    auto* cells = reinterpret_cast<index_ring::cell*>(&positions + 1);
    cells[0].store(1'000'000 + 1, memory_order_relaxed);  // in place of the resting slot's
    CHECK(f.take() != nullptr);                           // the sweep finds it
    CHECK(f.take() == nullptr);
}

TEST_CASE("slab: a full class is swept again only after something came back", "[pool]") {
    slab_fixture f{2};
    slot_record* first = f.take();
    REQUIRE(f.take() != nullptr);
    REQUIRE(f.take() == nullptr);  // swept, and noted
    // A slot made free behind the slab's back, as no release would do it: a quick look trusts the
    // note.
    REQUIRE(f.tested.word(0).drop(first->generation, me) == drop_outcome::freed);
    CHECK(f.take(search::quick) == nullptr);
    CHECK(f.take(search::thorough) == first);
}

TEST_CASE("slab: a lent slot comes back under fresh pages", "[pool]") {
    slab_fixture f{1};
    slot_record* record = f.take();
    std::memset(record->data, 0x77, page_size);
    REQUIRE(f.tested.lend(*record, me));
    REQUIRE(f.tested.give_back(*record, me) != drop_outcome::not_held);
    slot_record* again = f.take();
    REQUIRE(again == record);
    CHECK(again->data[0] == std::byte{0});
    const class_stats stats = f.tested.stats();
    CHECK(stats.lent == 1);
    CHECK(stats.renewed == 1);
}

TEST_CASE("slab: a slot that was not lent keeps its pages", "[pool]") {
    slab_fixture f{1};
    slot_record* record = f.take();
    record->data[0] = std::byte{0x77};
    REQUIRE(f.tested.give_back(*record, me) != drop_outcome::not_held);
    CHECK(f.take()->data[0] == std::byte{0x77});
    CHECK(f.tested.stats().renewed == 0);
}

TEST_CASE("slab: slots that are never lent are taken before one is renewed", "[pool]") {
    slab_fixture f{2};
    CHECK(f.rest_one() == 0);
    CHECK(to_number(f.take()->slot) == 1);
    CHECK(f.tested.stats().renewed == 0);
    CHECK(to_number(f.take()->slot) == 0);
    CHECK(f.tested.stats().renewed == 1);
}

TEST_CASE("slab: the slot that rested longest is renewed first", "[pool]") {
    slab_fixture f{3};
    std::array<slot_record*, 3> taken{f.take(), f.take(), f.take()};
    for (const std::size_t i : {2U, 0U, 1U}) {
        REQUIRE(f.tested.lend(*taken[i], me));
        REQUIRE(f.tested.give_back(*taken[i], me) != drop_outcome::not_held);
    }
    CHECK(f.take() == taken[2]);
    CHECK(f.take() == taken[0]);
    CHECK(f.take() == taken[1]);
}

TEST_CASE("slab: renewing ahead makes resting slots hot", "[pool]") {
    slab_fixture f{3};
    std::array<slot_record*, 3> taken{f.take(), f.take(), f.take()};
    for (slot_record* each : taken) {
        REQUIRE(f.tested.lend(*each, me));
        REQUIRE(f.tested.give_back(*each, me) != drop_outcome::not_held);
    }
    CHECK(f.tested.renew_resting(me, 2) == 2);
    CHECK(f.tested.renew_resting(me, 5) == 1);
    CHECK(f.tested.renew_resting(me, 5) == 0);
    REQUIRE(f.take() != nullptr);
    CHECK(f.tested.stats().renewed == 3);  // and the take renewed nothing
    CHECK(f.tested.stats().released == 3);
}

TEST_CASE("slab: pages that cannot be replaced put the slot in quarantine until they can",
          "[pool]") {
    for (const bool punch : {true, false}) {
        slab_fixture f{2};
        CHECK(f.rest_one() == 0);
        slot_record* other = f.take();
        REQUIRE(other != nullptr);
        {
            const faults broken;
            punch ? faults::fail_punches(EPERM) : faults::fail_populating(ENOMEM);
            CHECK(f.take() == nullptr);
            CHECK(f.tested.word(0).was().state == slot_state::quarantine);
            CHECK(f.take() == nullptr);  // tried again, refused again
            CHECK(f.tested.stats().quarantined >= 2);
        }
        slot_record* record = f.take();
        REQUIRE(record != nullptr);
        CHECK(to_number(record->slot) == 0);
        CHECK(record->data[0] == std::byte{0});
    }
}

TEST_CASE("slab: a slot that settled is renewed although one before it is over the budget",
          "[pool]") {
    slab_fixture f{2, 0, 200};
    CHECK(f.tested.stats().slots == 2);
    std::array<slot_record*, 2> taken{f.take(), f.take()};
    for (slot_record* each : taken) {
        // Lent as another process would have done it, or this one before the budget was used up.
        REQUIRE(f.tested.word(to_number(each->slot)).publish(each->generation, me));
        REQUIRE(f.tested.word(to_number(each->slot)).grant(each->generation, me, kernel_holder));
    }
    *reinterpret_cast<lent_stamp*>(f.control.data() + f.layout.classes[0].stamps) =
        lent_now() + 60'000;
    for (slot_record* each : taken) {
        REQUIRE(f.tested.give_back(*each, me) != drop_outcome::not_held);
    }
    CHECK(f.take() == taken[1]);
    CHECK(f.tested.take(me, search::quick).retry_after > std::chrono::milliseconds{0});
}

TEST_CASE("slab: failed renewals are counted against the budget once", "[pool]") {
    slab_fixture f{1, 4 * page_size, 60'000};
    f.rest_one();
    auto& account = reinterpret_cast<control_header*>(f.control.data())->detached;
    const lent_budget budget{account, 4 * page_size, std::chrono::milliseconds{60'000}};
    {
        const faults broken;
        faults::fail_populating(ENOMEM);
        for (int i = 0; i < 10; ++i) {
            CHECK(f.take() == nullptr);
        }
    }
    CHECK(f.take() != nullptr);
    CHECK(budget.detached_bytes(lent_now()) == page_size);
}

TEST_CASE("slab: beyond the lent budget slots rest on, and are not lent at all", "[pool]") {
    slab_fixture f{3, page_size, 60'000};
    std::array<slot_record*, 3> taken{f.take(), f.take(), f.take()};
    for (const std::size_t i : {0U, 1U}) {
        REQUIRE(f.tested.lend(*taken[i], me));
        REQUIRE(f.tested.give_back(*taken[i], me) != drop_outcome::not_held);
    }
    CHECK(f.take() == taken[0]);  // the budget's one page
    const taken_slot refused = f.tested.take(me, search::quick);
    CHECK(refused.record == nullptr);
    CHECK(refused.retry_after > std::chrono::milliseconds{0});
    CHECK(slot_word::is_resting(f.tested.word(1).was()));

    CHECK_FALSE(f.tested.lend(*taken[2], me));
    REQUIRE(f.tested.give_back(*taken[2], me) != drop_outcome::not_held);
    CHECK(f.take() == taken[2]);  // it was not lent, so it did not rest
}

TEST_CASE("slab: trims the slots that would be taken last, and fills them again on demand",
          "[pool]") {
    slab_fixture f{5};
    slot_record* used = f.take();
    CHECK(f.tested.trim(me, 1) == 3);
    CHECK(f.tested.stats().trimmed == 3);
    CHECK(to_number(f.take()->slot) == 1);  // the one that was kept
    CHECK(f.tested.stats().refilled == 0);
    for (int i = 1; i <= 3; ++i) {
        slot_record* again = f.take();
        REQUIRE(again != nullptr);
        again->data[0] = std::byte{1};
        CHECK(f.tested.stats().refilled == static_cast<std::uint64_t>(i));
    }
    CHECK(f.take() == nullptr);
    CHECK(f.tested.trim(me, 0) == 0);
    REQUIRE(f.tested.give_back(*used, me) != drop_outcome::not_held);
    CHECK(f.tested.trim(me, 0) == 1);
    f.lose_hints();
    CHECK(f.take() == used);  // found by the sweep
    CHECK(f.tested.stats().renewed == 0);
}

TEST_CASE("slab: a trimmed slot that gets no pages is not handed out until it does", "[pool]") {
    slab_fixture f{1};
    {
        const faults broken;
        faults::fail_punches(EPERM);
        CHECK(f.tested.trim(me, 0) == 0);  // and stays as it was
    }
    CHECK(f.tested.stats().trimmed == 0);
    REQUIRE(f.tested.trim(me, 0) == 1);
    {
        const faults broken;
        faults::fail_populating(ENOMEM);
        CHECK(f.take() == nullptr);
        CHECK(f.tested.word(0).was().state == slot_state::quarantine);
    }
    slot_record* record = f.take();
    REQUIRE(record != nullptr);
    CHECK(record->data[0] == std::byte{0});
}

}  // namespace
