// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/holders.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/pool/byte_pattern.hpp>
#include <zcpool/pool/renewal.hpp>

// What it does inside a slab, with budget and quarantine, is in slab.test.cpp.

namespace {

using namespace zcpool;
using zcpool_test::me;

struct renewal_fixture {
    explicit renewal_fixture(std::size_t budget_bytes = 0, int settle_ms = 0,
                             zeroing zeroes = zeroing::never) {
        const std::array<class_spec, 1> classes{{{page_size, 1}}};
        layout = compute_layout(classes).value();
        data = shared_memory::create("zcpool-data", layout.data_bytes, page_use::renewable).value();
        control = shared_memory::create("zcpool-control", layout.control_bytes, page_use::control)
                      .value();
        auto& header = *reinterpret_cast<control_header*>(control.data());
        tested = {layout.classes[0], data, control.data(),
                  lent_budget{header.detached, budget_bytes, std::chrono::milliseconds{settle_ms}},
                  zeroes};
        record.generation = word.claim(me).value();
    }

    [[nodiscard]] class_counters& counters() {
        return *reinterpret_cast<class_counters*>(control.data() + layout.classes[0].counters);
    }

    pool_layout layout;
    shared_memory data;
    shared_memory control;
    slot_word word;
    slot_record record;
    page_renewer tested;
};

TEST_CASE("renewal: lending publishes the slot and gives the kernel a share, once", "[pool]") {
    renewal_fixture f;
    for (int i = 0; i < 3; ++i) {
        REQUIRE(f.tested.lend(f.record, f.word, me));
    }
    CHECK(f.word.was() ==
          slot_status{f.record.generation, slot_state::published, me | kernel_holder});
    CHECK(f.counters().read().lent == 1);
}

TEST_CASE("renewal: a slot that its holder gave up cannot be lent", "[pool]") {
    renewal_fixture f;
    REQUIRE(f.word.drop(f.record.generation, me) == drop_outcome::freed);
    CHECK_FALSE(f.tested.lend(f.record, f.word, me));
    CHECK(f.record.last_lent.load(memory_order_relaxed) == 0);
}

TEST_CASE("renewal: a slot of the dead gets new pages, or goes into quarantine", "[pool]") {
    renewal_fixture f;
    f.data.data()[0] = std::byte{7};
    REQUIRE(f.word.reap(me, me) == reap_outcome::taken_over);
    {
        zcpool_test::faults broken;
        zcpool_test::faults::fail_punches(EIO);
        CHECK_FALSE(f.tested.replace(0, f.word));
        CHECK(f.word.was().state == slot_state::quarantine);
    }
    REQUIRE(f.word.claim_resting(me));
    CHECK(f.tested.replace(0, f.word));
    CHECK(f.data.data()[0] == std::byte{0});
    CHECK(f.counters().read().renewed == 1);
}

TEST_CASE("renewal: the last holder zeroes the slot, all of it, and frees it", "[pool]") {
    renewal_fixture f{0, 0, zeroing::on_release};
    const auto generation = f.record.generation;
    const std::span<std::byte> bytes{f.data.data(), page_size};
    const auto is_zeroed = [bytes] {
        unpoison(bytes.data(), bytes.size());  // as whoever acquires it
        return first_other(bytes, std::byte{0}) == page_size;
    };
    std::fill(bytes.begin(), bytes.end(), std::byte{7});
    SECTION("an owner") {}
    SECTION("a reader, when there is no other one") {
        REQUIRE(f.word.publish(generation, me));
        REQUIRE(f.word.grant(generation, me, 2));
        CHECK(f.tested.drop(0, generation, f.word, me) == drop_outcome::still_held);
        CHECK(bytes.front() == std::byte{7});
        CHECK(f.tested.drop(0, generation, f.word, me) == drop_outcome::not_held);
        CHECK(f.tested.drop(0, generation, f.word, 2) == drop_outcome::freed);
        CHECK(is_zeroed());
        return;
    }
    CHECK(f.tested.drop(0, generation, f.word, me) == drop_outcome::freed);
    CHECK(f.word.was() == slot_status{generation + 1, slot_state::free, 0});
    CHECK(is_zeroed());
    // A stale handle changes nothing.
    bytes.front() = std::byte{7};
    CHECK(f.tested.drop(0, generation, f.word, me) == drop_outcome::not_held);
    CHECK(bytes.front() == std::byte{7});
}

TEST_CASE("renewal: what the kernel may still read is not zeroed", "[pool]") {
    renewal_fixture f{0, 0, zeroing::on_release};
    f.data.data()[0] = std::byte{7};
    REQUIRE(f.tested.lend(f.record, f.word, me));
    CHECK(f.tested.drop(0, f.record.generation, f.word, me) == drop_outcome::resting);
    CHECK(f.data.data()[0] == std::byte{7});
}

TEST_CASE("renewal: only where it is asked to it zeroes anything", "[pool]") {
    renewal_fixture f;
    f.data.data()[0] = std::byte{7};
    f.tested.zero(0);
    CHECK(f.tested.drop(0, f.record.generation, f.word, me) == drop_outcome::freed);
    CHECK(f.data.data()[0] == std::byte{7});
}

TEST_CASE("renewal: only a resting slot is cleaned", "[pool]") {
    renewal_fixture f;
    CHECK(f.tested.clean(0, f.word, me) == renewal::lost);
    REQUIRE(f.tested.lend(f.record, f.word, me));
    CHECK(f.tested.clean(0, f.word, me) == renewal::lost);
    f.tested.note_last_send(f.record);
    CHECK(f.record.last_lent.load(memory_order_relaxed) == 0);
    REQUIRE(f.word.drop(f.record.generation, me) == drop_outcome::resting);
    f.data.data()[0] = std::byte{7};
    CHECK(f.tested.clean(0, f.word, me) == renewal::cleaned);
    CHECK(f.data.data()[0] == std::byte{0});
    CHECK(f.word.was().state == slot_state::cleaning);
}

TEST_CASE("renewal: the account counts from the last send, wherever it was noted", "[pool]") {
    renewal_fixture f{0, 60'000};
    REQUIRE(f.word.publish(f.record.generation, me));
    REQUIRE(f.word.grant(f.record.generation, me, kernel_holder));
    f.record.last_lent.store(lent_now(), memory_order_relaxed);
    f.tested.note_last_send(f.record);
    REQUIRE(f.word.drop(f.record.generation, me) == drop_outcome::resting);
    CHECK(f.tested.clean(0, f.word, me) == renewal::over_budget);
    CHECK(slot_word::is_resting(f.word.was()));
    CHECK(f.tested.period() > std::chrono::milliseconds{0});
}

/// An arena of two slots.
struct arena_fixture {
    explicit arena_fixture(std::size_t budget_bytes = 0, int settle_ms = 0) {
        const std::array<class_spec, 1> classes{{{huge_page_size / 2, 2}}};
        layout = compute_layout(classes, checking::none, lending::arena).value();
        data =
            shared_memory::create_huge("zcpool-data", layout.data_bytes, arena_backing::anonymous)
                .value();
        control = shared_memory::create("zcpool-control", layout.control_bytes, page_use::control)
                      .value();
        auto& header = *reinterpret_cast<control_header*>(control.data());
        tested = {layout.classes[0], data, control.data(),
                  lent_budget{header.detached, budget_bytes, std::chrono::milliseconds{settle_ms}}};
    }

    renewal clean() {
        return tested.clean_arena(
            0, 2, [this](std::uint32_t slot) -> slot_word& { return words[slot]; }, me);
    }
    /// Lends a free slot, and leaves it resting.
    void rest(std::uint32_t slot) {
        slot_record record;
        record.slot = slot_index{slot};
        record.generation = words[slot].claim(me).value();
        REQUIRE(tested.lend(record, words[slot], me));
        tested.note_last_send(record);
        REQUIRE(words[slot].drop(record.generation, me) == drop_outcome::resting);
    }

    pool_layout layout;
    shared_memory data;
    shared_memory control;
    std::array<slot_word, 2> words;
    page_renewer tested;
};

TEST_CASE("renewal: an arena is renewed when every slot of it was claimed", "[pool]") {
    arena_fixture f;
    f.rest(1);
    f.data.data()[0] = std::byte{7};
    f.data.data()[huge_page_size - 1] = std::byte{7};
    CHECK(f.clean() == renewal::cleaned);
    CHECK(f.data.data()[0] == std::byte{0});
    CHECK(f.data.data()[huge_page_size - 1] == std::byte{0});
    CHECK(f.words[0].was() == slot_status{1, slot_state::free, 0});
    CHECK(f.words[1].was() == slot_status{1, slot_state::free, 0});
}

TEST_CASE("renewal: an arena of which somebody has a slot stays as it is", "[pool]") {
    for (const std::uint32_t held : {0U, 1U}) {
        arena_fixture f;
        f.rest(1 - held);
        const auto generation = f.words[held].claim(me);
        const auto resting = f.words[1 - held].was();
        f.data.data()[0] = std::byte{7};
        CHECK(f.clean() == renewal::lost);
        CHECK(f.data.data()[0] == std::byte{7});
        CHECK(f.words[1 - held].was() == resting);
        CHECK(f.words[held].drop(*generation, me) == drop_outcome::freed);
        CHECK(f.clean() == renewal::cleaned);
    }
}

TEST_CASE("renewal: over the budget an arena stays as it is, and its slots too", "[pool]") {
    arena_fixture f{huge_page_size, 60'000};
    f.rest(1);
    CHECK(f.clean() == renewal::cleaned);
    REQUIRE(f.words[0].claim(me).has_value());
    REQUIRE(f.words[0].publish(1, me));
    REQUIRE(f.words[0].grant(1, me, kernel_holder));  // lent while there was room
    REQUIRE(f.words[0].drop(1, me) == drop_outcome::resting);
    f.data.data()[0] = std::byte{7};
    CHECK(f.clean() == renewal::over_budget);
    CHECK(f.data.data()[0] == std::byte{7});
    CHECK(slot_word::is_resting(f.words[0].was()));
    CHECK(f.words[1].was().state == slot_state::free);
}

TEST_CASE("renewal: where an arena cannot be renewed, all its slots are in quarantine", "[pool]") {
    arena_fixture f;
    f.rest(0);
    {
        const zcpool_test::faults broken;
        zcpool_test::faults::fail_populating(ENOMEM);
        CHECK(f.clean() == renewal::failed);
    }
    for (const slot_word& each : f.words) {
        CHECK(each.was().state == slot_state::quarantine);
    }
    CHECK(f.clean() == renewal::cleaned);
    for (const slot_word& each : f.words) {
        CHECK(each.was().state == slot_state::free);
    }
}

}  // namespace
