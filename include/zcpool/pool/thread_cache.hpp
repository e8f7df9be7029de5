// SPDX-License-Identifier: MIT
#pragma once

// A thread's own free slots of one pool: the path of nearly every acquire and release, a few
// instructions without an atomic read-modify-write.
//
// The slots in it are the process's (their words say OWNED). The owner thread works behind a gate
// that costs it nothing; another thread that finds the pool empty, that waits, or that ends the
// pool claims the gate and takes the slots out. The memory is wiped in a forked child, where
// everything then reads as closed and empty, so that no slot of the parent can be taken there.

#include <array>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/pool/magazine.hpp>
#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

class thread_caches;

/// One thread's free slots of one pool.
///
/// Sharing: acquire() and release() by the owner; the rest says who. Lives until the thread and the
/// pool have both gone.
class thread_cache {
public:
    /// Hands out a free slot; null when there is none, or the gate is closed.
    ///
    /// Expects: the owner; `index <= max_classes`, where the last has no slots.
    [[nodiscard]] slot_record* acquire(const pool_core* pool, std::size_t index) noexcept {
        if (!gate.enter(key_of(pool))) [[unlikely]] {
            return nullptr;
        }
        magazine_pair& here = classes[index];
        slot_record* taken = here.acquire();
        if (taken == nullptr) [[unlikely]] {
            taken = here.acquire_from_spare();
        }
        gate.leave();
        return taken;
    }

    /// Takes a slot back; false when there is no room, the gate is closed, or the slot is another
    /// pool's or may be seen by somebody beside this process.
    ///
    /// Expects: the owner; nobody else in this process holds the slot.
    [[nodiscard]] bool release(slot_record& record) noexcept {
        // relaxed: the last handle is the caller's.
        if (!gate.enter(record.cache_key.load(memory_order_relaxed))) [[unlikely]] {
            return false;
        }
        magazine_pair& here = classes[to_number(record.size_class)];
        const bool kept = here.release(record) || here.release_to_spare(record);
        gate.leave();
        return kept;
    }

    /// What the gate is open for.
    [[nodiscard]] static owner_gate::key key_of(const pool_core* pool) noexcept {
        return reinterpret_cast<owner_gate::key>(pool);
    }

    /// Slots in it a moment ago, of the classes from `first` up to, not including, `last`.
    [[nodiscard]] std::size_t slots(std::size_t first, std::size_t last) const noexcept {
        std::size_t sum = 0;
        for (std::size_t index = first; index < last; ++index) {
            sum += classes[index].count();
        }
        return sum;
    }

    /// Who still needs the memory.
    static constexpr std::uint32_t thread_side = 1;
    static constexpr std::uint32_t pool_side = 2;

    owner_gate gate;
    atomic<std::uint32_t> needed_by;
    pool_core* home = nullptr;               ///< whose slots these are; null: wiped by a fork
    thread_caches* caches = nullptr;         ///< that pool's
    thread_cache* next_of_thread = nullptr;  ///< the owner's alone
    atomic<thread_cache*> next_of_pool;
    std::size_t mapped_bytes = 0;
    std::array<magazine_pair, max_classes + 1> classes;
};

/// The cache that this thread used last; null: none.
///
/// Eight bytes that need neither construction nor destruction, addressed without a call: a
/// thread_local with a destructor would cost more than the rest of an acquire. initial-exec takes
/// them from what the C library keeps for libraries that are loaded later.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local thread_cache* current_cache =
    nullptr;

}  // namespace zcpool
