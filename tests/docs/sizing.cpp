// SPDX-License-Identifier: MIT
// The example of cmake/docs/sizing.md: a trial run in a pool that is large enough, and the options
// that come of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include <docs/require.hpp>
#include <zcpool/zcpool.hpp>

namespace {

using docs::require;
using namespace zcpool::literals;

/// A server for a while: connections hold a head of 4 KiB and a body each, of two sizes.
bool serve_for_a_while(zcpool::pool_view pool, std::size_t connections) {
    std::vector<zcpool::buffer> held;
    for (std::size_t turn = 0; turn < 10 * connections; ++turn) {
        held.push_back(pool.try_acquire(500));
        held.push_back(pool.try_acquire(turn % 8 == 0 ? 700'000 : 48'000));
        if (!held[held.size() - 2] || !held.back()) {
            return false;
        }
        if (held.size() > 2 * connections) {
            held.erase(held.begin(), held.begin() + 2);
        }
    }
    return true;
}

// [snippet: cmake/docs/sizing.md]
using sizes = zcpool::size_classes<4_KiB, 64_KiB, 1_MiB>;
using server_pool = zcpool::pool<sizes>;
/// Without thread caches, so that high_water is exact.
using trial_pool = zcpool::pool<sizes, zcpool::pool_policy{.cache = zcpool::cache_policy::none}>;

/// What a run has needed, with a quarter more. What was turned away has not been counted as needed:
/// where `exhausted` is not 0 the trial pool was too small.
zcpool::pool_options options_after(const zcpool::pool_stats& trial) {
    zcpool::pool_options next;
    std::size_t at = 0;
    for (const zcpool::class_stats& each : trial) {
        std::printf("%7zu bytes: %5u slots, at most %5llu in use, %llu refused, %llu slept\n",
                    each.slot_bytes, each.slots, static_cast<unsigned long long>(each.high_water),
                    static_cast<unsigned long long>(each.exhausted),
                    static_cast<unsigned long long>(each.waited));
        const auto needed = static_cast<std::uint32_t>(each.high_water + each.high_water / 4);
        next.slots[at++] = std::max(needed, 1U);
    }
    return next;
}

server_pool sized_pool() {
    auto large = trial_pool::create({.slots = {256, 256, 64}}).value();
    require(serve_for_a_while(large, 32), "the trial");
    const zcpool::pool_options options = options_after(large.stats());

    zcpool::creation_report report;
    auto made = server_pool::create(options, &report);
    if (!made) {
        std::fprintf(stderr, "%s: %s\n", made.error().message().c_str(), report.text);
        std::exit(1);
    }
    std::printf("%zu bytes of slots, %zu of book-keeping%s\n", report.data_bytes,
                report.control_bytes, report.locking.locked ? ", locked" : "");
    return std::move(*made);
}
// [/snippet]

}  // namespace

int main() {
    auto pool = sized_pool();
    require(serve_for_a_while(pool, 32), "it is enough");
    require(!serve_for_a_while(pool, 320), "and not endless");
    require(pool.stats()[0].exhausted != 0, "which is counted");
    require(serve_for_a_while(pool, 32), "and nothing was lost by it");
    return 0;
}
