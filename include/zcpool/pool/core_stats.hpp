// SPDX-License-Identifier: MIT
#pragma once

// What a pool's statistics are put together from: shared counts, this process's caches and reserve,
// and in a shared pool the slot words.

#include <cstddef>
#include <cstdint>

#include <zcpool/base/bounds.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/slab_recovery.hpp>
#include <zcpool/pool/stats.hpp>

namespace zcpool {

/// What is in use in a shared pool says its words: a process that was killed between a step and its
/// count leaves the counts wrong for good.
inline pool_stats pool_core::stats() const noexcept {
    pool_stats to;
    to.class_count = class_count_;
    for (std::size_t index = 0; index < class_count_; ++index) {
        class_stats& now = to.classes[index];
        now = slabs_[index].stats();
        caches_.read(index, now);
        now.reserved = reserves_[index].was_left();
        now.in_use = in_use(index);
        if (leave_ != nullptr) {
            const auto held = now.slots - slab_recovery::audit(slabs_[index]).available();
            now.in_use = held - smaller_of<std::uint64_t>(held, now.reserved);
        }
        now.high_water = larger_of(now.high_water, now.in_use);
    }
    to.lent_detached_bytes = budget_.detached_bytes(lent_now());
    to.lent_budget_bytes = budget_.limit();
    return to;
}

}  // namespace zcpool
