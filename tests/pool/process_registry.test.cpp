// SPDX-License-Identifier: MIT
#include <array>
#include <optional>
#include <set>

#include <support/catch.hpp>
#include <zcpool/pool/process_registry.hpp>

namespace {

using namespace zcpool;

struct process_registry_fixture {
    std::array<registry_entry, max_processes> entries;
    process_registry places{entries};

    process_seat join(std::uint32_t pid) { return places.join({pid, 1000 + pid}).value(); }
    holder_set recover(process_seat me) {
        return places.recover(me, [this](holder_set gone) { swept = gone; });
    }
    process_state state(process_seat of) { return places.was(of.index).state; }
    holder_set swept = 0;
};

TEST_CASE("process_registry: encoding keeps every field", "[pool]") {
    const process_status all{0xFFFF, process_state::swept, process_field, process_field};
    CHECK(decode_process(encode_process(all)) == all);
    CHECK(encode_process({}) == 0);
    CHECK(decode_process(encode_process({0x10001, process_state::live, 1, 2})).epoch == 1);
}

TEST_CASE("process_registry: 31 processes have places of their own, and the next has none",
          "[pool]") {
    process_registry_fixture f;
    std::set<std::uint32_t> indices;
    for (std::uint32_t pid = 1; pid <= max_processes; ++pid) {
        const process_seat seat = f.join(pid);
        indices.insert(seat.index);
        CHECK(seat.bit() != kernel_holder);
        CHECK(f.places.identity(seat.index).pid == pid);
        CHECK(f.places.identity(seat.index).start_time == 1000 + pid);
    }
    CHECK(indices.size() == max_processes);
    CHECK_FALSE(f.places.join({99, 99}).has_value());
    CHECK_FALSE(f.places.join_at(3, {99, 99}).has_value());
}

TEST_CASE("process_registry: a place is used again only after a recovery", "[pool]") {
    process_registry_fixture f;
    const process_seat living = f.join(1);
    const process_seat dead = f.join(2);
    CHECK(f.recover(living) == 0);
    REQUIRE(f.places.mark_dying(dead.index, dead.status));
    CHECK(f.state(dead) == process_state::dying);
    CHECK_FALSE(f.places.join_at(dead.index, {3, 3}).has_value());
    CHECK(f.recover(living) == dead.bit());
    CHECK(f.swept == dead.bit());
    CHECK(f.state(dead) == process_state::free);
    CHECK(f.recover(living) == 0);
    const process_seat next = f.join(3);
    CHECK(next.index == dead.index);
    CHECK(next.status.epoch == dead.status.epoch + 1);
}

TEST_CASE("process_registry: a death is said once, and only of who it is", "[pool]") {
    process_registry_fixture f;
    const process_seat living = f.join(1);
    const process_seat dead = f.join(2);
    process_status another = dead.status;
    another.start_bits += 1;
    CHECK_FALSE(f.places.mark_dying(dead.index, another));
    CHECK(f.places.mark_dying(dead.index, dead.status));
    CHECK_FALSE(f.places.mark_dying(dead.index, dead.status));
    CHECK_FALSE(f.places.mark_dying(dead.index, f.places.was(dead.index)));
    f.recover(living);
    const process_seat next = f.join(2);
    CHECK_FALSE(f.places.mark_dying(dead.index, dead.status));  // an old look
    CHECK(f.state(next) == process_state::live);
    CHECK_FALSE(f.places.mark_dying(7, f.places.was(7)));  // nobody
}

TEST_CASE("process_registry: who died as it joined is known by its pid", "[pool]") {
    process_registry_fixture f;
    const process_seat living = f.join(1);
    const process_status joining{1, process_state::joining, 42, 2};
    f.entries[5].status.store(encode_process(joining), memory_order_relaxed);
    CHECK_FALSE(f.places.join_at(5, {3, 3}).has_value());
    REQUIRE(f.places.mark_dying(5, joining));
    f.recover(living);
    CHECK(f.places.join_at(5, {3, 3}).has_value());
}

TEST_CASE("process_registry: a place waits for who is in the middle of a grant or of a sweep",
          "[pool]") {
    process_registry_fixture f;
    const process_seat living = f.join(1);
    const process_seat other = f.join(2);
    const process_seat dead = f.join(3);
    REQUIRE(f.places.mark_dying(dead.index, dead.status));
    // As stopped inside grant(): it may still set the bit. So each recovery sweeps again.
    f.entries[other.index].granting.store(1, memory_order_relaxed);
    CHECK(f.recover(living) == dead.bit());
    CHECK(f.recover(living) == dead.bit());
    CHECK(f.state(dead) == process_state::dying);
    f.entries[other.index].granting.store(0, memory_order_relaxed);
    // As stopped in a sweep that began before.
    f.entries[other.index].sweeping.store(1, memory_order_relaxed);
    CHECK(f.recover(living) == dead.bit());
    CHECK(f.state(dead) == process_state::swept);
    CHECK(f.recover(living) == 0);
    CHECK_FALSE(f.places.join_at(dead.index, {4, 4}).has_value());
    SECTION("it goes on") { f.entries[other.index].sweeping.store(0, memory_order_relaxed); }
    SECTION("it dies too") { REQUIRE(f.places.mark_dying(other.index, other.status)); }
    f.recover(living);
    CHECK(f.state(dead) == process_state::free);
    CHECK(f.places.join_at(dead.index, {4, 4}).has_value());
}

TEST_CASE("process_registry: what a killed process was in the middle of does not stay", "[pool]") {
    process_registry_fixture f;
    const process_seat living = f.join(1);
    const process_seat dead = f.join(2);
    f.entries[dead.index].granting.store(1, memory_order_relaxed);
    f.entries[dead.index].sweeping.store(3, memory_order_relaxed);
    REQUIRE(f.places.mark_dying(dead.index, dead.status));
    f.recover(living);
    const process_seat next = f.join(3);
    REQUIRE(next.index == dead.index);
    const process_seat third = f.join(4);
    REQUIRE(f.places.mark_dying(third.index, third.status));
    f.recover(living);
    CHECK(f.state(third) == process_state::free);
}

TEST_CASE("process_registry: a share is granted to the living alone", "[pool]") {
    process_registry_fixture f;
    const process_seat from = f.join(1);
    const process_seat to = f.join(2);
    slot_word word;
    const auto generation = word.claim(from.bit()).value();
    CHECK_FALSE(f.places.grant(word, generation, from, to));  // not published
    REQUIRE(word.publish(generation, from.bit()));
    CHECK(f.places.grant(word, generation, from, to));
    CHECK(word.was().holders == (from.bit() | to.bit()));
    CHECK(word.drop(generation, to.bit()) == drop_outcome::still_held);

    process_seat earlier = to;
    earlier.status.epoch -= 1;
    CHECK_FALSE(f.places.grant(word, generation, from, earlier));
    REQUIRE(f.places.mark_dying(to.index, to.status));
    CHECK_FALSE(f.places.grant(word, generation, from, to));
    CHECK(word.was().holders == from.bit());
    CHECK(f.entries[from.index].granting.load(memory_order_relaxed) == 0);
}

/// A word whose grant comes in the same moment as the death of who it is for.
struct dying_word {
    process_registry_fixture& f;
    process_seat to;
    slot_word word;
    bool grant(std::uint32_t generation, holder_set me, holder_set other) {
        const bool granted = word.grant(generation, me, other);
        f.places.mark_dying(to.index, to.status);
        return granted;
    }
    drop_outcome drop(std::uint32_t generation, holder_set who) {
        return word.drop(generation, who);
    }
};

TEST_CASE("process_registry: a share of one who dies meanwhile is taken back", "[pool]") {
    process_registry_fixture f;
    const process_seat from = f.join(1);
    const process_seat to = f.join(2);
    dying_word word{f, to, {}};
    const auto generation = word.word.claim(from.bit()).value();
    REQUIRE(word.word.publish(generation, from.bit()));
    CHECK_FALSE(f.places.grant(word, generation, from, to));
    CHECK(word.word.was().holders == from.bit());
}

}  // namespace
