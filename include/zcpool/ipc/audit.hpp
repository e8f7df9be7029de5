// SPDX-License-Identifier: MIT
#pragma once

// What every slot of a shared pool is doing, and who has it: read from the slot words, which are
// the truth, where counters are only a sum of what was reported.

#include <array>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/index.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/pool/slab_recovery.hpp>

namespace zcpool::ipc {

/// A place in the pool's registry. Its number is its index in class_audit::of_process.
struct process_audit {
    process_state state = process_state::free;
    process_identity who;
};

/// All slots of a pool by what they do and by process.
struct pool_audit {
    std::size_t class_count = 0;
    std::array<class_audit, max_classes> classes{};
    std::array<process_audit, max_processes> processes{};
};

/// Looks at every slot word and every place. Exact when nothing happens meanwhile.
///
/// Complexity: O(slots).
/// Concurrency: wait-free; any thread.
[[nodiscard]] inline pool_audit audit(pool_view pool) noexcept {
    pool_core& core = pool_sharing::core_of(pool);
    pool_audit found;
    if (!core.in_creator()) {
        return found;
    }
    found.class_count = core.class_count();
    for (std::size_t index = 0; index < found.class_count; ++index) {
        found.classes[index] = pool_sharing::audit(core, index);
    }
    const process_registry& places = pool_sharing::registry(core);
    for (std::uint32_t index = 0; index < places.size(); ++index) {
        found.processes[index] = {places.was(index).state, places.identity(index)};
    }
    return found;
}

}  // namespace zcpool::ipc
