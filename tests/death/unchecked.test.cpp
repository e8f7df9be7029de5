// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include <support/misuse.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <zcpool/base/poison.hpp>

// What is found where nobody asked for it: the slot words refuse a stale release, with assertions
// it is said, and AddressSanitizer sees free slots touched.

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::can_poison;
using zcpool::class_spec;
using zcpool::pool_core;
using zcpool::slot_record;

constexpr zcpool::pool_policy no_caches{.cache = zcpool::cache_policy::none};
using bare_pool = zcpool::pool<zcpool::size_classes<4_KiB>, no_caches>;

TEST_CASE("misuse: in an unchecked pool, a free slot released again", "[death]") {
    const ending seen = ending_of([] {
        const auto pool = own_pool<bare_pool>({.slots = {2}});
        buffer first = pool.try_acquire(1);
        bitwise_copy second{first};
        first.reset();
        second->reset();
        return slots_in_use(pool) == 0 && pool.stats()[0].released == 1 ? 0 : 1;
    });
    INFO(seen.words);
#if ZCPOOL_ASSERTIONS
    CHECK(seen.status == -SIGABRT);
    CHECK(seen.says("released a slot that this process does not hold"));
#else
    CHECK(seen.status == 0);
    CHECK(seen.words.empty());
#endif
}

#if !ZCPOOL_ASSERTIONS
TEST_CASE("misuse: in an unchecked pool, releases of free slots change nothing", "[death]") {
    const zcpool_test::held before;
    constexpr std::uint32_t slots = 8;
    const std::array<class_spec, 1> classes{{{4_KiB, slots}}};
    zcpool::creation_report report;
    pool_core* const core =
        pool_core::create(classes, {.slots = {slots}}, no_caches, report).value();
    std::vector<slot_record*> held;
    std::vector<slot_record*> stale;
    std::minstd_rand random{7};
    const auto any_of = [&](auto& from) { return random() % from.size(); };
    long misused = 0;
    for (long i = 0; i < scaled(1'000'000); ++i) {
        if (held.empty() || (held.size() < slots && random() % 64 == 0)) {
            held.push_back(core->take(0).value());
            std::erase(stale, held.back());
        } else if (random() % 64 == 0) {
            const auto at = any_of(held);
            core->give_back(*held[at]);
            stale.push_back(held[at]);
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
        }
        if (!stale.empty()) {
            slot_record& wrong = *stale[any_of(stale)];
            const auto word = core->was(wrong);
            core->give_back(wrong);
            ++misused;
            REQUIRE(core->was(wrong) == word);
            REQUIRE(core->stats()[0].in_use == held.size());
        }
    }
    CHECK(misused > scaled(1'000'000) / 2);
    // The references as well: the core goes with the last slot that is held, not before.
    while (held.size() > 1) {
        core->give_back(*held.back());
        held.pop_back();
    }
    core->end();
    CHECK(core->was(*held.front()).state == zcpool::slot_state::owned);
    core->give_back(*held.front());
    CHECK(before == zcpool_test::held{});
}
#endif

/// What AddressSanitizer says of a child.
void check_poisoned(const ending& seen) {
    INFO(seen.words);
    CHECK(seen.status == 1);
    CHECK(seen.says("AddressSanitizer: use-after-poison"));
}

TEST_CASE("misuse: with AddressSanitizer, a free slot touched", "[death]") {
    if (!can_poison) {
        SKIP("built without AddressSanitizer");
    }
    const auto touch = [](auto&& use) {
        return ending_of([&] {
            // With thread caches: the slot stays with this thread.
            const auto pool = own_pool<small_pool>({.slots = {64, 64}});
            buffer held = pool.try_acquire(1);
            held.space()[0] = std::byte{1};
            std::byte* const bytes = held.data();
            held.reset();
            use(bytes);
            return 0;
        });
    };
    check_poisoned(touch([](std::byte* bytes) { *const_cast<volatile std::byte*>(bytes); }));
    check_poisoned(touch(
        [](std::byte* bytes) { *const_cast<volatile std::byte*>(bytes + 4095) = std::byte{1}; }));
    check_poisoned(touch([](std::byte* bytes) {
        int ends[2];
        if (::pipe(ends) == 0) {
            static_cast<void>(::write(ends[1], bytes, 16));
        }
    }));
    // Never acquired at all.
    check_poisoned(touch([](std::byte* bytes) { bytes[4096] = std::byte{1}; }));
}

TEST_CASE("misuse: with AddressSanitizer, what is done right is not reported", "[death]") {
    const ending seen = ending_of([] {
        for (int round = 0; round < 3; ++round) {
            const auto pool = own_pool<small_pool>(lending_options(64, 32));
            for (int i = 0; i < 100; ++i) {
                buffer held = pool.try_acquire(64_KiB);
                fill(held.space(), 1);
                held.commit(64_KiB);
                const zcpool::slice frozen = std::move(held).freeze();
                int pair[2];
                if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) {
                    return 1;
                }
                zcpool::sink::sendfile lent{pair[0]};
                lent.push(frozen);
                static_cast<void>(lent.flush());
                ::close(pair[0]);
                ::close(pair[1]);
            }
            static_cast<void>(pool.trim());
            static_cast<void>(pool.renew_resting(8));
            buffer again = pool.try_acquire(1);
            again.space()[0] = std::byte{1};
        }
        return 0;
    });
    INFO(seen.words);
    CHECK(seen.status == 0);
}

TEST_CASE("misuse: with AddressSanitizer, a forked child's own pool is not its parent's",
          "[death]") {
    const auto parents = make_pool({.slots = {64, 64}});
    const ending seen = ending_of([] {
        // Likely at the addresses that the parent's slots have.
        const auto pool = own_pool<small_pool>({.slots = {64, 64}});
        buffer held = pool.try_acquire(64_KiB);
        fill(held.space(), 1);
        return 0;
    });
    INFO(seen.words);
    CHECK(seen.status == 0);
}

}  // namespace
