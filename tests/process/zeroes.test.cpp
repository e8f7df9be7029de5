// SPDX-License-Identifier: MIT
// In a pool that zeroes, no process finds what another one left in a slot: not behind a release,
// nor a death, nor a replaced page. A million acquires at ZCPOOL_TEST_SCALE=4.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <zcpool/pool/byte_pattern.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;
using zcpool::ipc::reaper;

using zeroing_classes = zcpool::pool<zcpool::size_classes<4_KiB, 16_KiB>>;

/// Acquires a slot, looks for a byte that is not zero, and fills it. Now and then it is lent, so
/// that it gets new pages, trimmed, or not released before the process is killed.
void look_and_fill(zcpool::pool_view pool, std::uint64_t seed, tally_page& tally) {
    std::mt19937_64 random{seed};
    zcpool::buffer kept;
    tally.ready.fetch_add(1);
    for (;;) {
        auto got = pool.acquire_for(pool.slot_bytes(random() % pool.class_count()),
                                    std::chrono::seconds{20});
        if (!got) {
            tally.timeouts.fetch_add(1);
            continue;
        }
        const std::span bytes{got->data(), got->capacity()};
        if (zcpool::first_other(bytes, std::byte{0}) != bytes.size()) {
            tally.mismatches.fetch_add(1);
        }
        tally.steps[0].fetch_add(1);
        zcpool::fill_with(bytes, static_cast<std::byte>(1 + random() % 255));
        got->commit(random() % 2 == 0 ? 1 : bytes.size());
        switch (random() % 64) {
            case 0: static_cast<void>(std::move(*got).freeze().lend()); break;
            case 1: static_cast<void>(pool.trim(1)); break;
            case 2: static_cast<void>(pool.renew_resting(1)); break;
            case 3: kept = std::move(*got); break;
            case 4: static_cast<void>(std::move(*got).freeze()); break;
            default: break;
        }
    }
}

TEST_CASE("zeroes: no process sees what another one left", "[zeroes]") {
    const auto pool = make_pool<zeroing_classes>(zeroing_options(32, 8));
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    const auto start = [&] {
        return std::make_unique<child>([&, own = random()] {
            const auto attached = attach_in_child(files, tally);
            look_and_fill(attached, own, tally);
            return 0;
        });
    };
    std::vector<std::unique_ptr<child>> workers;
    workers.push_back(start());
    workers.push_back(start());
    reaper reap{pool};
    const auto wanted = static_cast<std::uint64_t>(scaled(250'000));
    std::uint64_t taken_back = 0;
    const auto goes_well = [&] {
        return tally.timeouts.load() == 0 && tally.refused.load() == 0 &&
               tally.mismatches.load() == 0;
    };
    while (tally.steps[0].load() < wanted && goes_well()) {
        const auto ready = tally.ready.load();
        pause(random, 3'000);
        auto& victim = workers[random() % workers.size()];
        ::kill(victim->pid(), SIGKILL);
        static_cast<void>(victim->status());
        const auto report = reap.reap();
        REQUIRE(report.has_value());
        taken_back += report->recovered.slots.freed + report->recovered.slots.resting;
        victim = start();
        // A new one is at work before the next one dies, however slow the machine.
        while (tally.ready.load() == ready && goes_well()) {
            ::usleep(100);
        }
    }
    for (auto& each : workers) {
        ::kill(each->pid(), SIGKILL);
        static_cast<void>(each->status());
    }
    REQUIRE(reap.reap().has_value());
    INFO("deaths " << tally.ready.load() << ", slots taken back " << taken_back);
    CHECK(taken_back > 0);
    CHECK(tally.mismatches.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    CHECK(tally.refused.load() == 0);
    const auto stats = pool.stats();
    CHECK(stats[0].lent > 0);
    CHECK(stats[0].trimmed > 0);
    check_all_there(pool);
}

}  // namespace
