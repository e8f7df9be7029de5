// SPDX-License-Identifier: MIT
#pragma once

// Where everything lies in a pool's two files, computed from the class table alone, so that whoever
// maps them computes it again and compares instead of believing an offset.
//
//     data:     slab 0 | slab 1 | ...
//     checked:  slot, margin, slot, margin, ... | guard | slab 1, likewise | guard | ...
//     arenas:   arena, arena, ... | slab 1, likewise, each at a multiple of a huge page
//     control:  header | process registry, its waiters | class 0: counters, words, stamps, store,
//               ring | ...
//
// Data holds slots only, so that a reader may be given it read-only. In a checked pool a page lies
// behind each slot and another between two slabs; the header says so.

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/index_ring.hpp>
#include <zcpool/sys/process.hpp>

namespace zcpool {

/// One size class as the user names it.
struct class_spec {
    std::uint64_t slot_bytes = 0;
    std::uint64_t slots = 0;
};

/// What the control file of a pool is called, so that it is found among the descriptors of a
/// process (ipc/pool_search.hpp).
inline constexpr const char* control_file_name = "zcpool-control";

/// What a pool is, in plain numbers that are written before anybody else sees the pool: what a
/// process that attaches copies out and checks.
struct pool_table {
    static constexpr std::uint64_t expected_magic =
        0x314C'4F4F'5043'5A01;  // "\1ZCPOOL1", little-endian
    static constexpr std::uint32_t expected_version = 5;

    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t class_count;
    std::uint32_t checking;  ///< a zcpool::checking, which the layout depends on
    std::uint32_t undumped;  ///< 0 or 1: core_dump::included or core_dump::excluded
    std::uint64_t data_bytes;
    std::uint64_t control_bytes;
    std::array<class_spec, max_classes> classes;
    std::uint32_t lends;   ///< 0 or 1: lending::never or lending::cached
    std::uint32_t spills;  ///< 0 or 1: spill_policy::never or spill_policy::next_class
    std::uint32_t zeroes;  ///< 0 or 1: zeroing::never or zeroing::on_release
    std::uint32_t unused;  ///< 0
    std::uint64_t lent_budget_bytes;
    std::uint64_t lent_settle_ms;
    sys::process_namespaces namespaces;  ///< of all who have it; written when it is shared
};

/// The beginning of control memory.
struct control_header {
    pool_table table;
    alignas(cache_line) atomic<std::uint32_t> closed;
    alignas(cache_line) atomic<std::uint32_t> wake_sequence;  ///< what waiters sleep on
    alignas(cache_line) lent_account detached;
};

/// How many waiters of each class a process has; its share of class_counters::waiters.
struct alignas(cache_line) waiter_shares {
    std::array<atomic<std::uint32_t>, max_classes> of_class;
};

/// Where one class lies; offsets in bytes.
struct class_layout {
    std::size_t slot_bytes = 0;
    std::size_t margin = 0;  ///< bytes behind each slot that are nobody's
    std::uint32_t slots = 0;
    std::uint32_t arena_slots = 0;  ///< slots of an arena, which are renewed together; 0: no arenas
    std::size_t word_stride = 0;    ///< bytes from one slot word to the next
    std::size_t data = 0;           ///< slab, in the data file; the rest in the control file
    std::size_t counters = 0;
    std::size_t words = 0;
    std::size_t stamps = 0;
    std::size_t store = 0;
    std::size_t ring = 0;
    std::size_t ring_cells = 0;

    /// Where a slot begins in the data file.
    [[nodiscard]] constexpr std::size_t offset_of(std::uint32_t slot) const noexcept {
        return data + slot * (slot_bytes + margin);
    }

    /// How many arenas there are; the last one may have fewer slots than the others, but the same
    /// bytes.
    [[nodiscard]] constexpr std::uint32_t arenas() const noexcept {
        return arena_slots == 0 ? 0 : (slots + arena_slots - 1) / arena_slots;
    }
    [[nodiscard]] constexpr std::size_t arena_bytes() const noexcept {
        return arena_slots * slot_bytes;
    }
};

/// Bytes of an arena: as few huge pages as slots of this size fill without a rest.
[[nodiscard]] constexpr std::size_t arena_bytes_for(std::size_t slot_bytes) noexcept {
    return std::lcm(slot_bytes, huge_page_size);
}

/// Arenas beyond this are refused, but those of a single slot: what is renewed together is also
/// held together.
inline constexpr std::size_t max_arena_bytes = 64_MiB;

/// Where everything lies.
struct pool_layout {
    std::size_t class_count = 0;
    std::size_t data_bytes = 0;
    std::size_t control_bytes = 0;
    std::size_t registry = 0;
    std::size_t waiting = 0;  ///< waiter_shares of each process
    std::array<class_layout, max_classes> classes{};
};

/// Computes the layout of a class table that may come from a stranger.
///
/// `checks`: any but none puts a page behind each slot and one between two slabs.
/// `lends`: lending::arena makes arenas of the slots; not with checks.
/// Errors: `invalid_options` for 0 or more than 16 classes, sizes that are not increasing multiples
/// of the page size up to 1 GiB, 0 or more than 2^20 slots a class, no such `checks`, arenas that
/// are too large, or a pool whose size does not fit size_t.
[[nodiscard]] constexpr result<pool_layout> compute_layout(
    array_view<const class_spec> classes, checking checks = checking::none,
    lending lends = lending::never) noexcept {
    const bool in_arenas = lends == lending::arena;
    if (classes.empty() || classes.size() > max_classes || checks > checking::guarded ||
        (in_arenas && checks != checking::none)) {
        return fail(errc::invalid_options);
    }
    pool_layout layout;
    layout.class_count = classes.size();
    std::size_t control = align_up(sizeof(control_header), cache_line);
    const auto reserve = [&control](std::size_t bytes) {
        const std::size_t begin = control;
        control =
            align_up(control + bytes, cache_line);  // at most 2^20 slots a class: cannot overflow
        return begin;
    };
    layout.registry = reserve(max_processes * sizeof(registry_entry));
    layout.waiting = reserve(max_processes * sizeof(waiter_shares));
    std::uint64_t previous = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
        const class_spec spec = classes[i];
        if (spec.slot_bytes <= previous || spec.slot_bytes > max_slot_bytes ||
            !is_aligned(spec.slot_bytes, page_size) || spec.slots == 0 || spec.slots > max_slots) {
            return fail(errc::invalid_options);
        }
        previous = spec.slot_bytes;
        class_layout& here = layout.classes[i];
        here.slot_bytes = static_cast<std::size_t>(spec.slot_bytes);
        here.slots = static_cast<std::uint32_t>(spec.slots);
        // Few slots means large ones, sent by several threads: their words get a cache line each.
        here.word_stride = here.slots <= 256 ? cache_line : sizeof(slot_word);
        here.margin = checks == checking::none ? 0 : page_size;
        std::size_t slab = 0;
        if (in_arenas) {
            const std::size_t bytes = arena_bytes_for(here.slot_bytes);
            if (bytes > max_arena_bytes && bytes != here.slot_bytes) {
                return fail(errc::invalid_options);
            }
            here.arena_slots = static_cast<std::uint32_t>(bytes / here.slot_bytes);
        }
        if (!checked_add(layout.data_bytes, i == 0 ? 0 : here.margin, here.data) ||
            !checked_multiply(in_arenas ? here.arena_bytes() : here.slot_bytes + here.margin,
                              in_arenas ? here.arenas() : here.slots, slab) ||
            !checked_add(here.data, slab, layout.data_bytes)) {
            return fail(errc::invalid_options);
        }
        here.counters = reserve(sizeof(class_counters));
        here.words = reserve(here.word_stride * here.slots);
        here.stamps = reserve(sizeof(atomic<lent_stamp>) * here.slots);
        here.store = reserve(bitmap_store::words_for(here.slots) * sizeof(bitmap_store::word));
        here.ring_cells = index_ring::cells_for(here.slots);
        here.ring =
            reserve(sizeof(index_ring::counters) + here.ring_cells * sizeof(index_ring::cell));
    }
    layout.control_bytes = align_up(control, page_size);
    return layout;
}

}  // namespace zcpool
