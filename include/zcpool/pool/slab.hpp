// SPDX-License-Identifier: MIT
#pragma once

// All slots of one size class: finding a free one, giving it back, renewing those that were lent.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/renewal.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/index_ring.hpp>
#include <zcpool/ring/thread_start.hpp>

namespace zcpool {

/// The slots of one size class: a view of shared memory plus this process's records.
///
/// Concurrency: take, give_back and lend are lock-free; any thread. A death inside costs a hint,
/// which a sweep finds.
class slab {
public:
    slab() noexcept = default;
    slab(const slab&) = delete;
    slab& operator=(const slab&) = delete;

    /// Makes this the view of one class. Once, before use.
    ///
    /// Expects: both memories have the layout; they outlive the slab.
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(const class_layout& layout, class_index index,
                                    const shared_memory& data, const shared_memory& control,
                                    lent_budget budget, pool_core* core,
                                    zeroing zeroes = zeroing::never) noexcept {
        layout_ = layout;
        control_ = control.data();
        renewer_ = {layout, data, control_, budget, zeroes};
        store_ = {{at<bitmap_store::word>(layout.store), bitmap_store::words_for(layout.slots)},
                  layout.slots};
        resting_ = {
            *at<index_ring::counters>(layout.ring),
            {at<index_ring::cell>(layout.ring + sizeof(index_ring::counters)), layout.ring_cells}};
        records_.reset(new (std::nothrow) slot_record[layout.slots]);
        if (!records_) {
            return fail(errc::out_of_memory);
        }
        for (std::uint32_t i = 0; i < layout.slots; ++i) {
            slot_record& record = records_[i];
            record.size_class = index;
            record.slot = slot_index{i};
            record.bytes = static_cast<std::uint32_t>(layout.slot_bytes);
            record.data = data.data() + layout.offset_of(i);
            record.core = core;
        }
        return {};
    }

    /// Puts every slot into the free store. Once, by the pool's creator.
    void fill_store() noexcept {
        for (std::uint32_t i = 0; i < layout_.slots; ++i) {
            store_.push(i);
        }
    }

    /// Takes a slot for `me`: a hot one, else the longest-resting one with renewed pages, else what
    /// a sweep finds.
    [[nodiscard]] taken_slot take(holder_set me, search how) noexcept {
        for (auto i = no_index; (i = store_.pop(thread_start())) != no_index;) {
            // A failed claim drops the hint: somebody swept the slot up before.
            if (slot_record* record = claim(i, me)) {
                return {record};
            }
        }
        taken_slot found = take_resting(me);
        if (found.record != nullptr) {
            return found;
        }
        return sweep(me, how);
    }

    /// Takes up to `into.size()` hot slots for `me`.
    /// Returns: how many, from the front.
    [[nodiscard]] std::size_t take_many(holder_set me, array_view<slot_record*> into) noexcept {
        std::array<std::uint32_t, 32> found;
        std::size_t count = 0;
        while (count < into.size()) {
            const std::size_t wanted = smaller_of(into.size() - count, found.size());
            const std::size_t got =
                store_.pop_many(array_view{found}.first(wanted), thread_start());
            if (got == 0) {
                break;
            }
            for (const std::uint32_t i : array_view{found}.first(got)) {
                if (slot_record* record = claim(i, me)) {
                    into[count++] = record;
                }
            }
        }
        return count;
    }

    /// Gives up slots that this process owns alone.
    void give_back_many(holder_set me, array_view<slot_record* const> records) noexcept {
        std::array<std::uint32_t, 32> freed;
        for (; !records.empty();
             records = records.subspan(smaller_of(records.size(), freed.size()))) {
            std::size_t count = 0;
            for (slot_record* each : records.first(smaller_of(records.size(), freed.size()))) {
                const auto slot = to_number(each->slot);
                [[maybe_unused]] const auto outcome = word(slot).drop(each->generation, me);
                ZCPOOL_ASSERT(outcome == drop_outcome::freed, "cached a slot that is shared");
                freed[count++] = slot;
            }
            store_.push_many(array_view{freed}.first(count));
            // sync(came-back): release; a sweep that starts with this count sees the slots.
            counters().returned.fetch_add(count, memory_order_release);
        }
    }

    /// Gives up this process's share of a slot.
    drop_outcome give_back(slot_record& record, holder_set me) noexcept {
        forget(record);
        const drop_outcome outcome = give_back(to_number(record.slot), record.generation, me);
        ZCPOOL_ASSERT(outcome != drop_outcome::not_held,
                      "released a slot that this process does not hold");
        return outcome;
    }

    /// Leaves what this process knows of its use of a slot with the slot, before it gives its share
    /// up, or hands it over.
    void forget(slot_record& record) noexcept { renewer_.note_last_send(record); }

    /// As page_renewer::zero(). Expects: as word().
    void zero(std::uint32_t slot) noexcept { renewer_.zero(slot); }

    /// Gives up this process's share of a slot, of which it has no handle any more.
    /// Expects: `slot < layout().slots`.
    drop_outcome give_back(std::uint32_t slot, std::uint32_t generation, holder_set me) noexcept {
        const drop_outcome outcome = renewer_.drop(slot, generation, word(slot), me);
        if (outcome == drop_outcome::freed) {
            store_.push(slot);
        } else if (outcome == drop_outcome::resting) {
            resting_.push(slot);
        } else {
            return outcome;
        }
        // sync(came-back): release; a sweep that starts with this count sees the slot.
        counters().released.fetch_add(1, memory_order_release);
        return outcome;
    }

    /// Marks a slot as held by the kernel; see page_renewer::lend().
    [[nodiscard]] bool lend(slot_record& record, holder_set me) noexcept {
        return renewer_.lend(record, word(to_number(record.slot)), me);
    }

    /// Gives the pages of free slots back to the system, those of the highest first, which would be
    /// taken last; `keep` free slots stay as they are.
    /// Returns: how many it trimmed.
    std::size_t trim(holder_set me, std::size_t keep) noexcept {
        const auto is_free = [this](std::uint32_t slot) {
            return word(slot).was().state == slot_state::free;
        };
        std::size_t free = 0;
        for (std::uint32_t i = 0; i < layout_.slots; ++i) {
            free += is_free(i) ? 1U : 0U;
        }
        std::size_t trimmed = 0;
        for (std::uint32_t i = layout_.slots; i-- > 0 && free > keep;) {
            slot_record* const record = is_free(i) ? claim(i, me) : nullptr;
            if (record == nullptr) {
                continue;
            }
            --free;
            if (renewer_.trim(i, record->generation, word(i))) {
                resting_.push(i);
                // sync(came-back): release; as in give_back_many().
                counters().returned.fetch_add(1, memory_order_release);
                ++trimmed;
            } else {
                give_back_many(me, {&record, 1});
            }
        }
        return trimmed;
    }

    /// Replaces the pages of resting slots ahead of need, and makes them free.
    /// Returns: how many, at most `most`.
    std::size_t renew_resting(holder_set me, std::size_t most) noexcept {
        std::size_t renewed = 0;
        for (auto i = no_index; renewed < most && (i = resting_.pop()) != no_index;) {
            const renewal outcome = clean(i, me);
            if (outcome == renewal::over_budget) {
                resting_.push(i);
                break;
            }
            if (outcome == renewal::cleaned) {
                word(i).free_cleaned();
                store_.push(i);
                ++renewed;
            }
        }
        return renewed;
    }

    [[nodiscard]] class_stats stats() const noexcept {
        class_stats now = counters().read();
        now.slot_bytes = layout_.slot_bytes;
        now.slots = layout_.slots;
        return now;
    }

    [[nodiscard]] class_counters& counters() const noexcept {
        return *at<class_counters>(layout_.counters);
    }
    [[nodiscard]] const class_layout& layout() const noexcept { return layout_; }

    /// The shared word of a slot. Expects: `slot < layout().slots`.
    [[nodiscard]] slot_word& word(std::uint32_t slot) const noexcept {
        return *at<slot_word>(layout_.words + slot * layout_.word_stride);
    }

    /// What this process knows of a slot. Expects: as word().
    [[nodiscard]] slot_record& record(std::uint32_t slot) const noexcept { return records_[slot]; }

private:
    friend class slab_arenas;
    friend class slab_recovery;
    template <class T>
    [[nodiscard]] T* at(std::size_t offset) const noexcept {
        return reinterpret_cast<T*>(control_ + offset);
    }
    [[nodiscard]] slot_record* claim(std::uint32_t slot, holder_set me) noexcept {
        if (slot >= layout_.slots) {
            return nullptr;
        }
        const auto generation = word(slot).claim(me);
        if (!generation) {
            return nullptr;
        }
        return own(slot, *generation);
    }

    /// This process's record of a slot that it has just got for itself.
    [[nodiscard]] slot_record* own(std::uint32_t slot, std::uint32_t generation) noexcept {
        slot_record& record = records_[slot];
        record.generation = generation;
        // relaxed: the record is its owner's alone.
        record.cache_key.store(reinterpret_cast<std::uintptr_t>(record.core), memory_order_relaxed);
        return &record;
    }

    [[nodiscard]] renewal clean(std::uint32_t slot, holder_set me) noexcept {
        return slot < layout_.slots ? renewer_.clean(slot, word(slot), me) : renewal::lost;
    }

    [[nodiscard]] taken_slot take_resting(holder_set me) noexcept {
        for (auto i = resting_.pop(); i != no_index; i = resting_.pop()) {
            switch (clean(i, me)) {
                case renewal::cleaned: return {own(i, word(i).finish_cleaning(me))};
                case renewal::over_budget: resting_.push(i); return {};  // the sweep says when
                case renewal::failed:                                    // the sweep tries it again
                case renewal::lost: break;
            }
        }
        return {};
    }

    /// Looks at every slot word, as hints may be lost: only then is "exhausted" the truth.
    ///
    /// A sweep that saw nothing but slots in use is noted, and not repeated before something was
    /// released: such slots come back by a release only. One that saw a slot rest, or being
    /// cleaned, is not noted: those come back otherwise.
    [[nodiscard]] taken_slot sweep(holder_set me, search how) noexcept {
        // sync(came-back): acquire; what came back before the counts were read is seen below.
        const auto came_back = counters().released.load(memory_order_acquire) +
                               counters().returned.load(memory_order_acquire);
        // relaxed: a note to ourselves; missing it costs a sweep.
        if (how == search::quick && all_in_use_.load(memory_order_relaxed) == came_back + 1) {
            return {};
        }
        bool quarantine_tried = false;
        taken_slot none;
        const auto look_again = [&none](std::chrono::milliseconds after) {
            none.retry_after =
                none.retry_after.count() == 0 ? after : smaller_of(none.retry_after, after);
        };
        // Each sweep begins elsewhere: a slot that stays in quarantine stands before others once.
        // relaxed: any beginning will do.
        const auto begin = sweeps_.fetch_add(1, memory_order_relaxed);
        for (std::uint32_t n = 0; n < layout_.slots; ++n) {
            const auto i = static_cast<std::uint32_t>((begin + n) % layout_.slots);
            const slot_status status = word(i).was();
            if (status.state == slot_state::free) {
                if (slot_record* record = claim(i, me)) {
                    store_.rebuild();
                    return {record};
                }
            } else if (status.state == slot_state::cleaning) {
                look_again(short_while);  // it may fail, which no release would tell
            } else if (slot_word::is_trimmed(status) ||
                       (slot_word::is_resting(status) &&
                        (status.state != slot_state::quarantine ||
                         !std::exchange(quarantine_tried, true)))) {
                switch (clean(i, me)) {
                    case renewal::cleaned: return {own(i, word(i).finish_cleaning(me))};
                    case renewal::over_budget: look_again(renewer_.period()); break;
                    case renewal::failed: quarantine_tried = true; [[fallthrough]];
                    case renewal::lost: look_again(short_while); break;
                }
            }
        }
        if (none.retry_after.count() == 0) {
            // relaxed: a note to ourselves.
            all_in_use_.store(came_back + 1, memory_order_relaxed);
        }
        return none;
    }

    static constexpr std::chrono::milliseconds short_while{10};

    class_layout layout_;
    std::byte* control_ = nullptr;
    page_renewer renewer_;
    bitmap_store store_;
    index_ring resting_;
    unique_object<slot_record[]> records_;
    atomic<std::uint64_t> sweeps_;
    // What had come back, + 1, at the last sweep that saw all slots in use; 0: none yet.
    atomic<std::uint64_t> all_in_use_;
};

}  // namespace zcpool
