// SPDX-License-Identifier: MIT
#pragma once

// Which processes have a pool mapped. A process's place here is its bit in every holder set, so a
// place may not be used again before no slot word has the bit and nobody can set or clear it for
// the one who had it:
//
//     FREE --join--> JOINING --> LIVE --mark_dying--> DYING --retire--> SWEPT --release--> FREE
//
// DYING: the process is dead, or is leaving; recoveries sweep for all who are DYING at once, since
// a granter that is to clear a dead one's bit may die before it does.
// SWEPT: a sweep began when no living process was in the middle of a grant; so the bit stands
// nowhere and nobody sets it. It is free when no living process is in the middle of a sweep that
// began before, for that one would take the bit of the place's next owner for the dead one's.
// That nobody is in the middle is how the living acknowledge a death.
//
// Every step is one compare-exchange of the status word, or an operation that may be repeated, so
// any process may die anywhere.

#include <cstddef>
#include <cstdint>
#include <optional>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// Processes that may have a pool mapped at once: bit 31 of a holder set is the kernel's.
inline constexpr std::size_t max_processes = 31;

/// What a place is doing.
enum class process_state : std::uint8_t { free = 0, joining = 1, live = 2, dying = 3, swept = 4 };

/// Tells a process from every other one of this system, also where its pid is used again.
struct process_identity {
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;  ///< clock ticks since boot
};

/// The parts of a status word.
///
///     63     48 47   44 43          22 21    0
///     [ epoch  ][ state ][ start time ][ pid ]
///
/// One word, so that a process that dies as it joins is known too. Of the start time only the low
/// 22 bits (11 hours of ticks) fit in; the whole one stands beside.
struct process_status {
    std::uint32_t epoch = 0;  ///< how often the place was taken, modulo 2^16
    process_state state = process_state::free;
    std::uint32_t start_bits = 0;
    std::uint32_t pid = 0;

    friend bool operator==(const process_status&, const process_status&) = default;
};

/// Pids of Linux are less than 2^22, and so many bits of the start time are kept.
inline constexpr std::uint32_t process_field = (std::uint32_t{1} << 22) - 1;

[[nodiscard]] constexpr std::uint64_t encode_process(process_status status) noexcept {
    return std::uint64_t{status.epoch & 0xFFFF} << 48 |
           std::uint64_t{static_cast<std::uint8_t>(status.state)} << 44 |
           std::uint64_t{status.start_bits & process_field} << 22 | (status.pid & process_field);
}

[[nodiscard]] constexpr process_status decode_process(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 48), static_cast<process_state>(word >> 44 & 0xF),
            static_cast<std::uint32_t>(word >> 22) & process_field,
            static_cast<std::uint32_t>(word) & process_field};
}

/// A place and who has it: what join() gives, and what a grant names.
struct process_seat {
    std::uint32_t index = 0;
    process_status status;  ///< as LIVE

    [[nodiscard]] holder_set bit() const noexcept { return holder_set{1} << index; }
};

/// One place.
template <template <class> class Atomic = atomic>
struct alignas(cache_line) basic_registry_entry {
    Atomic<std::uint64_t> status;
    Atomic<std::uint64_t> start_time;
    Atomic<std::uint32_t> granting;  ///< threads of the process in the middle of a grant
    Atomic<std::uint32_t> sweeping;  ///< and of a sweep
};
using registry_entry = basic_registry_entry<>;

/// All places of a pool: a view of shared memory. Zeroed memory has nobody.
///
/// Concurrency: every function is lock-free; any thread or process, dying anywhere.
template <template <class> class Atomic = atomic>
class basic_process_registry {
public:
    using entry = basic_registry_entry<Atomic>;

    basic_process_registry() noexcept = default;
    /// A view of the entries, which lie in shared memory.
    explicit basic_process_registry(array_view<entry> entries) noexcept : entries_(entries) {}

    /// Takes a free place.
    /// Returns: nothing when there is none.
    [[nodiscard]] std::optional<process_seat> join(process_identity who) noexcept {
        for (std::uint32_t index = 0; index < entries_.size(); ++index) {
            if (const auto seat = join_at(index, who)) {
                return seat;
            }
        }
        return std::nullopt;
    }

    /// Takes this place, if it is free.
    [[nodiscard]] std::optional<process_seat> join_at(std::uint32_t index,
                                                      process_identity who) noexcept {
        entry& place = entries_[index];
        // relaxed: the compare-exchange settles it.
        std::uint64_t found = place.status.load(memory_order_relaxed);
        const process_status before = decode_process(found);
        if (before.state != process_state::free) {
            return std::nullopt;
        }
        process_status mine{(before.epoch + 1) & 0xFFFF, process_state::joining,
                            static_cast<std::uint32_t>(who.start_time) & process_field, who.pid};
        // sync(registry): acq_rel; whoever had the place is done with everything.
        // relaxed on failure: somebody was faster.
        if (!place.status.compare_exchange_strong(found, encode_process(mine), memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            return std::nullopt;
        }
        // What the last one left when it died. A change, not a store: whoever looks at a count sees
        // what is done behind it (is_acknowledged()).
        // sync(registry): acq_rel; as above.
        place.granting.fetch_and(0, memory_order_acq_rel);
        // sync(registry): acq_rel; as above.
        place.sweeping.fetch_and(0, memory_order_acq_rel);
        // relaxed: published by the release below.
        place.start_time.store(who.start_time, memory_order_relaxed);
        found = encode_process(mine);
        mine.state = process_state::live;
        // sync(registry): release; whoever sees LIVE sees the start time.
        // relaxed on failure: cannot be; only a dead joiner is marked.
        place.status.compare_exchange_strong(found, encode_process(mine), memory_order_acq_rel,
                                             memory_order_relaxed);
        return process_seat{index, mine};
    }

    /// Says of a process that was seen as `seen` that it is dead, or that it leaves.
    ///
    /// Expects: it is dead, or it is the caller: it will never touch the pool again.
    /// Returns: false when it was not that process any more, or somebody else has said so.
    bool mark_dying(std::uint32_t index, process_status seen) noexcept {
        if (seen.state != process_state::live && seen.state != process_state::joining) {
            return false;
        }
        std::uint64_t expected = encode_process(seen);
        seen.state = process_state::dying;
        // sync(registry): acq_rel; who grants sees it, or the sweep sees the grant.
        // relaxed on failure: nothing is done.
        return entries_[index].status.compare_exchange_strong(
            expected, encode_process(seen), memory_order_acq_rel, memory_order_relaxed);
    }

    /// Grants a published slot to another process, unless that is dying.
    ///
    /// Expects: `from` holds the slot, and `to` is known to have no share of it, as its set has one
    /// bit a process.
    /// Returns: false when `from` does not hold it as published, or `to` is gone.
    template <class Word>
    bool grant(Word& word, std::uint32_t generation, process_seat from, process_seat to) noexcept {
        entry& me = entries_[from.index];
        // sync(registry): acq_rel; a retirement sees this one inside, or is seen below.
        me.granting.fetch_add(1, memory_order_acq_rel);
        bool granted =
            newest(to.index) == to.status && word.grant(generation, from.bit(), to.bit());
        // The mark comes before the sweep's look at the word: either the sweep finds the bit, or
        // the mark is found here. The words cannot order the two, because a cleaner stores to a
        // word whatever was there.
        if (granted && newest(to.index) != to.status) {
            static_cast<void>(word.drop(generation, to.bit()));
            granted = false;
        }
        // sync(registry): release; what was granted and taken back is seen by the sweep.
        me.granting.fetch_sub(1, memory_order_acq_rel);
        return granted;
    }

    /// Takes back what dying processes have, and frees their places when that is sure.
    ///
    /// `sweep(gone)` takes back what the processes of a set have of every slot; it may be repeated
    /// and be done by several at once.
    /// Expects: `me` is LIVE.
    /// Returns: for whom it swept.
    template <class Sweep>
    holder_set recover(process_seat me, Sweep sweep) noexcept {
        entry& mine = entries_[me.index];
        // sync(registry): acq_rel; a release of places sees this one inside, or is seen below.
        mine.sweeping.fetch_add(1, memory_order_acq_rel);
        const census before = look();
        const holder_set gone = before.those(process_state::dying);
        if (gone != 0) {
            const bool nobody_grants = is_acknowledged(&entry::granting);
            sweep(gone);
            if (nobody_grants) {
                advance(before, process_state::dying, process_state::swept);
            }
        }
        // sync(registry): release; whoever takes a place sees that the sweep is over.
        mine.sweeping.fetch_sub(1, memory_order_acq_rel);
        const census after = look();
        if (after.those(process_state::swept) != 0 && is_acknowledged(&entry::sweeping)) {
            advance(after, process_state::swept, process_state::free);
        }
        return gone;
    }

    /// The places that are in a state. What was done before they came to it is visible.
    [[nodiscard]] holder_set those(process_state state) noexcept { return look().those(state); }

    /// What a place was doing a moment ago.
    [[nodiscard]] process_status was(std::uint32_t index) const noexcept {
        // sync(registry): acquire; what was written before LIVE.
        return decode_process(entries_[index].status.load(memory_order_acquire));
    }

    /// Who has a place that was LIVE.
    [[nodiscard]] process_identity identity(std::uint32_t index) const noexcept {
        // relaxed: behind the acquire in was().
        return {was(index).pid, entries_[index].start_time.load(memory_order_relaxed)};
    }

    /// The entry of a place.
    [[nodiscard]] entry& at(std::uint32_t index) noexcept { return entries_[index]; }
    [[nodiscard]] std::uint32_t size() const noexcept {
        return static_cast<std::uint32_t>(entries_.size());
    }

private:
    /// The newest status, which a load might miss.
    [[nodiscard]] process_status newest(std::uint32_t index) noexcept {
        // sync(registry): acq_rel; a change that changes nothing.
        return decode_process(entries_[index].status.fetch_or(0, memory_order_acq_rel));
    }

    /// Whether each living process was seen outside of what a count says it is inside of. What it
    /// does inside later comes behind what the caller did before. The dead do nothing any more.
    [[nodiscard]] bool is_acknowledged(Atomic<std::uint32_t> entry::* count) noexcept {
        bool all = true;
        for (std::uint32_t index = 0; index < entries_.size(); ++index) {
            // sync(registry): acq_rel; a change that changes nothing: a later one comes behind it.
            const auto inside = (entries_[index].*count).fetch_or(0, memory_order_acq_rel);
            const process_state state = newest(index).state;
            all = all && (inside == 0 ||
                          (state != process_state::live && state != process_state::joining));
        }
        return all;
    }

    /// All places as they were.
    struct census {
        process_status places[max_processes];

        [[nodiscard]] holder_set those(process_state state) const noexcept {
            holder_set found = 0;
            for (std::uint32_t index = 0; index < max_processes; ++index) {
                found |= places[index].state == state ? holder_set{1} << index : 0;
            }
            return found;
        }
    };
    [[nodiscard]] census look() noexcept {
        census now{};
        for (std::uint32_t index = 0; index < entries_.size(); ++index) {
            now.places[index] = newest(index);
        }
        return now;
    }

    /// Moves those that were in a state on, where they are as they were.
    void advance(const census& before, process_state from, process_state to) noexcept {
        for (std::uint32_t index = 0; index < entries_.size(); ++index) {
            process_status status = before.places[index];
            if (status.state != from) {
                continue;
            }
            std::uint64_t expected = encode_process(status);
            status.state = to;
            // sync(registry): acq_rel; what was done for the dead comes before the place's next
            // owner. relaxed on failure: another recoverer was faster.
            entries_[index].status.compare_exchange_strong(
                expected, encode_process(status), memory_order_acq_rel, memory_order_relaxed);
        }
    }

    array_view<entry> entries_;
};

using process_registry = basic_process_registry<>;
static_assert(sizeof(registry_entry) == cache_line, "part of the control layout");

}  // namespace zcpool
