// SPDX-License-Identifier: MIT
#pragma once

// Fresh pages for the slots of one class, one by one or by the arena: when a lent slot was last
// sent, whether the budget allows to replace its pages now, and doing it. In a pool that zeroes,
// also zeroes in the pages of a slot that the kernel never had, which cost less than new ones.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/pool/byte_pattern.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// What came of replacing a slot's pages.
enum class renewal : std::uint8_t {
    cleaned,      ///< done; the caller says what the slot becomes
    lost,         ///< it was not resting, or somebody else was faster
    over_budget,  ///< not now: the kernel may still hold too many replaced pages
    failed,       ///< the system refused; the slot is in quarantine
};

/// Lends, renews and zeroes the slots of one class: a view of shared memory.
///
/// With zeroing::on_release the bytes of every slot are zero when its word says FREE, as they are
/// in a new pool: the last holder zeroes them first, and pages that are replaced are zero anyway.
///
/// Concurrency: lock-free; any thread.
class page_renewer {
public:
    page_renewer() noexcept = default;
    /// Renews the slots of a class of that layout.
    page_renewer(const class_layout& layout, const shared_memory& data, std::byte* control,
                 lent_budget budget, zeroing zeroes = zeroing::never) noexcept
        : data_(&data),
          stamps_(reinterpret_cast<atomic<lent_stamp>*>(control + layout.stamps)),
          counters_(reinterpret_cast<class_counters*>(control + layout.counters)),
          slab_(layout.data),
          slot_bytes_(layout.slot_bytes),
          stride_(layout.slot_bytes + layout.margin),
          renewed_bytes_(layout.arena_slots == 0 ? layout.slot_bytes : layout.arena_bytes()),
          zeroing_(zeroes),
          budget_(budget) {}

    /// Marks a slot as held by the kernel, before it is handed to a call without a receipt.
    ///
    /// Expects: the caller holds a slice of it.
    /// Returns: false when the budget does not allow it: then copy.
    [[nodiscard]] bool lend(slot_record& record, slot_word& word, holder_set me) noexcept {
        const lent_stamp now = lent_now();
        // relaxed: only this process's lending sets it, and then the word has the kernel's bit.
        if (record.last_lent.load(memory_order_relaxed) == 0) {
            if ((word.was().holders & kernel_holder) == 0 &&
                !budget_.has_room(now, renewed_bytes_)) {
                return false;
            }
            // Until now it was this process's alone; another thread may be at the same.
            static_cast<void>(word.publish(record.generation, me));
            if (!word.grant(record.generation, me, kernel_holder)) {
                return false;
            }
            // relaxed: seen by the last holder, for whom this one drops its slice.
            record.cache_key.store(no_gate, memory_order_relaxed);
            // sync(lent): acq_rel; only who finds 0 counts, and the last holder sees the mark.
            if (record.last_lent.exchange(now, memory_order_acq_rel) == 0) {
                add(counters_->lent);
            }
            return true;
        }
        // relaxed: for the budget's account, which orders nothing.
        record.last_lent.store(now, memory_order_relaxed);
        return true;
    }

    /// Leaves the time of this process's last send with the slot, before anybody can find it
    /// resting. Kept in the record until then, so that a send touches no shared memory.
    void note_last_send(slot_record& record) noexcept {
        // relaxed: the record is the last handle's alone.
        if (const auto sent = record.last_lent.load(memory_order_relaxed); sent != 0) {
            // relaxed: as above.
            record.last_lent.store(0, memory_order_relaxed);
            // relaxed: another process's time may be lost; it is about the same.
            stamps_[to_number(record.slot)].store(sent, memory_order_relaxed);
        }
    }

    /// Gives up a holder's share of a slot; in a pool that zeroes, the last one zeroes it first.
    ///
    /// Concurrency: lock-free; if the process dies inside, the slot is cleaned by its recovery.
    drop_outcome drop(std::uint32_t slot, std::uint32_t generation, slot_word& word,
                      holder_set me) noexcept {
        if (zeroing_ == zeroing::never) {
            return word.drop(generation, me);
        }
        const drop_outcome outcome = word.drop_to_clean(generation, me);
        if (outcome != drop_outcome::cleaning) {
            return outcome;
        }
        zero(slot);
        word.free_cleaned();
        return drop_outcome::freed;
    }

    /// Zeroes a slot that the caller owns and is about to keep as a free one; only in a pool that
    /// zeroes.
    void zero(std::uint32_t slot) noexcept {
        if (zeroing_ == zeroing::never) {
            return;
        }
        std::byte* const bytes = data_->data() + offset_of(slot);
        unpoison(bytes, slot_bytes_);  // since it was released
        fill_with({bytes, slot_bytes_}, std::byte{0});
        poison(bytes, slot_bytes_);
    }

    /// Gives the pages of a free slot back to the system.
    /// Returns: false, with the slot as it was, when the system refused.
    [[nodiscard]] bool trim(std::uint32_t slot, std::uint32_t generation,
                            slot_word& word) noexcept {
        if (!data_->discard(offset_of(slot), slot_bytes_)) {
            return false;
        }
        word.trim(generation);
        add(counters_->trimmed);
        return true;
    }

    /// Claims a resting slot and replaces its pages, or a trimmed one and gets it pages.
    [[nodiscard]] renewal clean(std::uint32_t slot, slot_word& word, holder_set me) noexcept {
        if (word.claim_trimmed(me)) {
            return refill(slot, word, counters_->refilled);
        }
        const lent_stamp now = lent_now();
        if (!budget_.may_detach(now, last_sent(slot), slot_bytes_)) {
            return renewal::over_budget;
        }
        if (!word.claim_resting(me)) {
            return renewal::lost;
        }
        if (!budget_.try_detach(now, last_sent(slot), slot_bytes_)) {
            word.keep_resting();
            return renewal::over_budget;
        }
        return refill(slot, word, counters_->renewed);
    }

    /// Fresh pages for a slot that was taken over from a dead process.
    /// Returns: false when the system refused; the slot is in quarantine.
    [[nodiscard]] bool replace(std::uint32_t slot, slot_word& word) noexcept {
        return refill(slot, word, counters_->renewed) == renewal::cleaned;
    }

    /// Claims all slots of an arena that are free, trimmed or resting, replaces the pages of the
    /// whole, and frees them. While any of them is somebody's, nothing is done: what is punched is
    /// always whole huge pages, of which nobody holds a part.
    ///
    /// `word`: the word of a slot, by its number.
    /// Returns: `lost` when a slot is in use. Over the budget, or refused, the slots rest, or are
    /// in quarantine, together.
    template <class Words>
    [[nodiscard]] renewal clean_arena(std::uint32_t first, std::uint32_t count, Words&& word,
                                      holder_set me) noexcept {
        const lent_stamp now = lent_now();
        lent_stamp sent = 0;
        for (std::uint32_t slot = first; slot < first + count; ++slot) {
            sent = larger_of(sent, last_sent(slot));
        }
        if (!budget_.may_detach(now, sent, renewed_bytes_)) {
            return renewal::over_budget;
        }
        const auto undo = [&](std::uint32_t end) {
            for (std::uint32_t slot = first; slot < end; ++slot) {
                give_up_untouched(word(slot), me);
            }
        };
        for (std::uint32_t slot = first; slot < first + count; ++slot) {
            if (!word(slot).claim(me) && !word(slot).claim_resting(me)) {
                undo(slot);
                return renewal::lost;
            }
        }
        if (!budget_.try_detach(now, sent, renewed_bytes_)) {
            undo(first + count);
            return renewal::over_budget;
        }
        const bool renewed = data_->renew(offset_of(first), renewed_bytes_).has_value();
        for (std::uint32_t slot = first; slot < first + count; ++slot) {
            if (renewed) {
                word(slot).free_cleaned();
            } else {
                // relaxed: as in refill().
                stamps_[slot].store(0, memory_order_relaxed);
                word(slot).quarantine();
            }
        }
        add(renewed ? counters_->renewed : counters_->quarantined, count);
        return renewed ? renewal::cleaned : renewal::failed;
    }

    /// How long after `over_budget` it is worth trying again.
    [[nodiscard]] std::chrono::milliseconds period() const noexcept { return budget_.period(); }

private:
    /// Leaves a slot as clean_arena() found it when it claimed it.
    static void give_up_untouched(slot_word& word, holder_set me) noexcept {
        const slot_status now = word.was();
        if (now.state == slot_state::owned) {
            static_cast<void>(word.drop(now.generation, me));
        } else {
            word.keep_resting();
        }
    }

    /// Fresh pages for a slot that is being cleaned.
    [[nodiscard]] renewal refill(std::uint32_t slot, slot_word& word,
                                 atomic<std::uint64_t>& done) noexcept {
        if (!data_->renew(offset_of(slot), slot_bytes_)) {
            // relaxed: for the budget's account: its pages are counted, and no further try detaches
            // them again.
            stamps_[slot].store(0, memory_order_relaxed);
            word.quarantine();
            add(counters_->quarantined);
            return renewal::failed;
        }
        add(done);
        return renewal::cleaned;
    }

    [[nodiscard]] std::size_t offset_of(std::uint32_t slot) const noexcept {
        return slab_ + slot * stride_;
    }

    /// When a slot was last sent, as far as those who lent it have given it back.
    [[nodiscard]] lent_stamp last_sent(std::uint32_t slot) const noexcept {
        // relaxed: for the budget's account, which orders nothing.
        return stamps_[slot].load(memory_order_relaxed);
    }

    const shared_memory* data_ = nullptr;
    atomic<lent_stamp>* stamps_ = nullptr;
    class_counters* counters_ = nullptr;
    std::size_t slab_ = 0;
    std::size_t slot_bytes_ = 0;
    std::size_t stride_ = 0;
    std::size_t renewed_bytes_ = 0;  ///< what is replaced for a slot: itself, or its arena
    zeroing zeroing_ = zeroing::never;
    lent_budget budget_;
};

}  // namespace zcpool
