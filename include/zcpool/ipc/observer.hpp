// SPDX-License-Identifier: MIT
#pragma once

// A pool of other processes, seen without a part in it: what its classes count, what each slot is
// doing, who has it, and which of them have died.
//
// Everything that is to be seen stands in the control file, so that file alone is mapped, and for
// reading only: an observer cannot change a word of it, and its pool cannot tell that it is there.
// What others change while it reads is input: each word is loaded once, on its own, and whatever it
// says counts as something. No change that changes nothing either (fetch_or(0)): that is a write.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/ipc/peer_watch.hpp>
#include <zcpool/pool/counters.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/lent_budget.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/slab_recovery.hpp>
#include <zcpool/pool/slot_word.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// Whether a process of a pool still lives, as far as can be told from here.
enum class process_life : std::uint8_t {
    unknown,  ///< nobody has the place, or the kernel does not say; never taken for dead
    alive,    ///< it runs, or is stopped
    ended,    ///< what it holds is lost to the others until one of them reaps
};

/// A place in the registry of a pool that is observed.
struct observed_process {
    process_state state = process_state::free;
    process_identity who;
    process_life life = process_life::unknown;

    /// Whether what it holds is nobody's: it has died, and nobody has taken that back.
    [[nodiscard]] bool leaks() const noexcept { return life == process_life::ended; }
};

/// Looks at a pool through its control file alone.
///
/// Not for acquiring, and not for the bytes in the slots. It keeps the control memory of its pool,
/// not the slots, also after all processes of that have gone.
/// Sharing: const functions may be called by any number of threads.
class pool_observer {
public:
    /// Checks a control file that is open for reading only, as pool_search.hpp opens it, and maps
    /// it. Any pool will do: not shared, checked, with arenas.
    ///
    /// Errors: `not_a_pool`, `not_sealed`, `wrong_version`; `wrong_access` where it is open for
    /// writing or is another user's, unless root looks; the errno of a call.
    /// Complexity: some ten system calls. It touches no page.
    [[nodiscard]] static result<pool_observer> open(sys::unique_fd control) noexcept {
        const auto status = descriptor_check::check_file(control.get(), file_user::observer);
        if (!status) {
            return fail(status.error());
        }
        const auto found = descriptor_check::read_control(
            control.get(), static_cast<std::uint64_t>(status->st_size));
        if (!found) {
            return fail(found.error());
        }
        auto pages = sys::mapping::read_only(control.get(), found->layout.control_bytes);
        if (!pages) {
            return fail(pages.error());
        }
        return pool_observer{std::move(control), std::move(*pages), *found};
    }

    /// Where everything lies; the sizes of the classes and of both files.
    [[nodiscard]] const pool_layout& layout() const noexcept { return found_.layout; }
    [[nodiscard]] bool is_checked() const noexcept { return found_.table.checking != 0; }
    [[nodiscard]] bool lends() const noexcept { return found_.table.lends != 0; }
    [[nodiscard]] bool zeroes() const noexcept { return found_.table.zeroes != 0; }

    /// Whether it is, or was, one of several processes. If not, its registry is empty, and its
    /// creator's bit is in every holder set. Most such pools have thread caches, and what lies in
    /// those counts as owned in audit() and in use in stats(): both are upper bounds then. What a
    /// cache counts for itself is not in stats() yet.
    [[nodiscard]] bool is_shared() const noexcept {
        bool found = false;
        for (std::uint32_t place = 0; place < max_processes; ++place) {
            found = found || places_.was(place) != process_status{};
        }
        return found;
    }

    /// Whether it refuses every acquire.
    [[nodiscard]] bool is_closed() const noexcept {
        // relaxed: an observation, which orders nothing.
        return header().closed.load(memory_order_relaxed) != 0;
    }

    /// As pool_view::stats(), but `reserved` and `cached`, which are its processes' own knowledge.
    ///
    /// Complexity: O(1) of a shared pool, otherwise O(slots).
    /// Concurrency: wait-free.
    [[nodiscard]] pool_stats stats() const noexcept {
        pool_stats to;
        to.class_count = layout().class_count;
        const bool counts_all = is_shared();
        for (std::size_t index = 0; index < to.class_count; ++index) {
            const class_layout& here = layout().classes[index];
            class_stats& now = to.classes[index];
            now = at<const class_counters>(here.counters).read();
            now.slot_bytes = here.slot_bytes;
            now.slots = here.slots;
            now.in_use = counts_all ? in_use(now) : slots_of(index).of_process[0].all();
            now.high_water = larger_of(now.high_water, now.in_use);
        }
        const pool_table& table = found_.table;
        const lent_budget budget{at<lent_account>(offsetof(control_header, detached)),
                                 static_cast<std::size_t>(table.lent_budget_bytes),
                                 std::chrono::milliseconds{table.lent_settle_ms}};
        to.lent_detached_bytes = budget.detached_bytes(lent_now());
        to.lent_budget_bytes = budget.limit();
        return to;
    }

    /// As ipc::audit(): all slots by what they do and by process, from their words.
    ///
    /// Complexity: O(slots).
    /// Concurrency: wait-free.
    [[nodiscard]] pool_audit audit() const noexcept {
        pool_audit found;
        found.class_count = layout().class_count;
        for (std::size_t index = 0; index < found.class_count; ++index) {
            found.classes[index] = slots_of(index);
        }
        for (std::uint32_t place = 0; place < max_processes; ++place) {
            found.processes[place] = {places_.was(place).state, places_.identity(place)};
        }
        return found;
    }

    /// Who has places, and who of them has died. The index is that in class_audit::of_process.
    ///
    /// From another pid or time namespace than the pool's, where pids are others', `life` is
    /// unknown, as it is where the kernel does not tell.
    /// Complexity: some five system calls for each process.
    [[nodiscard]] std::array<observed_process, max_processes> processes() const noexcept {
        std::array<observed_process, max_processes> found;
        const bool may_ask = is_in_same_namespaces();
        for (std::uint32_t place = 0; place < max_processes; ++place) {
            const process_status seen = places_.was(place);
            if (seen.state == process_state::free || seen.state > process_state::swept) {
                continue;
            }
            found[place].state = seen.state;
            found[place].who = {seen.pid, places_.identity(place).start_time};
            // What the dead had has been taken back before a place is swept.
            if (may_ask && seen.state != process_state::swept) {
                found[place].life = life_of({place, seen});
            }
        }
        return found;
    }

private:
    pool_observer(sys::unique_fd control, sys::mapping pages, const checked_control& found) noexcept
        : control_(std::move(control)),
          pages_(std::move(pages)),
          found_(found),
          places_({&at<registry_entry>(found.layout.registry), max_processes}) {}

    // Without a const only for views, of which none but const functions are called: the others
    // write.
    template <class T>
    [[nodiscard]] T& at(std::size_t offset) const noexcept {
        return *reinterpret_cast<T*>(pages_.data() + offset);
    }
    [[nodiscard]] const control_header& header() const noexcept {
        return at<const control_header>(0);
    }

    [[nodiscard]] class_audit slots_of(std::size_t index) const noexcept {
        const class_layout& here = layout().classes[index];
        class_audit found;
        for (std::uint32_t slot = 0; slot < here.slots; ++slot) {
            found.count(at<const slot_word>(here.words + slot * here.word_stride).was());
        }
        return found;
    }

    /// Slots that were acquired and have not come back.
    [[nodiscard]] static std::uint64_t in_use(const class_stats& counted) noexcept {
        const auto held = static_cast<std::int64_t>(counted.acquired - counted.released);
        return static_cast<std::uint64_t>(
            clamped<std::int64_t>(held, 0, static_cast<std::int64_t>(counted.slots)));
    }

    [[nodiscard]] process_life life_of(process_seat seat) const noexcept {
        peer_watch watch{places_, seat};
        if (watch.is_gone()) {
            // Otherwise it has only left, meanwhile.
            return places_.was(seat.index) == seat.status ? process_life::ended
                                                          : process_life::unknown;
        }
        return watch.descriptor() < 0 ? process_life::unknown : process_life::alive;
    }

    /// Whether a pid means here what it means to the pool. Its namespaces are written when it is
    /// shared, which may be after it was opened.
    [[nodiscard]] bool is_in_same_namespaces() const noexcept {
        sys::process_namespaces theirs;
        const auto got = sys::call([&] {
            return sys::provider::pread(control_.get(), &theirs, sizeof theirs,
                                        off_t{offsetof(pool_table, namespaces)});
        });
        const auto own = sys::own_namespaces();
        return got && static_cast<std::size_t>(*got) == sizeof theirs && own && *own == theirs;
    }

    sys::unique_fd control_;
    sys::mapping pages_;
    checked_control found_;
    process_registry places_;  // which is const in all functions here
};

}  // namespace zcpool::ipc
