// SPDX-License-Identifier: MIT
#pragma once

// A pool in several processes: its files for others, a pool of their files, and taking back what
// the dead had.
//
// A shared pool works without thread caches: what lies in a cache of one process is OWNED by it,
// and a waiter in another can neither see it nor ask for it.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/class_recovery.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/owner_gate.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/slab_recovery.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/page_lock.hpp>
#include <zcpool/sys/process.hpp>

namespace zcpool {

class pool_view;

/// The descriptors of a pool's two files. They are the pool's: valid while it lives.
struct pool_descriptors {
    int data = -1;
    int control = -1;
};

/// What a recovery took back.
struct recovery_report {
    holder_set gone = 0;  ///< the places of the processes for whom it swept
    class_recovery slots;
};

/// The steps that make a pool of several processes. What users call is in ipc/.
class pool_sharing {
public:
    /// Takes the pool's creator into the registry, closes its thread caches for good, and names its
    /// files. Repeatable; one thread at a time, and nobody at the report.
    ///
    /// Errors: `unsupported` for a checked pool, and one with arenas, of which one process alone
    /// knows which are retired; `closed` in a forked child; what the trial of
    /// replacing pages said when the pool was created; `pages_registered`; the errno of reading
    /// /proc/self.
    [[nodiscard]] static result<pool_descriptors> share(pool_core& core) noexcept {
        if (core.is_closed()) {
            return fail(errc::closed);
        }
        if (core.checks_ != nullptr || core.arenas_ != nullptr) {
            return fail(errc::unsupported);
        }
        if (auto done = allow_replacing(core); !done) {
            return fail(done.error());
        }
        if (core.leave_ == nullptr) {
            auto who = this_process();
            auto where = sys::own_namespaces();
            if (!who || !where) {
                return fail(who ? where.error() : who.error());
            }
            core.header().table.namespaces = *where;
            const auto seat = core.registry_.join_at(0, *who);
            ZCPOOL_ASSERT(seat, "somebody has the creator's place");
            take(core, *seat);
            core.caches_.suspend();
            while (!core.caches_.drain()) {  // somebody is in the middle of a release
                sys::provider::yield();
            }
            core.report_.cache = cache_policy::none;
            core.report_.shared = true;
        }
        return pool_descriptors{core.data_.fd(), core.control_.fd()};
    }

    /// Makes a pool of files that were checked, with a place of this process's own.
    ///
    /// Errors: `other_namespace`, `too_many_processes`, `out_of_memory`, or the errno of what the
    /// system refused.
    [[nodiscard]] static result<pool_core*> attach(sys::memfd data, sys::memfd control,
                                                   const pool_table& table,
                                                   const pool_layout& layout,
                                                   lock_policy locking) noexcept {
        unique_object<pool_core> made{new (std::nothrow) pool_core};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        if (auto done = map(*made, std::move(data), std::move(control), table.lends != 0); !done) {
            return fail(done.error());
        }
        if (auto done = open(*made, table, layout); !done) {
            return fail(done.error());
        }
        if (table.undumped != 0) {
            if (auto done = made->data_.exclude_from_core_dumps(); !done) {
                return fail(done.error());
            }
            made->report_.core_dump = core_dump::excluded;
        }
        auto locked = sys::lock_pages(made->data_.pages(), locking, made->report_.locking);
        if (!locked) {
            return fail(locked.error());
        }
        // Elsewhere this process's pid is another's or nobody's: it would be taken for dead.
        auto where = sys::own_namespaces();
        if (!where) {
            return fail(where.error());
        }
        if (*where != table.namespaces) {
            return fail(errc::other_namespace);
        }
        auto who = this_process();
        if (!who) {
            return fail(who.error());
        }
        const auto seat = made->registry_.join(*who);
        if (!seat) {
            return fail(errc::too_many_processes);
        }
        take(*made, *seat);
        made->seat_.index = seat->index;
        made->me_ = seat->bit();
        for (auto& each : made->waiting_[seat->index].of_class) {
            // relaxed: the last one's, where its recoverer died before it had taken them.
            each.store(0, memory_order_relaxed);
        }
        recover(*made);  // for those who left, so that there are places for those who come
        return made.release();
    }

    /// Takes back what the dead had, wakes all who wait, and frees places. Whom nobody marked as
    /// dying is not dead.
    ///
    /// Complexity: O(places) when nobody died, else O(slots).
    /// Concurrency: lock-free; any thread, any number of processes at once; repeatable, also where
    /// another recoverer died.
    static recovery_report recover(pool_core& core) noexcept {
        recovery_report done;
        if (core.leave_ == nullptr || !core.in_creator()) {
            return done;
        }
        done.gone = core.registry_.recover(core.seat_, [&](holder_set gone) {
            for (std::size_t index = 0; index < core.class_count_; ++index) {
                slab& each = core.slabs_[index];
                done.slots += recover_class(slab_recovery{each}, gone, core.me_);
                forget_waiters(core, index, gone);
            }
            // One who died may have taken a wake-up with it, or freed a slot and woken nobody.
            core.waiters_.wake_all();
        });
        return done;
    }

    /// What the slots of a class were doing.
    /// Expects: `index < class_count()`.
    [[nodiscard]] static class_audit audit(pool_core& core, std::size_t index) noexcept {
        return slab_recovery{core.slabs_[index]}.audit();
    }

    /// The registry of a shared pool; of another one, without places.
    [[nodiscard]] static process_registry& registry(pool_core& core) noexcept {
        return core.registry_;
    }
    /// This process's place in it.
    [[nodiscard]] static process_seat seat(const pool_core& core) noexcept { return core.seat_; }

    /// The slots of a class, for a slice on its way between processes (chain/slice_transfer.hpp).
    /// Expects: `index < class_count()`.
    [[nodiscard]] static slab& slots_of(pool_core& core, std::size_t index) noexcept {
        return core.slabs_[index];
    }

    /// Gives up a share that is on its way to another process, if that has not got it.
    static void recall(pool_core& core, std::size_t index, std::uint32_t slot,
                       std::uint32_t generation) noexcept {
        const drop_outcome outcome = core.slabs_[index].give_back(slot, generation, core.me_);
        if (outcome == drop_outcome::freed || outcome == drop_outcome::resting) {
            core.wake_one(index);
        }
    }

    /// Allows to replace pages of a pool, as those that a process which has died was sending.
    ///
    /// Errors: what the trial of it said when the pool was created; `pages_registered`.
    [[nodiscard]] static result<void> allow_replacing(pool_core& core) noexcept {
        if (core.renewal_refusal_) {
            return fail(core.renewal_refusal_);
        }
        return core.registrations_.allow_replacing() ? result<void>{}
                                                     : fail(errc::pages_registered);
    }

    /// Has the pages of a held slot replaced before its next owner writes, as the kernel may read
    /// them for a process that is gone; in pools that never lend too.
    ///
    /// Expects: allow_replacing() has done it.
    /// Returns: false when the budget does not allow it now: then the slot must be kept.
    [[nodiscard]] static bool detach_later(pool_core& core, slot_record& record) noexcept {
        const slab& slots = core.slabs_[to_number(record.size_class)];
        // Larger ones are never lent.
        if (core.lends() != lending::never && slots.layout().slot_bytes <= core.budget_.limit()) {
            return core.lend(record);
        }
        slot_word& word = slots.word(to_number(record.slot));
        // Fails where it was published before.
        static_cast<void>(word.publish(record.generation, core.me_));
        // relaxed: seen by the last holder, for whom this one drops its slice.
        record.cache_key.store(no_gate, memory_order_relaxed);
        return word.grant(record.generation, core.me_, kernel_holder);
    }

    /// The plain handle's core, and the other way round. Defined in pool.hpp.
    [[nodiscard]] static pool_core& core_of(pool_view view) noexcept;
    /// The view of what core_of() gave.
    [[nodiscard]] static pool_view view_of(pool_core& core) noexcept;

    /// Who this process is.
    /// Errors: the errno of reading /proc/self/stat.
    [[nodiscard]] static result<process_identity> this_process() noexcept {
        auto start = sys::start_time_of(0);
        if (!start) {
            return fail(start.error());
        }
        return process_identity{static_cast<std::uint32_t>(sys::provider::getpid()), *start};
    }

private:
    [[nodiscard]] static result<void> map(pool_core& core, sys::memfd data, sys::memfd control,
                                          bool lends) noexcept {
        auto slots = shared_memory::adopt(std::move(data), page_use::renewable);
        if (!slots) {
            return fail(slots.error());
        }
        auto words = shared_memory::adopt(std::move(control), page_use::control);
        if (!words) {
            return fail(words.error());
        }
        auto guard = sys::fork_guard::create();
        if (!guard) {
            return fail(guard.error());
        }
        core.data_ = std::move(*slots);
        core.control_ = std::move(*words);
        core.guard_ = std::move(*guard);
        if (lends) {
            // Not being able to is no reason to fail: this process can write to it anyway.
            if (auto read_only = core.data_.file().reopen_read_only()) {
                core.read_only_ = std::move(*read_only);
            }
            core.lending_ = lending::cached;
        }
        static_cast<void>(core.registrations_.allow_replacing());
        return {};
    }

    [[nodiscard]] static result<void> open(pool_core& core, const pool_table& table,
                                           const pool_layout& layout) noexcept {
        core.class_count_ = layout.class_count;
        core.registry_ = process_registry{
            {reinterpret_cast<registry_entry*>(core.control_.data() + layout.registry),
             max_processes}};
        core.waiting_ = reinterpret_cast<waiter_shares*>(core.control_.data() + layout.waiting);
        core.spill_ = table.spills != 0 ? spill_policy::next_class : spill_policy::never;
        core.waiters_ = wait_list{core.header().wake_sequence, &core.watches_};
        core.budget_ =
            lent_budget{core.header().detached, static_cast<std::size_t>(table.lent_budget_bytes),
                        std::chrono::milliseconds{table.lent_settle_ms}};
        const zeroing zeroes = table.zeroes != 0 ? zeroing::on_release : zeroing::never;
        std::array<std::size_t, max_classes> sizes{};
        for (std::size_t i = 0; i < layout.class_count; ++i) {
            sizes[i] = layout.classes[i].slot_bytes;
            auto done =
                core.slabs_[i].open(layout.classes[i], class_index{static_cast<std::uint8_t>(i)},
                                    core.data_, core.control_, core.budget_, &core, zeroes);
            if (!done) {
                return done;
            }
        }
        core.lookup_ = class_lookup{array_view{sizes}.first(layout.class_count)};
        core.report_.lending = core.lending_;
        core.report_.zeroing = zeroes;
        core.report_.shared = true;
        core.report_.data_bytes = layout.data_bytes;
        core.report_.control_bytes = layout.control_bytes;
        return {};
    }

    /// Takes a place, and the duty to leave it.
    static void take(pool_core& core, process_seat seat) noexcept {
        core.seat_.status = seat.status;
        core.leave_ = &leave;
    }

    /// Takes the waiters of the dead off a class's count, or every release would wake them.
    static void forget_waiters(pool_core& core, std::size_t index, holder_set gone) noexcept {
        for (std::uint32_t place = 0; place < max_processes; ++place) {
            if ((gone >> place & 1) != 0) {
                // relaxed: only one recoverer gets them; if it dies they are counted for ever,
                // which costs system calls.
                const auto waited =
                    core.waiting_[place].of_class[index].exchange(0, memory_order_relaxed);
                // relaxed: as in wait_list::leave().
                core.slabs_[index].counters().waiters.fetch_sub(waited, memory_order_relaxed);
            }
        }
    }

    /// Gives up what is left when all handles have gone (the reserve), and the place, which the
    /// next recovery frees; those who left before are freed here, so that they do not add up.
    static void leave(pool_core& core) noexcept {
        recover(core);
        for (std::size_t index = 0; index < core.class_count_; ++index) {
            recover_class(slab_recovery{core.slabs_[index]}, core.me_, core.me_);
        }
        core.waiters_.wake_all();
        core.registry_.mark_dying(core.seat_.index, core.seat_.status);
    }
};

inline void pool_core::end() noexcept {
    if (!guard_.in_creator()) {
        return;
    }
    // sync(closed): seq_cst; as in close().
    ended_.store(1, memory_order_seq_cst);
    stop();
    while (!caches_.drain()) {  // somebody is in the middle of a release
        sys::provider::yield();
    }
    // What caches handed out and did not get back counts from here on.
    std::int64_t out = 0;
    for (std::size_t index = 0; index < class_count_; ++index) {
        out += caches_.handed_out(index);
    }
    drop_references(pool_object - out);
}

}  // namespace zcpool
