// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <vector>

#include <support/catch.hpp>
#include <support/holders.hpp>
#include <zcpool/pool/class_recovery.hpp>

// All schedules of it are tests/model/pool.cpp; on a real slab it is slab_recovery.test.cpp.

namespace {

using namespace zcpool;
using zcpool_test::dead;
using zcpool_test::me;
using zcpool_test::other;

/// Slots that are only words.
struct plain_class {
    std::array<slot_word, 8> words;
    std::vector<std::uint32_t> cleaned, free, resting;
    std::uint32_t given_up = 0;
    int counted = 0, rebuilt = 0;
    bool no_pages = false;

    std::uint32_t size() const { return static_cast<std::uint32_t>(words.size()); }
    reap_outcome reap(std::uint32_t slot, holder_set gone, holder_set who) {
        return words[slot].reap(gone, who);
    }
    bool clean(std::uint32_t slot) {
        CHECK(words[slot].was().state == slot_state::cleaning);
        CHECK(words[slot].was().holders == me);
        if (no_pages) {
            words[slot].quarantine();
            return false;
        }
        cleaned.push_back(slot);
        words[slot].free_cleaned();
        return true;
    }
    void push_free(std::uint32_t slot) { free.push_back(slot); }
    void push_resting(std::uint32_t slot) { resting.push_back(slot); }
    void rebuild() { ++rebuilt; }
    void came_back(std::uint32_t slots) {
        given_up += slots;
        ++counted;
    }

    std::uint32_t publish(std::uint32_t slot, holder_set who) {
        const auto generation = words[slot].claim(who).value();
        REQUIRE(words[slot].publish(generation, who));
        return generation;
    }
};
static_assert(recoverable_class<plain_class&>);
static_assert(!recoverable_class<slot_word>);

TEST_CASE("class_recovery: takes back what the dead had, each in its own way", "[pool]") {
    plain_class slots;
    REQUIRE(slots.words[0].claim(dead));  // half written
    slots.publish(1, dead);               // its own
    REQUIRE(slots.words[2].grant(slots.publish(2, other), other, dead));
    REQUIRE(slots.words[3].grant(slots.publish(3, dead), dead, kernel_holder));  // lent
    const auto lent = slots.publish(4, other);
    REQUIRE(slots.words[4].grant(lent, other, kernel_holder));
    REQUIRE(slots.words[4].drop(lent, other) == drop_outcome::resting);
    REQUIRE(slots.words[4].claim_resting(dead));  // being cleaned
    REQUIRE(slots.words[5].claim(other));         // none of its business
    const auto trimmed = slots.words[6].claim(other).value();
    slots.words[6].trim(trimmed);

    const class_recovery done = recover_class(slots, dead, me);
    CHECK(done.freed == 2);
    CHECK(done.resting == 2);
    CHECK(done.shares == 1);
    CHECK(done.quarantined == 0);
    CHECK(slots.cleaned == std::vector<std::uint32_t>{0, 4});
    CHECK(slots.free == std::vector<std::uint32_t>{0, 4});
    CHECK(slots.resting == std::vector<std::uint32_t>{1, 3});
    CHECK(slots.words[0].was() == slot_status{1, slot_state::free, 0});
    CHECK(slots.words[2].was().holders == (other | kernel_holder));
    CHECK(slot_word::is_resting(slots.words[3].was()));
    CHECK(slots.words[5].was().state == slot_state::owned);
    CHECK(slot_word::is_trimmed(slots.words[6].was()));
    CHECK(slots.given_up == 4);
}

TEST_CASE("class_recovery: may be repeated, and counts although it finds nothing", "[pool]") {
    plain_class slots;
    REQUIRE(slots.words[0].claim(dead));
    CHECK(recover_class(slots, dead, me).freed == 1);
    const auto before = slots.words[0].was();
    CHECK(recover_class(slots, dead, me).freed == 0);
    CHECK(slots.words[0].was() == before);
    CHECK(slots.counted == 2);
    CHECK(slots.rebuilt == 2);
}

TEST_CASE("class_recovery: a slot without new pages is put aside", "[pool]") {
    plain_class slots;
    slots.no_pages = true;
    REQUIRE(slots.words[0].claim(dead));
    CHECK(recover_class(slots, dead, me).quarantined == 1);
    CHECK(slots.words[0].was().state == slot_state::quarantine);
    CHECK(slots.free.empty());
}

TEST_CASE("class_recovery: goes on where another recoverer died", "[pool]") {
    plain_class slots;
    REQUIRE(slots.words[0].claim(dead));
    REQUIRE(slots.words[0].reap(dead, other) == reap_outcome::taken_over);
    CHECK(recover_class(slots, dead, me).freed == 0);  // the other one may live
    CHECK(slots.words[0].was().holders == other);
    CHECK(recover_class(slots, dead | other, me).freed == 1);
}

}  // namespace
