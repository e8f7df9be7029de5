// SPDX-License-Identifier: MIT
#include <array>
#include <source_location>
#include <string>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/slot_history.hpp>

namespace {

using namespace zcpool;

/// A place that is told by its line.
call_site line(std::uint32_t number) {
    call_site site;
    site.line = number;
    return site;
}

struct slot_history_fixture {
    slot_history_fixture() { tested.open(5); }

    /// A whole life, acquired at `number` and released at `number + 1`.
    slot_life live(std::uint32_t number) {
        const slot_life life = tested.begin(line(number));
        REQUIRE(tested.end(life, line(number + 1)));
        return life;
    }

    slot_history tested;
};

TEST_CASE("slot_history: a life goes on from its beginning to its end", "[pool]") {
    slot_history_fixture f;
    const slot_life life = f.tested.begin(line(1));
    CHECK(life != 0);
    CHECK(f.tested.is_now(life));
    CHECK(f.tested.is_now(shortened(life)));
    CHECK(f.tested.end(life, line(2)));
    CHECK_FALSE(f.tested.is_now(life));
    CHECK_FALSE(f.tested.is_now(shortened(life)));
}

TEST_CASE("slot_history: a life ends once, and only by its own number", "[pool]") {
    slot_history_fixture f;
    const slot_life first = f.live(1);
    CHECK_FALSE(f.tested.end(first, line(3)));
    const slot_life second = f.tested.begin(line(4));
    CHECK(second != first);
    CHECK_FALSE(f.tested.end(first, line(5)));
    CHECK_FALSE(f.tested.end(shortened(first), line(5)));
    CHECK_FALSE(f.tested.end(0, line(5)));
    CHECK(f.tested.is_now(second));
    CHECK(f.tested.end(shortened(second), line(6)));
    CHECK(f.tested.last_sites().released.line == 6);
}

TEST_CASE("slot_history: the last lives are remembered with their places", "[pool]") {
    slot_history_fixture f;
    CHECK_FALSE(f.tested.last_sites().known);
    std::vector<slot_life> lives;
    for (std::uint32_t i = 0; i < 6; ++i) {
        lives.push_back(f.live(10 * i));
        for (std::uint32_t old = 0; old <= i; ++old) {
            for (const slot_life life : {lives[old], slot_life{shortened(lives[old])}}) {
                const life_sites sites = f.tested.sites_of(life);
                CHECK(sites.known == (i - old < slot_history::remembered));
                if (sites.known) {
                    CHECK(sites.acquired.line == 10 * old);
                    CHECK(sites.released.line == 10 * old + 1);
                }
            }
        }
    }
    const slot_life now = f.tested.begin(line(70));
    CHECK(f.tested.sites_of(now).acquired.line == 70);
    CHECK(f.tested.sites_of(now).released.line == 0);
    CHECK(f.tested.sites_of(lives.back()).released.line == 51);
}

TEST_CASE("slot_history: numbers start over without a life of 0, and keep their pool", "[pool]") {
    slot_history_fixture f;
    slot_life last = 0;
    constexpr std::uint32_t lives = (std::uint32_t{1} << 23) + 3;
    for (std::uint32_t i = 0; i < lives; ++i) {
        const slot_life life = f.tested.begin({});
        if (life == last || life >> 24 != 5 || shortened(life) == 0 || !f.tested.end(life, {})) {
            FAIL("life " << i << " has the number " << life);
        }
        last = life;
    }
    const slot_life again = f.live(1);
    CHECK(f.tested.sites_of(again).acquired.line == 1);
}

TEST_CASE("slot_history: another pool's life is foreign where its number tells", "[pool]") {
    slot_history_fixture f;
    slot_history other;
    other.open(6);
    const slot_life mine = f.tested.begin({});
    const slot_life theirs = other.begin({});
    CHECK(f.tested.is_foreign(theirs));
    CHECK_FALSE(f.tested.is_foreign(mine));
    CHECK_FALSE(f.tested.is_foreign(shortened(theirs)));
    CHECK_FALSE(f.tested.is_now(theirs));
    CHECK_FALSE(f.tested.end(theirs, {}));
    CHECK_FALSE(f.tested.sites_of(theirs).known);
}

TEST_CASE("slot_history: the last life is a good handle's while it goes on only", "[pool]") {
    zcpool::slot_history history;
    history.open(3);
    const auto life = history.begin({});
    CHECK(history.last() == life);
    CHECK(history.end(history.last(), {}));
    CHECK(history.last() == life);
    CHECK_FALSE(history.end(history.last(), {}));
    const auto next = history.begin({});
    CHECK(history.last() == next);
}

}  // namespace
