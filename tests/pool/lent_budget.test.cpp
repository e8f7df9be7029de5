// SPDX-License-Identifier: MIT
#include <chrono>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/lent_budget.hpp>

namespace {

using namespace zcpool;
using std::chrono::milliseconds;

constexpr std::size_t slot = 64 * 1024;
constexpr lent_stamp start = 1'000'000;

TEST_CASE("lent_budget: refuses what would exceed the limit, and counts only what it allowed",
          "[pool]") {
    lent_account account;
    lent_budget budget{account, 2 * slot, milliseconds{800}};
    CHECK(budget.try_detach(start, start, slot));
    CHECK(budget.has_room(start, slot));
    CHECK(budget.try_detach(start, start, slot));
    CHECK_FALSE(budget.has_room(start, slot));
    CHECK_FALSE(budget.try_detach(start, start, slot));
    CHECK(budget.detached_bytes(start) == 2 * slot);
}

TEST_CASE("lent_budget: bytes expire after the settle time, and not before", "[pool]") {
    lent_account account;
    lent_budget budget{account, slot, milliseconds{800}};
    REQUIRE(budget.try_detach(start, start, slot));
    CHECK(budget.detached_bytes(start + 799) == slot);
    CHECK(budget.detached_bytes(start + 800 +
                                static_cast<std::uint64_t>(budget.period().count())) == 0);
    CHECK(budget.try_detach(start + 2'000, start + 2'000, slot));
}

TEST_CASE("lent_budget: what was sent long ago costs nothing", "[pool]") {
    lent_account account;
    lent_budget budget{account, 0, milliseconds{800}};
    CHECK(budget.try_detach(start, start - 800, slot));
    CHECK_FALSE(budget.try_detach(start, start - 799, slot));
    CHECK(budget.detached_bytes(start) == 0);
}

TEST_CASE("lent_budget: who was held up for long takes nothing out of the account", "[pool]") {
    lent_account account;
    lent_budget budget{account, 4 * slot, milliseconds{800}};
    const auto later =
        start + static_cast<std::uint64_t>(budget.period().count()) * zcpool::lent_account::buckets;
    REQUIRE(budget.try_detach(later, later, slot));
    static_cast<void>(budget.try_detach(start, start, slot));  // in the same bucket
    CHECK(budget.detached_bytes(later) == slot);
}

TEST_CASE("lent_budget: a settle time of zero keeps no account", "[pool]") {
    lent_account account;
    lent_budget budget{account, 0, milliseconds{0}};
    CHECK(budget.try_detach(start, start, slot));
    CHECK(budget.has_room(start, slot));
    CHECK(budget.detached_bytes(start) == 0);
}

TEST_CASE("lent_budget: a stamp from a moment ahead of now is no settled slot", "[pool]") {
    lent_account account;
    lent_budget budget{account, 0, milliseconds{800}};
    CHECK_FALSE(budget.try_detach(start, start + 3, slot));
}

TEST_CASE("lent_budget: at any time the account is at least what is really held", "[pool]") {
    // Against a plain list of (bytes, expiry): the account may be late by a period, never early.
    std::mt19937 random{7};
    lent_account account;
    lent_budget budget{account, 40 * slot, milliseconds{500}};
    std::vector<std::pair<lent_stamp, std::size_t>> held;
    lent_stamp now = start;
    bool never_early = true;
    bool never_above = true;
    for (int step = 0; step < 20'000; ++step) {
        now += random() % 40;
        const lent_stamp sent = now - random() % 600;
        if (budget.try_detach(now, sent, slot) && now < sent + 500) {
            held.emplace_back(sent + 500, slot);
        }
        std::size_t really = 0;
        std::erase_if(held, [&](const auto& each) { return each.first <= now; });
        for (const auto& each : held) {
            really += each.second;
        }
        never_early &= budget.detached_bytes(now) >= really;
        never_above &= budget.detached_bytes(now) <= budget.limit();
    }
    CHECK(never_early);
    CHECK(never_above);
}

TEST_CASE("lent_budget: the shortest settle times have periods, too", "[pool]") {
    for (const int settle : {1, 2, 7, 8, 9}) {
        lent_account account;
        lent_budget budget{account, slot, milliseconds{settle}};
        CHECK(budget.period() > milliseconds{0});
        CHECK(budget.try_detach(start, start, slot));
        CHECK_FALSE(budget.has_room(start, slot));
        CHECK(budget.has_room(start + 20, slot));
    }
}

}  // namespace
