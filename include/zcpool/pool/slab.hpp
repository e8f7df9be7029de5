// SPDX-License-Identifier: MIT
#pragma once

// All slots of one size class: finding a free one, giving it back, and renewing those that were
// lent.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/counters.hpp>
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

    /// When to look again although nobody released anything: slots rest over the budget, or are
    /// being renewed, or could not be. 0: only a release brings one back.
    std::chrono::milliseconds retry_after{0};
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
        return sweep(me, how);
    }

    /// Gives up this process's share of a slot.
    /// Returns: whether a slot came free by it.
    bool give_back(slot_record& record, holder_set me) noexcept {
        const auto slot = to_number(record.slot);
        account_for_lending(record);
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
        const lent_stamp now = lent_now();
        // relaxed: only this process's lending sets it, and then the word has the bit.
        if (record.last_lent.load(memory_order_relaxed) == 0) {
            slot_word& shared = word(to_number(record.slot));
            if ((shared.was().holders & kernel_holder) == 0) {
                if (!budget_.has_room(now, layout_.slot_bytes) ||
                    !shared.grant(record.generation, me, kernel_holder)) {
                    return false;
                }
                add(counters().lent);
            }
        }
        // relaxed: for the budget's account, which orders nothing.
        record.last_lent.store(now, memory_order_relaxed);
        return true;
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

    /// The shared word of a slot.
    /// Expects: `slot < layout().slots`.
    [[nodiscard]] slot_word& word(std::uint32_t slot) const noexcept {
        return *at<slot_word>(layout_.words + slot * layout_.word_stride);
    }

private:
    enum class renewal : std::uint8_t { cleaned, lost, over_budget, failed };

    template <class T>
    [[nodiscard]] T* at(std::size_t offset) const noexcept {
        return reinterpret_cast<T*>(control_ + offset);
    }
    [[nodiscard]] atomic<lent_stamp>& stamp(std::uint32_t slot) const noexcept {
        return at<atomic<lent_stamp>>(layout_.stamps)[slot];
    }

    /// When a slot was last sent, as far as those who lent it have given it back.
    [[nodiscard]] lent_stamp last_sent(std::uint32_t slot) const noexcept {
        // relaxed: for the budget's account, which orders nothing.
        return stamp(slot).load(memory_order_relaxed);
    }

    /// Leaves the time of this process's last send with the slot, before anybody can find it
    /// resting. Kept in the record until then, so that a send touches no shared memory.
    void account_for_lending(slot_record& record) noexcept {
        // relaxed: the record is the last handle's alone.
        if (const auto sent = record.last_lent.load(memory_order_relaxed); sent != 0) {
            // relaxed: as above.
            record.last_lent.store(0, memory_order_relaxed);
            // relaxed: another process's time may be lost; it is about the same.
            stamp(to_number(record.slot)).store(sent, memory_order_relaxed);
        }
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

    /// Claims a resting slot and replaces its pages; after `cleaned` the caller says what it
    /// becomes.
    [[nodiscard]] renewal clean(std::uint32_t slot, holder_set me) noexcept {
        if (slot >= layout_.slots) {
            return renewal::lost;
        }
        const lent_stamp now = lent_now();
        if (!budget_.may_detach(now, last_sent(slot), layout_.slot_bytes)) {
            return renewal::over_budget;
        }
        if (!word(slot).claim_resting(me)) {
            return renewal::lost;
        }
        if (!budget_.try_detach(now, last_sent(slot), layout_.slot_bytes)) {
            word(slot).keep_resting();
            return renewal::over_budget;
        }
        if (!data_->renew(layout_.data + slot * layout_.slot_bytes, layout_.slot_bytes)) {
            // relaxed: for the budget's account: its pages are counted, and no further try detaches
            // them again.
            stamp(slot).store(0, memory_order_relaxed);
            word(slot).quarantine();
            add(counters().quarantined);
            return renewal::failed;
        }
        add(counters().renewed);
        return renewal::cleaned;
    }

    /// Makes a cleaned slot the cleaner's.
    [[nodiscard]] slot_record* own_cleaned(std::uint32_t slot, holder_set me) noexcept {
        records_[slot].generation = word(slot).finish_cleaning(me);
        return &records_[slot];
    }

    [[nodiscard]] taken_slot take_resting(holder_set me) noexcept {
        for (auto i = resting_.pop(); i != no_index; i = resting_.pop()) {
            switch (clean(i, me)) {
                case renewal::cleaned: return {own_cleaned(i, me)};
                case renewal::over_budget: resting_.push(i); return {};  // the sweep says when
                case renewal::failed:                                    // the sweep tries it again
                case renewal::lost: break;
            }
        }
        return {};
    }

    /// Looks at every slot word, because hints may be lost: only after this is "exhausted" the
    /// truth.
    ///
    /// A sweep that saw nothing but slots in use is noted, and not repeated before something was
    /// released: such slots come back by a release only. One that saw a slot rest, or being
    /// cleaned, is not noted: those come back otherwise.
    [[nodiscard]] taken_slot sweep(holder_set me, search how) noexcept {
        // sync(came-back): acquire; what was released before this count was read is seen below.
        const auto came_back = counters().released.load(memory_order_acquire);
        // relaxed: a note to ourselves; missing it costs a sweep.
        if (how == search::quick && all_in_use_.load(memory_order_relaxed) == came_back + 1) {
            return {};
        }
        bool quarantine_tried = false;
        taken_slot none;
        const auto look_again = [&none](std::chrono::milliseconds after) {
            none.retry_after =
                none.retry_after.count() == 0 ? after : std::min(none.retry_after, after);
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
            } else if (slot_word::is_resting(status) && (status.state != slot_state::quarantine ||
                                                         !std::exchange(quarantine_tried, true))) {
                switch (clean(i, me)) {
                    case renewal::cleaned: return {own_cleaned(i, me)};
                    case renewal::over_budget: look_again(budget_.period()); break;
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
    const shared_memory* data_ = nullptr;
    std::byte* control_ = nullptr;
    lent_budget budget_;
    bitmap_store store_;
    index_ring resting_;
    std::unique_ptr<slot_record[]> records_;
    atomic<std::uint64_t> sweeps_;
    // `released` + 1 at the last sweep that saw all slots in use; 0: none yet.
    atomic<std::uint64_t> all_in_use_;
};

}  // namespace zcpool
