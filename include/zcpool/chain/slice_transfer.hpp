// SPDX-License-Identifier: MIT
#pragma once

// How a slice comes into the hands of another process of its pool.
//
// A slice that its sender goes on using, or sent elsewhere too, is shared: the sender keeps it
// until it knows that the receiver has read the message; the receiver takes a share for itself
// before it says so. One that nobody else has is handed over: the sender's bit stands for the
// message, and the receiver makes it its own bit in one step, so that the slot is free as soon as
// the receiver lets go. Either way nobody sets a bit of somebody else's, which the recovery of a
// dead one could miss; a process may be told of the same slot several times, by several others; and
// a slot that was on its way when its sender died goes with the sender's share. A receiver that had
// not read the message by then has lost it, and finds that out from the slot word: whoever wants
// what a dead process sent reads it before reaping.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/descriptor.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// What receive() came to.
enum class arrival : std::uint8_t {
    here,     ///< the slice is the caller's
    later,    ///< another thread of this process is in the middle of a step with the slot: again
    lost,     ///< the sender does not hold it any more: it died, and was recovered
    corrupt,  ///< no slot of this pool has such numbers
};

/// A slice that arrived, or why not.
struct received_slice {
    arrival how = arrival::lost;
    slice what;
};

/// The two ends of a slice's way. Sharing: stateless; any thread. Expects: the pool is shared.
class slice_transfer {
public:
    /// Makes the bytes readable for other processes, and says where they lie.
    ///
    /// Expects: the caller keeps the slice, or a copy, until the receiver has read the message.
    /// Errors: `foreign_slice`.
    /// Concurrency: lock-free.
    [[nodiscard]] static result<descriptor> describe(pool_core& core, const slice& what) noexcept {
        if (!what.in_pool() || what.record().core != &core || what.empty()) {
            return fail(errc::foreign_slice);
        }
        slot_record& record = what.record();
        const auto slot = to_number(record.slot);
        const std::size_t index = to_number(record.size_class);
        // sync(travel): acquire; whoever set it had a slice too, and did all this.
        if ((record.references.load(memory_order_acquire) & slice_owner::travels) == 0) {
            // Fails where it was lent, and so published before.
            static_cast<void>(pool_sharing::slots_of(core, index)
                                  .word(slot)
                                  .publish(record.generation, pool_sharing::seat(core).bit()));
            // relaxed: seen by the last holder, for whom this one drops its slice.
            record.cache_key.store(no_gate, memory_order_relaxed);
            // sync(travel): release; who sees it sees that the slot is published.
            record.references.fetch_or(slice_owner::travels, memory_order_release);
        }
        return descriptor{slot, static_cast<std::uint32_t>(index), record.generation,
                          static_cast<std::uint32_t>(what.data_ - record.data),
                          static_cast<std::uint32_t>(what.size())};
    }

    /// Gives up the slice, and with it this process's share of its slot, to whoever gets its
    /// descriptor: that must say `handed_over` then.
    ///
    /// Expects: describe() has described it; the descriptor goes to one process, or is recalled.
    /// Returns: false, with nothing changed, when the slice is not the only one of the slot in all
    /// processes: then keep it.
    [[nodiscard]] static bool hand_over(pool_core& core, slice& what) noexcept {
        slot_record& record = what.record();
        slab& slots = pool_sharing::slots_of(core, to_number(record.size_class));
        // First the count: from here on no other thread of this process gets a handle of it, and
        // none had one. Who becomes a holder later was told of it in a message that was taken back.
        std::uint32_t only = slice_owner::travels | 1;
        // sync(slice): acquire; all other handles have done reading. relaxed on failure: there are
        // others.
        if (!record.references.compare_exchange_strong(
                only, slice_owner::travels, memory_order_acquire, memory_order_relaxed)) {
            return false;
        }
        const holder_set holders = slots.word(to_number(record.slot)).was().holders;
        if ((holders & ~kernel_holder) != pool_sharing::seat(core).bit()) {
            // sync(travel): release; the share is in use again.
            record.references.store(slice_owner::travels | 1, memory_order_release);
            return false;
        }
        slots.forget(record);
        what.owner_ = nullptr;
        what = slice{};
        core.unpin();
        return true;
    }

    /// Gives up what was handed over, if its receiver has not got it.
    ///
    /// Expects: the message was taken back, or its receiver is gone: nobody will have handed the
    /// same slot back to this process.
    static void recall(pool_core& core, const descriptor& where) noexcept {
        pool_sharing::recall(core, where.size_class, where.slot, where.generation);
    }

    /// Takes a share of what `from` described and still holds.
    ///
    /// Expects: the caller keeps the core (pool_core::pin()); `from` is one process's bit.
    /// Concurrency: lock-free among processes.
    [[nodiscard]] static received_slice receive(pool_core& core, const descriptor& where,
                                                holder_set from) noexcept {
        if (where.size_class >= core.class_count()) {
            return {arrival::corrupt, {}};
        }
        const slab& slots = pool_sharing::slots_of(core, where.size_class);
        const class_layout& layout = slots.layout();
        if (where.slot >= layout.slots || where.length == 0 || where.offset > layout.slot_bytes ||
            where.length > layout.slot_bytes - where.offset) {
            return {arrival::corrupt, {}};
        }
        slot_record& record = slots.record(where.slot);
        const arrival how = share(core, record, slots.word(where.slot), where, from);
        return {how, how == arrival::here ? slice::counted(record, where.offset, where.length)
                                          : slice{}};
    }

    /// As pool_sharing::detach_later(). Expects: a slice of a pool.
    [[nodiscard]] static bool detach_later(const slice& what) noexcept {
        return pool_sharing::detach_later(*what.record().core, what.record());
    }

    /// A slice of memory that another process lets this one read; `owner` is told when it has gone.
    [[nodiscard]] static slice borrow(foreign_owner& owner,
                                      std::span<const std::byte> bytes) noexcept {
        return slice::of(owner, bytes);
    }

private:
    /// Counts one more handle of the slot in this process, which takes its share with the first.
    [[nodiscard]] static arrival share(pool_core& core, slot_record& record, slot_word& word,
                                       const descriptor& where, holder_set from) noexcept {
        // relaxed: the compare-exchange settles it.
        std::uint32_t count = record.references.load(memory_order_relaxed);
        while ((count & slice_owner::travels) != 0 && count != slice_owner::travels) {
            // sync(travel): acquire; the record is that of the share that the handles are of.
            // relaxed on failure: nothing is done.
            if (record.references.compare_exchange_weak(count, count + 1, memory_order_acquire,
                                                        memory_order_relaxed)) {
                if (record.generation == where.generation) {
                    if (where.handed_over) {
                        // Ours is set, as an earlier message of the slot was accepted although its
                        // sender had taken that back. So this one needs the sender's no more.
                        static_cast<void>(word.drop(where.generation, from));
                    }
                    return arrival::here;
                }
                // The handles are of a later life, and the descriptor is stale. Dropped as any.
                static_cast<void>(slice::counted(record, 0, 1));
                return arrival::lost;
            }
        }
        switch (word.accept(where.generation, from, pool_sharing::seat(core).bit(),
                            where.handed_over)) {
            case accept_outcome::accepted: break;
            case accept_outcome::mine_already: return arrival::later;
            case accept_outcome::gone: return arrival::lost;
        }
        core.pin();
        unpoison(record.data, record.bytes);  // of an earlier life, in which we released it
        record.generation = where.generation;
        // relaxed: the record is this thread's alone until the count says otherwise.
        record.copied_sends.store(0, memory_order_relaxed);
        record.cache_key.store(no_gate, memory_order_relaxed);
        // sync(travel): release; as above.
        record.references.store(slice_owner::travels | 1, memory_order_release);
        return arrival::here;
    }
};

}  // namespace zcpool
