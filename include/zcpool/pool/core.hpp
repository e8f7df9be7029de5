// SPDX-License-Identifier: MIT
#pragma once

// What a pool is, without its compile-time class list: the two memories, the slabs, and how long
// they live.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/pool/waiting.hpp>
#include <zcpool/sys/fork_guard.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool {

/// The state behind a pool's handles. On the heap, and shared: it goes when the pool object and
/// every buffer and slice have gone, whichever is last.
///
/// Sharing: all functions may be called by any thread. A forked child cannot see the slots at all,
/// and its copies of handles do nothing when they go.
class pool_core {
public:
    /// Creates the memories and puts every slot into its free store (pool/create.hpp).
    ///
    /// Errors: `invalid_options`, `unsupported`, `renewal_ineffective`, `out_of_memory`, or the
    /// errno of what the system refused. The report says which value, which limit, which remedy.
    [[nodiscard]] static result<pool_core*> create(std::span<const class_spec> classes,
                                                   const pool_options& options, spill_policy spill,
                                                   creation_report& report) noexcept;

    pool_core(const pool_core&) = delete;
    pool_core& operator=(const pool_core&) = delete;

    /// Takes a slot of a class, or of a larger one where the policy lets it spill.
    ///
    /// Expects: `wanted < class_count()`.
    /// Returns: why not, or a slot that this process owns and the caller counts as one reference to
    /// the core.
    [[nodiscard]] result<slot_record*> take(std::size_t wanted) noexcept {
        if (is_closed()) {
            return fail(errc::closed);
        }
        const taken_slot found = search_classes(wanted, search::quick);
        if (found.record == nullptr) {
            add(slabs_[wanted].counters().exhausted);
            return fail(errc::exhausted);
        }
        return found.record;
    }

    /// Like take(), but sleeps until a slot comes back or the deadline passes.
    [[nodiscard]] result<slot_record*> take_until(std::size_t wanted,
                                                  sys::clock::time_point deadline) noexcept;

    /// Gives up this process's share of a slot and wakes a waiter. The last use of the record.
    void give_back(slot_record& record) noexcept {
        if (guard_.in_creator()) {
            const std::size_t index = to_number(record.size_class);
            if (slabs_[index].give_back(record, me_)) {
                wake_one(index);
            }
        }
        drop_reference();
    }

    /// Makes an owned slot immutable.
    void publish(slot_record& record) noexcept {
        // relaxed: the record is still its owner's alone.
        record.copied_sends.store(0, memory_order_relaxed);
        if (guard_.in_creator()) {
            slabs_[to_number(record.size_class)].publish(record, me_);
        }
    }

    /// Marks a slot as held by the kernel.
    /// Returns: false when it may not be lent: then copy.
    [[nodiscard]] bool lend(slot_record& record) noexcept {
        return lending_ != lending::never && guard_.in_creator() &&
               slabs_[to_number(record.size_class)].lend(record, me_);
    }

    /// Counts bytes of a slot that a sink without a receipt had to copy.
    void count_copied(const slot_record& record, std::size_t bytes) noexcept {
        add(slabs_[to_number(record.size_class)].counters().copied_bytes, bytes);
    }

    /// Replaces the pages of up to `most` resting slots, and wakes who waits for one.
    /// Returns: how many.
    std::size_t renew_resting(std::size_t most) noexcept {
        std::size_t renewed = 0;
        for (std::size_t index = 0; guard_.in_creator() && index < class_count_; ++index) {
            for (auto n = slabs_[index].renew_resting(me_, most - renewed); n != 0;
                 --n, ++renewed) {
                wake_one(index);
            }
        }
        return renewed;
    }

    /// Refuses every acquire from now on, and wakes those who wait.
    void close() noexcept {
        if (guard_.in_creator()) {
            // sync(closed): seq_cst; a waiter sees it, or the changed futex word.
            header().closed.store(1, memory_order_seq_cst);
            waiters_.wake_all();
        }
    }

    [[nodiscard]] bool is_closed() const noexcept {
        // sync(closed): seq_cst; see close().
        return !guard_.in_creator() || header().closed.load(memory_order_seq_cst) != 0;
    }

    /// Adds a handle that keeps the memory.
    void add_reference() noexcept {
        // relaxed: whoever adds has one already.
        references_.fetch_add(1, memory_order_relaxed);
    }

    /// Gives a handle up; the last one frees the memory. A forked child leaves everything to its
    /// own end: the pool's pages are not mapped there, and something else may be at their address.
    void drop_reference() noexcept {
        // sync(core): acq_rel; what all holders did comes before the memory goes.
        if (references_.fetch_sub(1, memory_order_acq_rel) == 1 && guard_.in_creator()) {
            delete this;
        }
    }

    /// The smallest class whose slots hold `bytes`; class_count() when none does.
    [[nodiscard]] std::size_t class_for(std::size_t bytes) const noexcept {
        std::size_t index = 0;
        for (const auto& each : open_slabs()) {
            index += each.layout().slot_bytes < bytes ? 1U : 0U;
        }
        return index;
    }

    [[nodiscard]] std::size_t class_count() const noexcept { return class_count_; }
    [[nodiscard]] std::size_t slot_bytes(std::size_t index) const noexcept {
        return slabs_[index].layout().slot_bytes;
    }
    [[nodiscard]] pool_stats stats() const noexcept;
    [[nodiscard]] const creation_report& report() const noexcept { return report_; }

    /// A descriptor of the slots' bytes, for reading only where the system allows to open one, and
    /// where they lie in it.
    [[nodiscard]] int lending_fd() const noexcept {
        return read_only_ ? read_only_.get() : data_.fd();
    }
    [[nodiscard]] std::size_t offset_of(const std::byte* bytes) const noexcept {
        return static_cast<std::size_t>(bytes - data_.data());
    }

    /// The shared word of a slot, for audits and tests.
    [[nodiscard]] slot_status was(const slot_record& record) const noexcept {
        return slabs_[to_number(record.size_class)].word(to_number(record.slot)).was();
    }

private:
    friend class pool_creation;

    pool_core() noexcept = default;
    ~pool_core() = default;

    [[nodiscard]] control_header& header() const noexcept {
        return *reinterpret_cast<control_header*>(control_.data());
    }
    [[nodiscard]] std::span<slab> open_slabs() noexcept {
        return std::span{slabs_}.first(class_count_);
    }
    [[nodiscard]] std::span<const slab> open_slabs() const noexcept {
        return std::span{slabs_}.first(class_count_);
    }

    void wake_one(std::size_t index) noexcept {
        waiters_.wake_one(static_cast<std::uint32_t>(index), slabs_[index].counters().waiters);
    }

    [[nodiscard]] result<slot_record*> wait_until(std::size_t wanted,
                                                  sys::clock::time_point deadline) noexcept;

    /// Classes that may serve a wish for `wanted`: from it up to, not including, the result.
    [[nodiscard]] std::size_t classes_end(std::size_t wanted) const noexcept {
        return spill_ == spill_policy::never ? wanted + 1 : class_count_;
    }

    [[nodiscard]] taken_slot search_classes(std::size_t wanted, search how) noexcept {
        taken_slot none;
        for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
            taken_slot found = slabs_[index].take(me_, how);
            if (found.record != nullptr) {
                add_reference();
                slabs_[index].counters().count_acquired(slabs_[index].layout().slots);
                if (index != wanted) {
                    add(slabs_[index].counters().spilled);
                }
                return found;
            }
            if (found.retry_after.count() != 0) {
                none.retry_after = none.retry_after.count() == 0
                                       ? found.retry_after
                                       : std::min(none.retry_after, found.retry_after);
            }
        }
        return none;
    }

    shared_memory data_;
    shared_memory control_;
    sys::unique_fd read_only_;
    sys::fork_guard guard_;
    std::array<slab, max_classes> slabs_;
    wait_list waiters_;
    lent_budget budget_;
    creation_report report_;
    std::size_t class_count_ = 0;
    spill_policy spill_ = spill_policy::never;
    lending lending_ = lending::never;
    holder_set me_ = 1;  // the creator's bit
    alignas(cache_line) atomic<std::uint64_t> references_{1};
};

inline result<slot_record*> pool_core::take_until(std::size_t wanted,
                                                  sys::clock::time_point deadline) noexcept {
    if (auto taken = take(wanted); taken || taken.error() != errc::exhausted) {
        return taken;
    }
    if (sys::clock::now() >= deadline) {
        return fail(errc::timed_out);
    }
    add(slabs_[wanted].counters().waited);
    add_reference();  // the pool may be destroyed meanwhile, and its last buffer go
    auto taken = wait_until(wanted, deadline);
    // A wake-up is for one waiter. This one may have been woken for a class that it did not take
    // from in the end, or as its time was up: whoever still waits looks in its place.
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        wake_one(index);
    }
    drop_reference();
    return taken;
}

inline result<slot_record*> pool_core::wait_until(std::size_t wanted,
                                                  sys::clock::time_point deadline) noexcept {
    std::uint32_t usable = 0;
    std::array<std::optional<wait_list::registration>, max_classes> registrations;
    for (std::size_t index = wanted; index < classes_end(wanted); ++index) {
        usable |= std::uint32_t{1} << index;
        registrations[index].emplace(slabs_[index].counters().waiters);
    }
    for (;;) {
        const auto ticket = waiters_.ticket();
        if (is_closed()) {
            return fail(errc::closed);
        }
        const taken_slot found = search_classes(wanted, search::thorough);
        if (found.record != nullptr) {
            return found.record;
        }
        const auto now = sys::clock::now();
        if (now >= deadline) {
            return fail(errc::timed_out);
        }
        const auto retry = found.retry_after.count() == 0 ? deadline : now + found.retry_after;
        waiters_.sleep(ticket, usable, std::min(deadline, retry));
    }
}

inline pool_stats pool_core::stats() const noexcept {
    pool_stats to;
    to.class_count = class_count_;
    for (std::size_t index = 0; index < class_count_; ++index) {
        to.classes[index] = slabs_[index].stats();
    }
    to.lent_detached_bytes = budget_.detached_bytes(lent_now());
    to.lent_budget_bytes = budget_.limit();
    return to;
}

}  // namespace zcpool
