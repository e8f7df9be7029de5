// SPDX-License-Identifier: MIT
#pragma once

// The pool that users name: a list of size classes, and what can be acquired from it.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/core_stats.hpp>
#include <zcpool/pool/create.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/sharing.hpp>
#include <zcpool/pool/size_classes.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/pool/take.hpp>
#include <zcpool/sys/futex.hpp>
#include <zcpool/sys/smaps.hpp>

namespace zcpool {

/// A non-owning handle to any pool, for code that need not know its class list. Valid while the
/// pool lives, also when that is moved meanwhile.
///
/// What acquires takes a source location last, by default the caller's: a checked pool remembers
/// it.
///
/// Sharing: any thread; a pointer's worth, go by value.
class pool_view final {
public:
    using source_location = std::source_location;

    /// Takes the smallest slot that holds `bytes`; of 0 bytes, the smallest there is.
    ///
    /// Returns: an empty buffer when there is none: too large, exhausted or closed.
    /// Complexity: some 25 instructions when this thread released a slot of the class before;
    /// otherwise O(slots / 4096) for a batch. When the class is full, a sweep of its slot words
    /// once after each release, and a system call where other threads cache slots of it, or a few
    /// where one of them is in the middle of that.
    /// Concurrency: lock-free; any thread. No allocation but for a thread's first acquire; no
    /// system call but for pages that must be replaced (lent) or come back (trimmed).
    [[nodiscard]] buffer try_acquire(
        std::size_t bytes, source_location where = source_location::current()) const noexcept {
        return try_acquire_from(core_->class_for(bytes), where);
    }

    /// Like try_acquire(), and says why not. An urgent caller gets a slot of the reserve when
    /// nothing else is left.
    ///
    /// Errors: `too_large`, `exhausted`, `closed`.
    [[nodiscard]] result<buffer> acquire(
        std::size_t bytes, priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        return acquire_from(core_->class_for(bytes), who, where);
    }

    /// Like acquire(), but waits for a slot until the deadline.
    ///
    /// Errors: `too_large`, `timed_out`, `closed` (also when the pool is closed meanwhile).
    /// Concurrency: blocks; woken by a release in any thread or process.
    [[nodiscard]] result<buffer> acquire_until(
        std::size_t bytes, sys::clock::time_point deadline, priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        const std::size_t index = core_->class_for(bytes);
        if (index == core_->class_count()) {
            return fail(errc::too_large);
        }
        return wrap(core_->take_until(index, deadline, who), where);
    }

    /// Like acquire_until() with a deadline from now on; one beyond the clock's range is none.
    template <class Rep, class Period>
    [[nodiscard]] result<buffer> acquire_for(
        std::size_t bytes, std::chrono::duration<Rep, Period> timeout,
        priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        return acquire_until(bytes, sys::deadline_after(timeout), who, where);
    }

    /// Puts buffers of at least `bytes` each into a span, in place of what was there.
    ///
    /// Returns: how many, from the front, before the pool could give no more; the rest of the span
    /// stays as it was.
    [[nodiscard]] std::size_t acquire_many(
        std::size_t bytes, std::span<buffer> into,
        source_location where = source_location::current()) const noexcept {
        std::size_t filled = 0;
        for (buffer& each : into) {
            buffer next = try_acquire(bytes, where);
            if (!next) {
                break;
            }
            each = std::move(next);
            ++filled;
        }
        return filled;
    }

    [[nodiscard]] std::size_t class_count() const noexcept { return core_->class_count(); }
    /// Bytes of the slots of a class, smallest first.
    /// Expects: `index < class_count()`.
    [[nodiscard]] std::size_t slot_bytes(std::size_t index) const noexcept {
        return core_->slot_bytes(index);
    }
    /// Bytes of the largest slots: what a single buffer can hold.
    [[nodiscard]] std::size_t largest() const noexcept { return slot_bytes(class_count() - 1); }

    /// Replaces the pages of up to `most` slots that rest because they were lent, in an idle
    /// moment, so that a later acquire need not; and gives those that were trimmed pages again, so
    /// not between a trim() and the next need. Arenas are replaced as a whole.
    /// Returns: how many; where they lie in arenas, up to an arena more.
    std::size_t renew_resting(std::size_t most) const noexcept {
        return core_->renew_resting(most);
    }

    /// Gives the pages of free slots back to the system, but for `keep` slots of each class, so
    /// that a pool that was sized for the peak does not hold it at night. A slot is given pages
    /// again when it is acquired, which then may fail as `exhausted` for want of memory, or by
    /// renew_resting().
    ///
    /// Returns: bytes given back; 0 where slots lie in arenas, and while an io_uring has them
    /// registered.
    /// Complexity: system calls; a system call for each slot.
    std::size_t trim(std::size_t keep = 0) const noexcept { return core_->trim(keep); }

    /// Makes the pool one of several processes (ipc/), and names its two files, for a partner to
    /// attach to. From then on it works without thread caches. At most 31 processes have a pool at
    /// a time, in one pid namespace. Repeatable; one thread at a time, and nobody at report().
    ///
    /// Errors: `closed`; `unsupported` for a checked pool, one with arenas, and before Linux 5.14;
    /// `renewal_ineffective` where replacing pages does not detach them, as recovering the dead
    /// must; `pages_registered` while an io_uring has them; the errno of that trial, or of reading
    /// /proc/self/stat.
    [[nodiscard]] result<pool_descriptors> share() const noexcept {
        return pool_sharing::share(*core_);
    }

    /// Refuses every acquire from now on, in all processes that share the pool, and wakes those who
    /// wait. Buffers and slices live on.
    void close() const noexcept { core_->close(); }

    [[nodiscard]] bool is_closed() const noexcept { return core_->is_closed(); }
    /// Complexity: O(threads); of a shared pool O(slots), as what is in use say the slots' words.
    [[nodiscard]] pool_stats stats() const noexcept { return core_->stats(); }
    /// What the pool was granted when it was created.
    [[nodiscard]] const creation_report& report() const noexcept { return core_->report(); }

    /// Bytes of the slots' memory that lie in huge pages now, which report().arenas says of its
    /// beginning. An arena that was renewed while huge pages were short lies in small ones: as
    /// safe, but dearer to renew again.
    ///
    /// Errors: the errno of reading /proc/self/smaps.
    /// Complexity: system calls, and a look at all mappings of the process.
    [[nodiscard]] result<std::size_t> huge_bytes() const noexcept {
        return sys::huge_bytes_of(core_->memory().data(), core_->memory().size());
    }

private:
    template <class Classes, pool_policy Policy>
    friend class pool;
    friend class slot_watch;
    friend class pool_sharing;

    explicit pool_view(pool_core* core) noexcept : core_(core) {}

    [[nodiscard]] buffer try_acquire_from(std::size_t index, source_location where) const noexcept {
        if (slot_record* const cached = core_->take_cached(index)) [[likely]] {
            return buffer{{cached}};
        }
        return buffer{core_->take_or_null(index, where)};
    }

    [[nodiscard]] result<buffer> acquire_from(std::size_t index, priority who,
                                              source_location where) const noexcept {
        if (slot_record* const cached = core_->take_cached(index)) [[likely]] {
            return buffer{{cached}};
        }
        return acquire_elsewhere(index, who, where);
    }

    [[nodiscard]] result<buffer> acquire_elsewhere(std::size_t index, priority who,
                                                   source_location where) const noexcept {
        if (index == core_->class_count()) {
            return fail(errc::too_large);
        }
        return wrap(core_->take_elsewhere(index, who), where);
    }

    /// A buffer of what was taken. Every slot passes here, but those out of thread caches, which
    /// checked pools do not have.
    [[nodiscard]] result<buffer> wrap(result<slot_record*> taken,
                                      source_location where) const noexcept {
        if (!taken) {
            return fail(taken.error());
        }
        return buffer{{*taken, core_->begin_life(**taken, where)}};
    }

    pool_core* core_;
};

inline pool_core& pool_sharing::core_of(pool_view view) noexcept { return *view.core_; }
inline pool_view pool_sharing::view_of(pool_core& core) noexcept { return pool_view{&core}; }

/// A pool of locked, page-aligned, shareable buffers of fixed sizes.
///
/// `Classes` is a size_classes<...>; `Policy` a pool_policy. The memory is fixed at creation and
/// never grows.
/// Sharing: any thread may acquire, any thread may release. Destroying the pool closes it for this
/// process, and waits for threads that are in the middle of a release; the memory goes with the
/// last buffer or slice. Not for: objects with constructors, or sizes below a page.
template <class Classes, pool_policy Policy = pool_policy{}>
class pool {
public:
    using source_location = std::source_location;

    static_assert(Classes::count >= 1, "pool: the first argument is a size_classes<...>");

    /// Creates the memory, every page of it present.
    ///
    /// Errors: `invalid_options`; `unsupported` for a kernel with other pages than 4 KiB, or
    /// without MADV_POPULATE_WRITE where the pool is to lend; `renewal_ineffective` when lending
    /// would corrupt here; `out_of_memory`; or the errno of what the system refused. `report`, if
    /// given, is filled in any case: it names the value, the limit and the remedy.
    /// Complexity: system calls and page faults for every page; not for the hot path.
    [[nodiscard]] static result<pool> create(const pool_options& options,
                                             creation_report* report = nullptr) noexcept {
        std::array<class_spec, Classes::count> specs;
        for (std::size_t i = 0; i < specs.size(); ++i) {
            specs[i] = {Classes::bytes[i], options.slots[i]};
        }
        creation_report unwanted;
        auto core =
            pool_core::create(specs, options, Policy, report == nullptr ? unwanted : *report);
        if (!core) {
            return fail(core.error());
        }
        return pool{*core};
    }

    /// Leaves `other` without a pool: it may only be destroyed or assigned to.
    pool(pool&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    pool& operator=(pool&& other) noexcept {
        if (this != &other) {
            destroy();
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    ~pool() { destroy(); }

    /// The pool for code that does not know its class list.
    // NOLINTNEXTLINE(google-explicit-constructor): code takes a pool_view by value and is given a
    // pool
    [[nodiscard]] operator pool_view() const& noexcept { return view(); }
    operator pool_view() const&& = delete;

    /// As pool_view::acquire(), with the class found by the compile-time list.
    [[nodiscard]] result<buffer> acquire(
        std::size_t bytes, priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        return view().acquire_from(Classes::index_for(bytes), who, where);
    }
    /// As pool_view::try_acquire(), with the class found by the compile-time list.
    [[nodiscard]] buffer try_acquire(
        std::size_t bytes, source_location where = source_location::current()) const noexcept {
        return view().try_acquire_from(Classes::index_for(bytes), where);
    }
    /// As pool_view::acquire_until().
    [[nodiscard]] result<buffer> acquire_until(
        std::size_t bytes, sys::clock::time_point deadline, priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        return view().acquire_until(bytes, deadline, who, where);
    }
    /// As pool_view::acquire_for().
    template <class Rep, class Period>
    [[nodiscard]] result<buffer> acquire_for(
        std::size_t bytes, std::chrono::duration<Rep, Period> timeout,
        priority who = priority::normal,
        source_location where = source_location::current()) const noexcept {
        return view().acquire_for(bytes, timeout, who, where);
    }
    /// As pool_view::acquire_many().
    [[nodiscard]] std::size_t acquire_many(
        std::size_t bytes, std::span<buffer> into,
        source_location where = source_location::current()) const noexcept {
        return view().acquire_many(bytes, into, where);
    }
    /// As pool_view::renew_resting().
    std::size_t renew_resting(std::size_t most) const noexcept {
        return view().renew_resting(most);
    }
    /// As pool_view::trim().
    std::size_t trim(std::size_t keep = 0) const noexcept { return view().trim(keep); }
    /// As pool_view::share().
    [[nodiscard]] result<pool_descriptors> share() const noexcept { return view().share(); }
    /// As pool_view::close().
    void close() const noexcept { view().close(); }
    [[nodiscard]] bool is_closed() const noexcept { return view().is_closed(); }
    [[nodiscard]] pool_stats stats() const noexcept { return view().stats(); }
    /// As pool_view::huge_bytes().
    [[nodiscard]] result<std::size_t> huge_bytes() const noexcept { return view().huge_bytes(); }
    /// As pool_view::report().
    [[nodiscard]] const creation_report& report() const noexcept { return view().report(); }

private:
    explicit pool(pool_core* core) noexcept : core_(core) {}

    [[nodiscard]] pool_view view() const noexcept {
        ZCPOOL_ASSERT(core_ != nullptr, "used a pool that was moved from");
        return pool_view{core_};
    }

    void destroy() noexcept {
        if (core_ != nullptr) {
            std::exchange(core_, nullptr)->end();
        }
    }

    pool_core* core_;
};

}  // namespace zcpool
