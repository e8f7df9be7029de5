// SPDX-License-Identifier: MIT
#pragma once

// A thread's own free slots of one pool: the path of nearly every acquire and release, a few
// instructions without an atomic read-modify-write.
//
// The slots in it are the process's (their words say OWNED). The owner thread works behind a gate
// that costs it nothing; another thread that finds the pool empty, that waits, or that ends the
// pool claims the gate and takes the slots out. The memory is wiped in a forked child, where
// everything then reads as closed and empty, so that no slot of the parent can be taken there.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/pool/depot.hpp>
#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

class thread_caches;

/// The free slots of one class in a thread_cache: a stack, the one released last on top.
///
/// Its numbers have one writer at a time, who is inside the gate or has claimed it; they are atomic
/// for those who count.
class magazine_pair {
public:
    using place = atomic<slot_record*>;

    /// Expects: `places` has room for two magazines, an even number, or for nothing.
    void open(std::span<place> places) noexcept {
        places_ = places.data();
        capacity_ = static_cast<std::uint32_t>(places.size());
    }

    /// Hands the top slot to a user; null when there is none.
    [[nodiscard]] slot_record* acquire() noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        const std::uint32_t count = count_in(tally);
        if (count == 0) [[unlikely]] {
            return nullptr;
        }
        // relaxed: as above.
        slot_record* const top = places_[count - 1].load(memory_order_relaxed);
        tally_.store(tally + one_acquired - 1, memory_order_relaxed);
        return top;
    }

    /// Takes a slot back from a user; false when there is no room.
    [[nodiscard]] bool release(slot_record& record) noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        const std::uint32_t count = count_in(tally);
        if (count == capacity_) [[unlikely]] {
            return false;
        }
        // relaxed: as above.
        places_[count].store(&record, memory_order_relaxed);
        tally_.store(tally + 1, memory_order_relaxed);
        return true;
    }

    /// Adds slots from elsewhere.
    /// Expects: room for them.
    void fill(std::span<slot_record* const> slots) noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        std::uint32_t count = count_in(tally);
        for (slot_record* each : slots) {
            // relaxed: as above.
            places_[count++].store(each, memory_order_relaxed);
        }
        // relaxed: as above.
        tally_.store(tally + slots.size(), memory_order_relaxed);
        shed_.store(shed_.load(memory_order_relaxed) - slots.size(), memory_order_relaxed);
    }

    /// Takes out those that were released longest ago, as many as `into` has room for.
    /// Returns: how many.
    std::size_t shed(std::span<slot_record*> into) noexcept {
        // relaxed: one writer; the gate orders writers.
        const std::uint64_t tally = tally_.load(memory_order_relaxed);
        const std::uint32_t count = count_in(tally);
        const auto taken = static_cast<std::uint32_t>(std::min<std::size_t>(count, into.size()));
        for (std::uint32_t i = 0; i < count; ++i) {
            // relaxed: as above.
            slot_record* const each = places_[i].load(memory_order_relaxed);
            if (i < taken) {
                into[i] = each;
            } else {
                // relaxed: as above.
                places_[i - taken].store(each, memory_order_relaxed);
            }
        }
        // relaxed: as above.
        tally_.store(tally - taken, memory_order_relaxed);
        shed_.store(shed_.load(memory_order_relaxed) + taken, memory_order_relaxed);
        return taken;
    }

    /// Slots that one transfer to or from elsewhere moves.
    [[nodiscard]] std::size_t batch() const noexcept { return capacity_ / 2; }

    /// Slots in it a moment ago.
    [[nodiscard]] std::uint32_t count() const noexcept {
        // relaxed: a counter.
        return count_in(tally_.load(memory_order_relaxed));
    }
    /// Slots that users were given here, ever.
    [[nodiscard]] std::uint64_t acquired() const noexcept {
        // relaxed: a counter.
        return tally_.load(memory_order_relaxed) / one_acquired;
    }
    /// Slots that users were given here less those that they gave back here; may be less than 0,
    /// where slots of other threads are given back.
    [[nodiscard]] std::int64_t handed_out() const noexcept {
        // relaxed: a counter.
        return -static_cast<std::int64_t>(count() + shed_.load(memory_order_relaxed));
    }
    /// Slots that users gave back here, ever: what is here, less what came from elsewhere, and what
    /// was handed out.
    [[nodiscard]] std::uint64_t released() const noexcept {
        return acquired() - static_cast<std::uint64_t>(handed_out());
    }

private:
    // One word for both, so that an acquire writes one: [ acquired : 56 ][ count : 8 ].
    static constexpr std::uint64_t one_acquired = std::uint64_t{1} << 8;
    static_assert(2 * magazine_capacity < one_acquired, "the count needs its bits");
    [[nodiscard]] static constexpr std::uint32_t count_in(std::uint64_t tally) noexcept {
        return static_cast<std::uint32_t>(tally % one_acquired);
    }

    atomic<std::uint64_t> tally_;
    atomic<std::uint64_t> shed_;  ///< to elsewhere less from elsewhere, modulo 2^64
    place* places_ = nullptr;
    std::uint32_t capacity_ = 0;
};
static_assert(sizeof(magazine_pair) == 32, "two classes to a cache line");

/// One thread's free slots of one pool.
///
/// Sharing: acquire() and release() by the owner; the rest says who. Lives until the thread and the
/// pool have both gone.
class thread_cache {
public:
    /// Bytes of memory for a cache with that many places in all.
    [[nodiscard]] static constexpr std::size_t bytes_for(std::size_t places) noexcept {
        return sizeof(thread_cache) + places * sizeof(magazine_pair::place);
    }

    /// Hands out a free slot; null when there is none, or the gate is closed.
    ///
    /// Expects: the owner; `index <= max_classes`, where the last has no slots.
    [[nodiscard]] slot_record* acquire(const pool_core* pool, std::size_t index) noexcept {
        if (!gate.enter(key_of(pool))) [[unlikely]] {
            return nullptr;
        }
        slot_record* const taken = classes[index].acquire();
        gate.leave();
        return taken;
    }

    /// Takes a slot back; false when there is no room, or the gate is closed.
    ///
    /// Expects: the owner; the slot is the pool's and nobody else holds it.
    [[nodiscard]] bool release(const pool_core* pool, slot_record& record) noexcept {
        if (!gate.enter(key_of(pool))) [[unlikely]] {
            return false;
        }
        const bool kept = classes[to_number(record.size_class)].release(record);
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
