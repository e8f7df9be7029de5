// SPDX-License-Identifier: MIT
#pragma once

// What a pool is asked to be, and what it became.

#include <array>
#include <chrono>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include <zcpool/base/index.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/sys/page_lock.hpp>

namespace zcpool {

/// Whether slots of a pool may be handed to calls without a receipt (sendfile, splice, vmsplice),
/// and how their pages are renewed.
///
/// `arena`: a class's slots lie in arenas of one or more huge pages (2 MiB), as many as come out
/// even with the slot size; they are taken in order, and when the last slot of an arena has come
/// back and any was lent, the whole of it is replaced with one call, for what about one copy
/// costs. A slot that is held keeps its arena from that, so a class wants several arenas. There are
/// no thread caches: an acquire and a release change the slot's word (100 ns). Where huge pages are
/// not to be had the pool is made as with `never`; creation_report::arenas says why. Such a pool
/// cannot be shared with other processes, has no reserve, and trim() finds nothing to give back.
enum class lending : std::uint8_t {
    never,   ///< such a sink copies from this pool, and counts it
    cached,  ///< slot by slot on small pages: for slices that are sent many times between two fills
    arena,   ///< by the huge page: also for slices that are sent once
};

/// What arenas are made of.
enum class arena_backing : std::uint8_t {
    anonymous,  ///< transparent huge pages of the process's own, which need no privilege. There is
                ///< no descriptor of them: sink::vmsplice lends, sink::sendfile and splice copy
    memfd,      ///< transparent huge pages of a file, for all sinks; where the administrator set
                ///< /sys/kernel/mm/transparent_hugepage/shmem_enabled to advise
    hugetlb,  ///< reserved huge pages (vm.nr_hugepages), for sink::vmsplice. Renewal takes new ones
              ///< while the kernel has the old: reserve as many more as the lent budget allows
};

/// What to do when the smallest class that fits is full.
enum class spill_policy : std::uint8_t {
    never,       ///< the answer is "exhausted": each class is a budget of its own
    next_class,  ///< try the next larger class, and count it
};

/// Who may have the last slots of a class.
enum class priority : std::uint8_t {
    normal,  ///< not the reserve
    urgent,  ///< the reserve as well, when nothing else is left
};

/// Whether threads keep free slots of their own between acquires.
enum class cache_policy : std::uint8_t {
    none,    ///< every acquire and release goes to the shared free store
    thread,  ///< about 8 MiB of each class a thread, where the class has 16 slots or more
};

/// Whether a pool looks for misuse of its slots. Handles are the same types in all pools, and one
/// of a pool that is not checked pays a test of a number that it has at hand, and nothing on its
/// way through a thread cache.
///
/// What is found is told to pool_options::on_misuse, with the place in the program where the slot
/// was acquired, where it was released, and where the misuse showed:
/// - A handle that was copied bit by bit, or used or released after its slot had been released: at
///   once. Each access compares two numbers (a cache miss where the slot was long unused).
/// - Handles of another pool, or in a forked child: at once, likewise.
/// - Writing outside of a slot: at the slot's release, or where it happens; see below.
/// - Writing to a free slot: at its next acquire.
///
/// Every slot is zero when it is acquired, as with zeroing::on_release. A release writes all bytes
/// of the slot and an acquire reads them, and what lies behind it is looked at in both: together
/// some 140 ns for 4 KiB, 1.5 us for 64 KiB, 25 us for 1 MiB. There are no thread caches, whatever
/// cache_policy says, so an acquire and a release also change the slot's word (100 ns instead of
/// 4). Each slot takes a page more of memory, and private memory of some 350 bytes. Around slabs
/// and control memory lie pages that may not be touched.
enum class checking : std::uint8_t {
    none,     ///< no misuse is looked for
    full,     ///< all of the above; behind each slot lies a canary, a page that must not change
    guarded,  ///< instead of the canary a page that may not be touched: SIGSEGV where it happens,
              ///< EFAULT for system calls. Two mappings a slot: vm.max_map_count is 65530 at first
};

/// Whether whoever acquires a slot finds every byte of it zero, whoever had it before.
///
/// `on_release`: the last holder of a slot, in whichever process, zeroes the whole of it before it
/// is free; one that was lent, trimmed, or in the hands of a process that died has new pages
/// instead, which are zero. So what was in a slot is also gone from memory once it is free, but for
/// what still rests, or the kernel still has.
///
/// There are no thread caches, whatever cache_policy says, so an acquire and a release also change
/// the slot's word. Together they cost 80 to 160 ns for 4 KiB, 0.7 us for 64 KiB and 12 us for 1
/// MiB instead of 3 to 5 ns: what memset takes. Where the owner fills the slot each time it is 3 to
/// 5 times as much for 4 KiB as without, and 2.0 to 2.4 times for the others.
enum class zeroing : std::uint8_t {
    never,       ///< a slot holds whatever its last owner left there
    on_release,  ///< all bytes are zero
};

/// How a pool type behaves: named members with defaults, fixed at compile time.
struct pool_policy {
    spill_policy spill = spill_policy::never;
    cache_policy cache = cache_policy::thread;
    zcpool::checking checking = zcpool::checking::none;
};

/// Whether the bytes of slots may be in a core dump of the process.
enum class core_dump : std::uint8_t {
    included,  ///< as the system does it: coredump_filter, core(5)
    excluded,  ///< for what is confidential: the pool is not created where it cannot be had
};

/// What a pool is created with.
struct pool_options {
    /// How many slots each class has, in the order of the class list: 1 to 2^20 each.
    std::array<std::uint32_t, max_classes> slots{};

    /// How many of them are kept for urgent callers: fewer than there are. While one of these is
    /// out the pool works without thread caches, and what is released goes to the reserve first.
    std::array<std::uint32_t, max_classes> reserve{};

    /// Whether sinks without a receipt may send from this pool without copying.
    zcpool::lending lending = zcpool::lending::never;

    /// What the arenas of lending::arena are made of.
    arena_backing arenas = arena_backing::anonymous;

    /// Whether the pages must stay in RAM.
    lock_policy locking = lock_policy::best_effort;

    /// Thousandths of the pool's bytes that may be detached: pages that were replaced while the
    /// kernel may still have held them for a slow reader. They are memory outside the pool. Above
    /// it slots rest longer, and sinks copy. With lending::arena it is counted by the arena.
    std::uint32_t lent_budget_permille = 250;

    /// How long after the last send of a slot its pages may still be held, for the budget's account
    /// only (what is safe to reuse never depends on time). Choose the time after which a connection
    /// without progress is reset. 0: no account.
    std::chrono::milliseconds lent_settle_time{30'000};

    /// Whether slots are zero when they are acquired; in all processes that share the pool.
    zcpool::zeroing zeroing = zcpool::zeroing::never;

    /// Whether what is in slots may be in a core dump.
    zcpool::core_dump core_dump = zcpool::core_dump::included;

    /// What a checked pool does with a misuse that it finds; null: print it and abort.
    misuse_handler on_misuse = nullptr;
};

/// Replaces a report's text, as printf would. Cut off where it does not fit.
template <std::size_t Size>
[[gnu::format(printf, 2, 0)]] void explain_in(char (&text)[Size], const char* format,
                                              va_list values) noexcept {
    std::vsnprintf(text, Size, format, values);
}

/// What became of the wish for arenas; all zero when there was none.
struct arena_report {
    std::size_t huge_bytes = 0;  ///< of the slots' memory, mapped as huge pages (/proc/self/smaps)
    std::size_t bytes = 0;       ///< what that would have to be
    char text[320] = "";  ///< why the pool copies instead, and the remedy; empty when it lends

    /// Replaces the text, as printf would.
    [[gnu::format(printf, 2, 3)]] void explain(const char* format, ...) noexcept {
        va_list values;
        va_start(values, format);
        explain_in(text, format, values);
        va_end(values);
    }
};

/// What became of a wish to create a pool: what was granted, and in words why something was not.
struct creation_report {
    lock_report locking;
    zcpool::lending lending = zcpool::lending::never;           ///< what the pool does
    arena_report arenas;                                        ///< what lending::arena came to
    cache_policy cache = cache_policy::none;                    ///< what the pool does
    zcpool::checking checking = zcpool::checking::none;         ///< what the pool does
    zcpool::zeroing zeroing = zcpool::zeroing::never;           ///< what the pool does
    zcpool::core_dump core_dump = zcpool::core_dump::included;  ///< what the pool does
    bool shared = false;            ///< with other processes: no thread caches
    std::size_t data_bytes = 0;     ///< slots, and what lies between those of a checked pool
    std::size_t control_bytes = 0;  ///< slot words, stores, counters
    char text[320] = "";  ///< the value, the limit and the remedy; empty when all was granted

    /// Replaces the text, as printf would. Cut off where it does not fit.
    [[gnu::format(printf, 2, 3)]] void explain(const char* format, ...) noexcept {
        va_list values;
        va_start(values, format);
        explain_in(text, format, values);
        va_end(values);
    }
};

}  // namespace zcpool
