// SPDX-License-Identifier: MIT

// Buffers that one file acquires and the other releases, through the thread caches that both use.

#include <cstdio>
#include <thread>
#include <utility>

#include "both.hpp"

namespace {

bool passes(shared_pool& pool, const file_view& from, const file_view& to) {
    bool right = true;
    for (int i = 0; i < 1'000; ++i) {
        const auto with = static_cast<unsigned char>(i);
        zcpool::buffer small = from.filled(pool, 3'000, with);
        zcpool::buffer large = to.filled(pool, 60'000, with);
        right = right && small && large;
        zcpool::slice slice = std::move(small).freeze();
        right = right && to.taken(slice, 3'000, with);
        // The last holder is in another thread, which has a cache of its own.
        std::thread([&, moved = std::move(slice)]() mutable {
            right = right && from.taken(std::move(moved), 3'000, with);
        }).join();
        right = right && from.taken(std::move(large).freeze(), 60'000, with);
    }
    return right;
}

}  // namespace

int main() {
    const file_view checked = checked_file();
    const file_view hurried = hurried_file();
    if (!checked.checks || hurried.checks) {
        std::puts("the files do not differ in ZCPOOL_ASSERTIONS");
        return 1;
    }
    if (checked.types != hurried.types) {
        std::puts("a type has another layout in the other file");
        return 1;
    }
    auto pool = shared_pool::create({.slots = {4, 2}});
    if (!pool || !passes(*pool, checked, hurried) || !passes(*pool, hurried, checked)) {
        std::puts("a buffer did not survive the way between the files");
        return 1;
    }
    for (const zcpool::class_stats& each : pool->stats()) {
        if (each.in_use != 0 || each.acquired != 2'000) {
            std::puts("the files do not count together");
            return 1;
        }
    }
    return 0;
}
