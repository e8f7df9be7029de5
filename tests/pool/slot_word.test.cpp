// SPDX-License-Identifier: MIT
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/holders.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace {

using namespace zcpool;
using zcpool_test::me;
using zcpool_test::other;

TEST_CASE("slot_word: a free slot is claimed once", "[pool]") {
    slot_word word;
    const auto generation = word.claim(me);
    REQUIRE(generation.has_value());
    CHECK_FALSE(word.claim(other).has_value());
    CHECK(word.was() == slot_status{*generation, slot_state::owned, me});
}

TEST_CASE("slot_word: dropping the last holder frees it under the next generation", "[pool]") {
    slot_word word;
    const auto first = *word.claim(me);
    CHECK(word.drop(first, me) == drop_outcome::freed);
    CHECK(word.was() == slot_status{first + 1, slot_state::free, 0});
    CHECK(word.claim(me) == first + 1);
}

TEST_CASE("slot_word: a published slot stays while anybody holds it", "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    REQUIRE(word.publish(generation, me));
    REQUIRE(word.grant(generation, me, other));
    CHECK(word.drop(generation, me) == drop_outcome::still_held);
    CHECK_FALSE(word.claim(me).has_value());
    CHECK(word.drop(generation, other) == drop_outcome::freed);
}

TEST_CASE("slot_word: a share of what a peer told us of", "[pool]") {
    constexpr holder_set third = 8;
    slot_word word;
    CHECK(word.accept(0, me, other) == accept_outcome::gone);
    const auto generation = *word.claim(me);
    CHECK(word.accept(generation, me, other) == accept_outcome::gone);  // not published
    REQUIRE(word.publish(generation, me));
    CHECK(word.accept(generation + 1, me, other) == accept_outcome::gone);
    CHECK(word.accept(generation, third, other) == accept_outcome::gone);
    CHECK(word.accept(generation, me, other) == accept_outcome::accepted);
    CHECK(word.accept(generation, me, other) == accept_outcome::mine_already);
    CHECK(word.accept(generation, other, third) == accept_outcome::accepted);
    CHECK(word.was() == slot_status{generation, slot_state::published, me | other | third});
    CHECK(word.drop(generation, me) == drop_outcome::still_held);
    CHECK(word.drop(generation, other) == drop_outcome::still_held);
    CHECK(word.accept(generation, me, other) == accept_outcome::gone);
    CHECK(word.accept(generation, third, other, true) == accept_outcome::accepted);
    CHECK(word.was() == slot_status{generation, slot_state::published, other});
    CHECK(word.accept(generation, third, me) == accept_outcome::gone);
    CHECK(word.accept(generation, other, other) == accept_outcome::mine_already);
    CHECK(word.drop(generation, other) == drop_outcome::freed);
    CHECK(word.accept(generation, third, other) == accept_outcome::gone);
}

TEST_CASE("slot_word: a lent slot rests until it is cleaned", "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    REQUIRE(word.publish(generation, me));
    CHECK_FALSE(word.claim_resting(me));
    REQUIRE(word.grant(generation, me, kernel_holder));
    CHECK_FALSE(word.claim_resting(me));
    CHECK(word.drop(generation, me) == drop_outcome::resting);

    CHECK_FALSE(word.claim(me).has_value());
    REQUIRE(word.claim_resting(other));
    CHECK_FALSE(word.claim_resting(me));

    SECTION("cleaned, it is its cleaner's under a new generation") {
        CHECK(word.finish_cleaning(other) == generation + 1);
        CHECK(word.was() == slot_status{generation + 1, slot_state::owned, other});
    }
    SECTION("what cannot be cleaned is put aside and may be tried again") {
        word.quarantine();
        CHECK_FALSE(word.claim(me).has_value());
        CHECK(word.was().state == slot_state::quarantine);
        CHECK(word.claim_resting(me));
    }
    SECTION("what may not be cleaned now rests on as it was") {
        word.keep_resting();
        CHECK(word.was() == slot_status{generation, slot_state::published, kernel_holder});
        CHECK(word.claim_resting(me));
    }
}

TEST_CASE("slot_word: the last holder of a slot that is to be zeroed cleans it", "[pool]") {
    slot_word word;
    auto generation = *word.claim(me);
    SECTION("an owner") {}
    SECTION("a reader, behind the others") {
        REQUIRE(word.publish(generation, me));
        REQUIRE(word.grant(generation, me, other));
        CHECK(word.drop_to_clean(generation, other) == drop_outcome::still_held);
        CHECK(word.was() == slot_status{generation, slot_state::published, me});
    }
    CHECK(word.drop_to_clean(generation, me) == drop_outcome::cleaning);
    CHECK(word.was() == slot_status{generation, slot_state::cleaning, me});
    // Nobody gets it meanwhile: not whoever was told of it, nor its cleaner a second time.
    CHECK(word.accept(generation, me, other) == accept_outcome::gone);
    CHECK_FALSE(word.claim(other).has_value());
    CHECK_FALSE(word.claim_resting(other));
    CHECK(word.drop_to_clean(generation, me) == drop_outcome::not_held);
    SECTION("then it is free") {
        word.free_cleaned();
        CHECK(word.was() == slot_status{generation + 1, slot_state::free, 0});
    }
    SECTION("or it dies, and it is the recoverer's to clean") {
        CHECK(word.reap(me, other) == reap_outcome::taken_over);
    }
}

TEST_CASE("slot_word: what the kernel may read rests, and is zeroed by nobody", "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    REQUIRE(word.publish(generation, me));
    REQUIRE(word.grant(generation, me, kernel_holder));
    CHECK(word.drop_to_clean(generation, me) == drop_outcome::resting);
    CHECK(word.was() == slot_status{generation, slot_state::published, kernel_holder});
}

TEST_CASE("misuse: slot_word: steps by those who do not hold the slot change nothing", "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    const auto before = word.was();
    CHECK_FALSE(word.publish(generation, other));
    CHECK_FALSE(word.publish(generation + 1, me));
    CHECK_FALSE(word.grant(generation, me, other));  // not published yet
    CHECK(word.drop(generation, other) == drop_outcome::not_held);
    CHECK(word.drop(generation + 1, me) == drop_outcome::not_held);
    CHECK(word.was() == before);

    REQUIRE(word.drop(generation, me) == drop_outcome::freed);
    CHECK(word.drop(generation, me) == drop_outcome::not_held);  // released twice
    REQUIRE(word.claim(other).has_value());
    CHECK(word.drop(generation, me) == drop_outcome::not_held);  // a stale handle
}

TEST_CASE("misuse: slot_word: grants and drops by a stale or foreign holder change nothing",
          "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    REQUIRE(word.publish(generation, me));
    const auto published = word.was();
    CHECK_FALSE(word.grant(generation + 1, me, kernel_holder));
    CHECK_FALSE(word.grant(generation, other, kernel_holder));
    CHECK(word.was() == published);
    REQUIRE(word.grant(generation, me, kernel_holder));
    REQUIRE(word.drop(generation, me) == drop_outcome::resting);
    REQUIRE(word.claim_resting(me));
    CHECK(word.drop(generation, me) == drop_outcome::not_held);  // it is being cleaned, not held
    word.free_cleaned();
    CHECK(word.was() == slot_status{generation + 1, slot_state::free, 0});
}

TEST_CASE("slot_word: what no step can have left is claimed by nobody", "[pool]") {
    slot_word word;
    auto& shared = reinterpret_cast<atomic<std::uint64_t>&>(word);
    for (const slot_status odd :
         {slot_status{5, slot_state::free, other}, slot_status{5, slot_state::owned, 0},
          slot_status{5, static_cast<slot_state>(31), 0}}) {
        shared.store(encode(odd), memory_order_relaxed);
        CHECK_FALSE(word.claim(me).has_value());
        CHECK(word.was() == odd);
    }
}

TEST_CASE("slot_word: a trimmed slot is nobody's until it is claimed as one without pages",
          "[pool]") {
    slot_word word;
    const auto generation = *word.claim(me);
    CHECK_FALSE(word.claim_trimmed(me));
    word.trim(generation);
    CHECK(slot_word::is_trimmed(word.was()));
    CHECK_FALSE(slot_word::is_resting(word.was()));
    CHECK_FALSE(word.claim(me).has_value());
    CHECK_FALSE(word.claim_resting(me));
    CHECK(word.drop(generation, me) == drop_outcome::not_held);
    REQUIRE(word.claim_trimmed(other));
    CHECK_FALSE(word.claim_trimmed(me));
    CHECK(word.finish_cleaning(other) == generation + 2);
}

TEST_CASE("slot_word: what the dead had is taken back according to what it was", "[pool]") {
    constexpr holder_set recoverer = 8;
    slot_word word;
    CHECK(word.reap(other, recoverer) == reap_outcome::untouched);
    auto generation = *word.claim(me);
    CHECK(word.reap(other, recoverer) == reap_outcome::untouched);
    CHECK(word.was() == slot_status{generation, slot_state::owned, me});
    REQUIRE(word.publish(generation, me));
    REQUIRE(word.grant(generation, me, other));
    CHECK(word.reap(other, recoverer) == reap_outcome::still_held);
    CHECK(word.was() == slot_status{generation, slot_state::published, me | kernel_holder});
    CHECK(word.reap(me | other, recoverer) == reap_outcome::resting);
    CHECK(word.was() == slot_status{generation, slot_state::published, kernel_holder});
    REQUIRE(word.claim_resting(me));
    word.free_cleaned();

    generation = *word.claim(me);  // owned: half written
    CHECK(word.reap(me, recoverer) == reap_outcome::taken_over);
    CHECK(word.was() == slot_status{generation, slot_state::cleaning, recoverer});
    CHECK(word.reap(me, other) == reap_outcome::untouched);
    CHECK(word.reap(recoverer, other) == reap_outcome::taken_over);  // the recoverer died too
    word.free_cleaned();

    generation = *word.claim(me);
    REQUIRE(word.publish(generation, me));
    REQUIRE(word.grant(generation, me, kernel_holder));
    CHECK(word.reap(me, recoverer) == reap_outcome::resting);
    CHECK(slot_word::is_resting(word.was()));
    CHECK(word.reap(me, recoverer) == reap_outcome::untouched);
}

TEST_CASE("slot_word: of many who claim at once one wins each time", "[pool][.stress]") {
    slot_word word;
    std::atomic<int> inside{0};
    std::atomic<int> overlaps{0};
    std::atomic<long> won{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, holder = holder_set{1} << t] {
            for (int i = 0; i < 200'000; ++i) {
                if (const auto generation = word.claim(holder)) {
                    overlaps += inside.fetch_add(1) != 0 ? 1 : 0;
                    ++won;
                    inside.fetch_sub(1);
                    overlaps += word.drop(*generation, holder) != drop_outcome::freed ? 1 : 0;
                }
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(overlaps == 0);
    CHECK(word.was().generation == static_cast<std::uint32_t>(won.load()) % generation_limit);
}

}  // namespace
