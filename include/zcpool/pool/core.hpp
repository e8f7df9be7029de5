// SPDX-License-Identifier: MIT
#pragma once

// What a pool is, without its compile-time class list: the two memories, the slabs, and how long
// they live.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/call_site.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/page_registrations.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/reserve.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/pool/size_classes.hpp>
#include <zcpool/pool/slab.hpp>
#include <zcpool/pool/slab_arenas.hpp>
#include <zcpool/pool/slot_checks.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/pool/thread_cache.hpp>
#include <zcpool/pool/thread_caches.hpp>
#include <zcpool/pool/waiting.hpp>
#include <zcpool/pool/watch_list.hpp>
#include <zcpool/sys/fork_guard.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool {

/// A slot and what its handle is to carry; both nothing where there is none. Fits two registers.
struct begun_slot {
    slot_record* record = nullptr;
    slot_life life = 0;
};

/// The state behind a pool's handles. On the heap, and shared: it goes when the pool object and
/// every buffer and slice have gone, whichever is last.
///
/// Sharing: all functions may be called by any thread. A forked child cannot see the slots at all,
/// and its copies of handles do nothing when they go.
class pool_core {
public:
    /// Creates the memories and puts every slot into its free store (pool/create.hpp).
    /// Errors: `invalid_options`, `unsupported`, `renewal_ineffective`, `out_of_memory`, or the
    /// errno of what the system refused. The report says which value, which limit, which remedy.
    [[nodiscard]] static result<pool_core*> create(array_view<const class_spec> classes,
                                                   const pool_options& options, pool_policy policy,
                                                   creation_report& report) noexcept;

    pool_core(const pool_core&) = delete;
    pool_core& operator=(const pool_core&) = delete;

    /// Takes a slot of a class, or of a larger one where the policy lets it spill.
    /// Expects: `wanted < class_count()`.
    /// Returns: why not, or a slot that this process owns and that keeps the core until it is given
    /// back.
    [[nodiscard]] result<slot_record*> take(std::size_t wanted,
                                            priority who = priority::normal) noexcept {
        slot_record* const cached = take_cached(wanted);
        return cached != nullptr ? result<slot_record*>{cached} : take_elsewhere(wanted, who);
    }

    /// Likewise for a caller that found nothing in its cache and does not ask why; of class
    /// class_count() there are none. Never inlined, so that the hot path around it is.
    [[nodiscard]] begun_slot take_or_null(std::size_t wanted, std::source_location where) noexcept;

    /// Takes a slot out of this thread's cache; null when there is none. The hot path.
    /// Expects: `wanted <= class_count()`; the last has none.
    [[nodiscard, gnu::always_inline]] slot_record* take_cached(std::size_t wanted) noexcept {
        thread_cache* const cache = current_cache;
        return cache == nullptr ? nullptr : cache->acquire(this, wanted);
    }

    /// Takes a slot where take_cached() had none.
    [[nodiscard]] result<slot_record*> take_elsewhere(std::size_t wanted, priority who) noexcept;

    /// What a handle of a slot is to carry: in a checked pool, a life that begins here. Where
    /// take_cached() had the slot it is none.
    [[nodiscard]] slot_life begin_life(slot_record& record, std::source_location where) noexcept {
        return checks_ == nullptr ? 0 : begin_checked(record, where);
    }

    /// What the slot's handle carries, for who has its address only. A slot that was released since
    /// is found out when that is used.
    [[nodiscard]] slot_life last_life(const slot_record& record) const noexcept {
        return checks_ == nullptr ? 0 : checks_->last_life(record);
    }

    /// Whether a handle that carries a life is good. If not, that is reported as `otherwise`, and
    /// the caller must do nothing with the slot.
    [[nodiscard]] bool allows(const slot_record& record, slot_life life, misuse otherwise) noexcept;

    /// Like take(), but sleeps until a slot comes back or the deadline passes.
    [[nodiscard]] result<slot_record*> take_until(std::size_t wanted,
                                                  sys::clock::time_point deadline,
                                                  priority who) noexcept;

    /// What take_until() does around its sleep, and slot_watch.hpp without one. Between the two
    /// every release of a class that may serve `wanted` goes to the store and wakes; end_wait()
    /// wakes somebody else, as what woke its caller may be left over.
    /// Expects: in_creator().
    void begin_wait(std::size_t wanted) noexcept;
    /// Ends what begin_wait() began.
    void end_wait(std::size_t wanted) noexcept;

    /// A registered waiter's look for a slot.
    [[nodiscard]] taken_slot look(std::size_t wanted, priority who) noexcept;

    /// What a waiter for class `wanted` can use; see wait_list::usable().
    [[nodiscard]] std::uint32_t usable(std::size_t wanted, priority who) const noexcept;
    /// Those of this process who wait without sleeping.
    [[nodiscard]] watch_list& watches() noexcept { return watches_; }

    /// Wakes somebody for each class, as if slots had come back.
    void retry_waiting() noexcept {
        for (std::size_t index = 0; guard_.in_creator() && index < class_count_; ++index) {
            wake_one(index);
        }
    }

    /// Keeps the core until as many unpin().
    void pin() noexcept { add_reference(); }
    /// Ends what pin() began.
    void unpin() noexcept { drop_references(1); }

    /// Gives a slot up to this thread's cache; false: then give_back_elsewhere(). The hot path, and
    /// the last use of the record.
    [[nodiscard, gnu::always_inline]] static bool give_back_cached(slot_record& record) noexcept {
        if constexpr (can_poison) {
            record.core->poison_released(record);
        }
        thread_cache* const cache = current_cache;
        return cache != nullptr && cache->release(record);
    }

    /// Gives a slot up that is not for this thread's cache as it is. A checked pool has no caches:
    /// here it ends the life that the handle carries, and does nothing where that is not good.
    /// Never inlined, so that the hot path around it is.
    static void give_back_elsewhere(slot_record& record, slot_life life,
                                    std::source_location where) noexcept;

    /// Gives a slot up, whose handle carries no life.
    static void give_back(slot_record& record) noexcept {
        if (!give_back_cached(record)) {
            give_back_elsewhere(record, 0, {});
        }
    }

    /// Marks a slot as held by the kernel.
    /// Returns: false when it may not be lent: then copy.
    [[nodiscard]] bool lend(slot_record& record) noexcept {
        return lending_ != lending::never && guard_.in_creator() &&
               slabs_[to_number(record.size_class)].lend(record, me_);
    }

    /// Whether its slots may be lent, and how their pages are renewed.
    [[nodiscard]] lending lends() const noexcept { return lending_; }
    /// Whether other processes may have a part in it.
    [[nodiscard]] bool is_shared() const noexcept { return leave_ != nullptr; }

    /// Counts bytes of a slot that a sink without a receipt had to copy.
    void count_copied(const slot_record& record, std::size_t bytes) noexcept {
        add(slabs_[to_number(record.size_class)].counters().copied_bytes, bytes);
    }

    /// Replaces the pages of up to `most` resting slots, and wakes who waits for one.
    /// Returns: how many.
    std::size_t renew_resting(std::size_t most) noexcept;

    /// Gives the pages of free slots back to the system; see pool_view::trim().
    std::size_t trim(std::size_t keep) noexcept;

    /// Refuses every acquire from now on, and wakes those who wait.
    void close() noexcept {
        // sync(closed): seq_cst; a waiter sees it, or the changed futex word.
        if (guard_.in_creator() && header().closed.exchange(1, memory_order_seq_cst) == 0) {
            stop();
        }
    }

    /// Closes the pool for this process, and gives up the pool object's own reference
    /// (pool/sharing.hpp).
    void end() noexcept;

    /// Whether this is the process that made the pool, not one that was forked from it.
    [[nodiscard]] bool in_creator() const noexcept { return guard_.in_creator(); }
    [[nodiscard]] bool is_closed() const noexcept {
        // sync(closed): seq_cst; see close() and end().
        return !guard_.in_creator() || ended_.load(memory_order_seq_cst) != 0 ||
               header().closed.load(memory_order_seq_cst) != 0;
    }

    /// The smallest class whose slots hold `bytes`; class_count() when none does.
    [[nodiscard]] std::size_t class_for(std::size_t bytes) const noexcept { return lookup_(bytes); }

    [[nodiscard]] std::size_t class_count() const noexcept { return class_count_; }
    /// Bytes of the slots of a class.
    [[nodiscard]] std::size_t slot_bytes(std::size_t index) const noexcept {
        return slabs_[index].layout().slot_bytes;
    }
    /// Defined in core_stats.hpp.
    [[nodiscard]] pool_stats stats() const noexcept;
    [[nodiscard]] const creation_report& report() const noexcept { return report_; }

    /// The slots' bytes; a descriptor of them, for reading only where the system allows to open
    /// one; and where they lie in it.
    [[nodiscard]] const shared_memory& memory() const noexcept { return data_; }
    [[nodiscard]] int lending_fd() const noexcept {
        return read_only_ ? read_only_.get() : data_.fd();
    }
    /// Where in the pool's file an address of its slots lies.
    [[nodiscard]] std::size_t offset_of(const std::byte* bytes) const noexcept {
        return static_cast<std::size_t>(bytes - data_.data());
    }

    /// The shared word of a slot, for audits and tests.
    [[nodiscard]] slot_status was(const slot_record& record) const noexcept {
        return slabs_[to_number(record.size_class)].word(to_number(record.slot)).was();
    }

private:
    friend class pool_creation;
    friend class pool_sharing;
    friend class registered_pages;
    friend class unique_object<pool_core>;

    pool_core() noexcept = default;
    ~pool_core() = default;

    [[nodiscard]] control_header& header() const noexcept {
        return *reinterpret_cast<control_header*>(control_.data());
    }
    [[nodiscard]] array_view<slab> open_slabs() noexcept {
        return array_view{slabs_}.first(class_count_);
    }

    /// From here on everything takes the long way.
    void stop() noexcept {
        caches_.suspend();
        caches_.drain();
        waiters_.wake_all();
    }

    // The pool object's share of the references: more than there can be handles, so that the count
    // does not come to nothing before end(), whatever caches handed out without counting.
    static constexpr std::int64_t pool_object = std::int64_t{1} << 40;

    /// Counts a handle that keeps the core and is in nobody's cache.
    void add_reference() noexcept {
        // relaxed: whoever adds has one already.
        references_.fetch_add(1, memory_order_relaxed);
    }

    /// Gives up `count` of what is counted; the last one frees the memory. A forked child leaves
    /// everything to its own end: the pool's pages are not mapped there, and something else may be
    /// at their address.
    void drop_references(std::int64_t count) noexcept {
        // sync(core): acq_rel; what all holders did comes before the memory goes.
        if (references_.fetch_sub(count, memory_order_acq_rel) == count && guard_.in_creator()) {
            if (leave_ != nullptr) {
                leave_(*this);
            }
            delete this;
        }
    }

    void wake_one(std::size_t index) noexcept {
        waiters_.wake_one(static_cast<std::uint32_t>(index), slabs_[index].counters().waiters);
    }

    [[nodiscard]] result<slot_record*> wait_until(std::size_t wanted,
                                                  sys::clock::time_point deadline,
                                                  priority who) noexcept;

    /// Classes that may serve a wish for `wanted`: from it up to, not including, the result.
    [[nodiscard]] std::size_t classes_end(std::size_t wanted) const noexcept {
        return spill_ == spill_policy::never ? wanted + 1 : class_count_;
    }

    [[nodiscard]] taken_slot search_classes(std::size_t wanted, search how, priority who) noexcept;
    [[nodiscard]] taken_slot search_class(std::size_t index, search how, priority who) noexcept;
    [[nodiscard]] taken_slot take_from(std::size_t index, search how) noexcept;
    bool keep_for_reserve(slot_record& record) noexcept;
    void give_back_slowly(slot_record& record, slot_life life, const call_site& site) noexcept;
    [[nodiscard]] slot_life begin_checked(slot_record& record, std::source_location where) noexcept;

    /// Has AddressSanitizer report every touch of a released slot. A checked pool does it itself.
    void poison_released(const slot_record& record) const noexcept {
        if (checks_ == nullptr && guard_.in_creator()) {
            poison(record.data, record.bytes);
        }
    }

    /// Slots of a class that somebody holds; concurrent acquires and releases may be seen in part.
    [[nodiscard]] std::uint64_t in_use(std::size_t index) const noexcept {
        const class_stats counted = slabs_[index].stats();
        const auto held = static_cast<std::int64_t>(counted.acquired - counted.released) +
                          caches_.handed_out(index);
        return static_cast<std::uint64_t>(
            clamped<std::int64_t>(held, 0, static_cast<std::int64_t>(counted.slots)));
    }
    void note_in_use(std::size_t index) noexcept {
        slabs_[index].counters().note_in_use(in_use(index));
    }

    shared_memory data_;
    shared_memory control_;
    sys::unique_fd read_only_;
    sys::fork_guard guard_;
    std::array<slab, max_classes> slabs_;
    unique_object<slab_arenas[]> arenas_;  ///< of each class; null: slots are not in arenas
    std::array<slot_reserve, max_classes> reserves_;
    unique_object<slot_checks> checks_;  ///< null: the pool is not checked
    thread_caches caches_;
    watch_list watches_;
    wait_list waiters_;
    lent_budget budget_;
    creation_report report_;
    std::size_t class_count_ = 0;
    class_lookup lookup_;
    spill_policy spill_ = spill_policy::never;
    lending lending_ = lending::never;
    page_registrations registrations_;
    std::error_code renewal_refusal_;  // why no pages can be replaced; empty: they can
    holder_set me_ = 1;                // the creator's bit
    atomic<std::uint32_t> ended_;
    process_registry registry_;
    process_seat seat_;                             // the creator's until another one is taken
    waiter_shares* waiting_ = nullptr;              // of each place
    void (*leave_)(pool_core&) noexcept = nullptr;  // of a pool that is shared, pool/sharing.hpp
    alignas(cache_line) atomic<std::int64_t> references_{pool_object};
};

}  // namespace zcpool
