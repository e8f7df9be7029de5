// SPDX-License-Identifier: MIT
#pragma once

// All slots of one size class: finding a free one, giving it back, and renewing those that were
// lent.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/index_ring.hpp>

namespace zcpool {

/// How to look for a free slot.
enum class search : std::uint8_t {
    quick,     ///< do not sweep again when nothing came back since a sweep found nothing
    thorough,  ///< sweep in any case: a waiter's last look before it sleeps
};

/// What came of looking for a free slot.
struct taken_slot {
    slot_record* record = nullptr;  ///< null: none
    bool over_budget = false;       ///< slots rest whose pages may be replaced only later
};

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
                                    lent_budget budget, pool_core* core) noexcept {
        layout_ = layout;
        data_ = &data;
        control_ = control.data();
        budget_ = budget;
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
            record.data = data.data() + layout.data + i * layout.slot_bytes;
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
        for (auto i = store_.pop(); i != no_index; i = store_.pop()) {
            // A failed claim drops the hint: somebody swept the slot up before.
            if (slot_record* record = claim(i, me)) {
                return {record};
            }
        }
        taken_slot found = take_resting(me);
        if (found.record != nullptr) {
            return found;
        }
        return sweep(me, how, found.over_budget);
    }

    /// Gives up this process's share of a slot. Returns: whether a slot came free by it.
    bool give_back(slot_record& record, holder_set me) noexcept {
        const auto slot = to_number(record.slot);
        const drop_outcome outcome = word(slot).drop(record.generation, me);
        ZCPOOL_ASSERT(outcome != drop_outcome::not_held,
                      "released a slot that this process does not hold");
        if (outcome == drop_outcome::still_held || outcome == drop_outcome::not_held) {
            return false;
        }
        if (outcome == drop_outcome::freed) {
            store_.push(slot);
        } else {
            resting_.push(slot);
        }
        // sync(came-back): release; a sweep that starts with this count sees the slot.
        counters().released.fetch_add(1, memory_order_release);
        return true;
    }

    /// Makes an owned slot immutable.
    void publish(slot_record& record, holder_set me) noexcept {
        [[maybe_unused]] const bool done =
            word(to_number(record.slot)).publish(record.generation, me);
        ZCPOOL_ASSERT(done, "froze a slot that this process does not own");
    }

    /// Marks a published slot as held by the kernel, before it is handed to a call without a
    /// receipt.
    ///
    /// Returns: false when the budget does not allow it: then copy.
    [[nodiscard]] bool lend(slot_record& record, holder_set me) noexcept {
        const auto slot = to_number(record.slot);
        const lent_stamp now = lent_now();
        slot_word& shared = word(slot);
        if ((shared.was().holders & kernel_holder) == 0) {
            if (!budget_.has_room(now, layout_.slot_bytes) ||
                !shared.grant(record.generation, me, kernel_holder)) {
                return false;
            }
            count(counters().lent);
        }
        // relaxed: for the budget's account, which orders nothing.
        stamp(slot).store(now, memory_order_relaxed);
        return true;
    }

    /// Replaces the pages of resting slots ahead of need. Returns: how many became free, at most
    /// `most`.
    std::size_t renew_resting(holder_set me, std::size_t most) noexcept {
        std::size_t renewed = 0;
        while (renewed < most) {
            const taken_slot found = take_resting(me);
            if (found.record == nullptr) {
                break;
            }
            // Not through give_back(): a slot that nobody acquired was not released either.
            word(to_number(found.record->slot)).drop(found.record->generation, me);
            store_.push(to_number(found.record->slot));
            ++renewed;
        }
        return renewed;
    }

    /// Counts a slot that was handed out.
    void count_acquired() noexcept {
        // relaxed: a counter.
        const auto acquired = counters().acquired.fetch_add(1, memory_order_relaxed) + 1;
        // relaxed: a counter.
        const auto in_use = acquired - counters().released.load(memory_order_relaxed);
        // relaxed: a counter.
        auto highest = counters().high_water.load(memory_order_relaxed);
        // `in_use` beyond the slots means that releases overtook us between the two looks.
        while (in_use > highest && in_use <= layout_.slots) {
            // relaxed: a counter.
            if (counters().high_water.compare_exchange_weak(highest, in_use, memory_order_relaxed,
                                                            memory_order_relaxed)) {
                break;
            }
        }
    }

    [[nodiscard]] class_stats stats() const noexcept;

    [[nodiscard]] class_counters& counters() const noexcept {
        return *at<class_counters>(layout_.counters);
    }
    [[nodiscard]] const class_layout& layout() const noexcept { return layout_; }

    /// The shared word of a slot. Expects: `slot < layout().slots`.
    [[nodiscard]] slot_word& word(std::uint32_t slot) const noexcept {
        return *at<slot_word>(layout_.words + slot * layout_.word_stride);
    }

    /// Adds one to a counter.
    static void count(atomic<std::uint64_t>& counter, std::uint64_t by = 1) noexcept {
        // relaxed: a counter.
        counter.fetch_add(by, memory_order_relaxed);
    }

private:
    enum class renewal : std::uint8_t { renewed, lost, over_budget, failed };

    template <class T>
    [[nodiscard]] T* at(std::size_t offset) const noexcept {
        return reinterpret_cast<T*>(control_ + offset);
    }
    [[nodiscard]] atomic<lent_stamp>& stamp(std::uint32_t slot) const noexcept {
        return at<atomic<lent_stamp>>(layout_.stamps)[slot];
    }

    [[nodiscard]] slot_record* claim(std::uint32_t slot, holder_set me) noexcept {
        if (slot >= layout_.slots) {
            return nullptr;
        }
        const auto generation = word(slot).claim(me);
        if (!generation) {
            return nullptr;
        }
        records_[slot].generation = *generation;
        return &records_[slot];
    }

    /// Claims a resting slot and replaces its pages; the caller owns it after `renewed`.
    [[nodiscard]] renewal renew(std::uint32_t slot, holder_set me) noexcept {
        if (slot >= layout_.slots || !word(slot).claim_resting(me)) {
            return renewal::lost;
        }
        // relaxed: for the budget's account, which orders nothing.
        const auto last_sent = stamp(slot).load(memory_order_relaxed);
        if (!budget_.try_detach(lent_now(), last_sent, layout_.slot_bytes)) {
            word(slot).keep_resting();
            return renewal::over_budget;
        }
        if (!data_->renew(layout_.data + slot * layout_.slot_bytes, layout_.slot_bytes)) {
            word(slot).quarantine();
            count(counters().quarantined);
            return renewal::failed;
        }
        records_[slot].generation = word(slot).finish_cleaning(me);
        count(counters().renewed);
        return renewal::renewed;
    }

    [[nodiscard]] taken_slot take_resting(holder_set me) noexcept {
        for (auto i = resting_.pop(); i != no_index; i = resting_.pop()) {
            switch (renew(i, me)) {
                case renewal::renewed: return {&records_[i]};
                case renewal::over_budget: resting_.push(i); return {nullptr, true};
                case renewal::failed:  // the sweep tries it again
                case renewal::lost: break;
            }
        }
        return {};
    }

    /// Looks at every slot word, because hints may be lost: only after this is "exhausted" the
    /// truth.
    [[nodiscard]] taken_slot sweep(holder_set me, search how, bool over_budget) noexcept {
        // sync(came-back): acquire; what was back before this count was read is seen below.
        const auto came_back = counters().released.load(memory_order_acquire);
        // relaxed: a note to ourselves; missing it costs a sweep.
        if (how == search::quick && fruitless_.load(memory_order_relaxed) == came_back + 1) {
            return {};
        }
        bool quarantine_tried = false;
        for (std::uint32_t i = 0; i < layout_.slots; ++i) {
            const slot_status status = word(i).was();
            if (status.state == slot_state::free) {
                if (slot_record* record = claim(i, me)) {
                    store_.rebuild();
                    return {record};
                }
                continue;
            }
            if (!slot_word::is_resting(status) || over_budget ||
                (status.state == slot_state::quarantine && quarantine_tried)) {
                continue;
            }
            switch (renew(i, me)) {
                case renewal::renewed: return {&records_[i]};
                case renewal::over_budget: over_budget = true; break;
                case renewal::failed:
                    quarantine_tried = true;
                    break;  // what fails once mostly fails for all
                case renewal::lost: break;
            }
        }
        if (!over_budget && !quarantine_tried) {
            // relaxed: a note to ourselves.
            fruitless_.store(came_back + 1, memory_order_relaxed);
        }
        return {nullptr, over_budget};
    }

    class_layout layout_;
    const shared_memory* data_ = nullptr;
    std::byte* control_ = nullptr;
    lent_budget budget_;
    bitmap_store store_;
    index_ring resting_;
    std::unique_ptr<slot_record[]> records_;
    atomic<std::uint64_t>
        fruitless_;  // `released` + 1 at the last sweep that found nothing at all; 0: none yet
};

inline class_stats slab::stats() const noexcept {
    const class_counters& from = counters();
    const auto read = [](const atomic<std::uint64_t>& counter) {
        // relaxed: a counter.
        return counter.load(memory_order_relaxed);
    };
    class_stats to;
    to.slot_bytes = layout_.slot_bytes;
    to.slots = layout_.slots;
    to.released = read(from.released);  // first, so that in_use cannot come out below zero
    to.acquired = read(from.acquired);
    to.in_use = to.acquired - to.released;
    to.high_water = read(from.high_water);
    to.exhausted = read(from.exhausted);
    to.waited = read(from.waited);
    to.spilled = read(from.spilled);
    to.lent = read(from.lent);
    to.renewed = read(from.renewed);
    to.quarantined = read(from.quarantined);
    to.copied_bytes = read(from.copied_bytes);
    return to;
}

}  // namespace zcpool
