// SPDX-License-Identifier: MIT

// A shared object with the library in it, as a plugin of somebody's program would be: it has its
// own copy of whatever the headers keep for a thread or a program.

#include "plugin.hpp"

#include <zcpool/zcpool.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "stamp.hpp"

namespace {

using namespace zcpool_test;
using namespace zcpool::literals;

using plugin_pool = zcpool::pool<zcpool::size_classes<4_KiB, 16_KiB>>;

/// Its own pool, for as long as the program wants. A pointer: what is destroyed when the object is
/// unloaded is not under test here, since the order of that is the program's.
plugin_pool* own_pool = nullptr;

/// Fills and checks slots of a pool.
/// Returns: mismatches.
long use(zcpool::pool_view pool, unsigned thread, long rounds) {
    long mismatches = 0;
    for (long n = 0; n < rounds; ++n) {
        zcpool::buffer first = pool.try_acquire(1);
        zcpool::buffer second = pool.try_acquire(4096);
        const auto stamp = make_stamp(thread, static_cast<std::uint64_t>(n));
        if (first) {
            put_stamp(first.space(), stamp);
        }
        if (second) {
            put_stamp(second.space(), ~stamp);
        }
        mismatches += first && !has_stamp(first.space(), stamp) ? 1 : 0;
        mismatches += second && !has_stamp(second.space(), ~stamp) ? 1 : 0;
    }
    return mismatches;
}

}  // namespace

extern "C" {

bool zcpool_plugin_begin() {
    auto made = plugin_pool::create({.slots = {16, 4}});
    own_pool = made ? new plugin_pool{std::move(*made)} : nullptr;
    return own_pool != nullptr;
}

long zcpool_plugin_call(const zcpool::pool_view* handed, unsigned thread, long rounds) {
    return use(*own_pool, thread, rounds) + use(*handed, thread, rounds);
}

long zcpool_plugin_threads(const zcpool::pool_view* handed, unsigned threads, long rounds) {
    std::atomic<long> mismatches{0};
    std::vector<std::thread> all;
    for (unsigned number = 0; number < threads; ++number) {
        all.emplace_back(
            [&, number] { mismatches += zcpool_plugin_call(handed, 100 + number, rounds); });
    }
    for (auto& each : all) {
        each.join();
    }
    return mismatches.load();
}

bool zcpool_plugin_take(const zcpool::pool_view* handed, zcpool::buffer* into) {
    *into = handed->try_acquire(1);
    return static_cast<bool>(*into);
}

void zcpool_plugin_release(zcpool::buffer* held) { held->reset(); }

long zcpool_plugin_end() {
    const auto stats = own_pool->stats();
    delete own_pool;
    own_pool = nullptr;
    return static_cast<long>(stats[0].in_use + stats[1].in_use);
}

}  // extern "C"
