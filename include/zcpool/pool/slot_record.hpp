// SPDX-License-Identifier: MIT
#pragma once

// What a process knows of a slot beside its shared word: where it lies, whose it is, how many
// handles there are here.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/owner_gate.hpp>

namespace zcpool {

class pool_core;

/// What keeps the bytes of a slice alive: a slot of a pool, or foreign memory with its owner.
///
/// The count is private to the process. Only its first and its last handle touch the shared slot
/// word.
struct slice_owner {
    /// Where the bytes lie: in a slot of a pool, or elsewhere.
    enum class kind : std::uint8_t { slot, foreign };

    /// Begins without a reference.
    explicit slice_owner(kind k) noexcept : what(k) {}

    /// Stands in the count of a slot that other processes know, who may hand it to this one a
    /// second time: then the last handle counts down like the others, so that the count tells
    /// whether there is one.
    static constexpr std::uint32_t travels = std::uint32_t{1} << 31;

    atomic<std::uint32_t> references{0};
    kind what;
};

/// A slot as this process sees it. One for each slot, made with the pool, private memory.
///
/// Sharing: while the slot is a buffer, its one owner reads and writes `generation`; while it is
/// slices, all read it.
struct alignas(cache_line) slot_record : slice_owner {
    slot_record() noexcept : slice_owner(kind::slot) {}

    class_index size_class{};
    slot_index slot{};
    std::uint32_t generation = 0;
    std::uint32_t bytes = 0;
    atomic<std::uint32_t> copied_sends{0};  ///< of the present content; tells when lending pays
    atomic<lent_stamp> last_lent{0};        ///< by this process, in this generation; 0: not
    std::byte* data = nullptr;
    pool_core* core = nullptr;
    /// What the gate of a thread cache is open for that may keep the slot when it is released: its
    /// pool; `no_gate` once somebody beside this process can read it, and it has to go by its word.
    atomic<gate_key> cache_key{no_gate};
};
static_assert(sizeof(slot_record) == cache_line,
              "two slots of one record line would slow each other down");

/// How to look for a free slot.
enum class search : std::uint8_t {
    quick,     ///< do not sweep again when nothing came back since a sweep found nothing
    thorough,  ///< sweep in any case: a waiter's last look before it sleeps
};

/// What came of looking for a free slot.
struct taken_slot {
    slot_record* record = nullptr;  ///< null: none

    /// When to look again although nobody released anything: slots rest over the budget, or are
    /// being renewed, or could not be. 0: only a release brings one back.
    std::chrono::milliseconds retry_after{0};
};

}  // namespace zcpool
