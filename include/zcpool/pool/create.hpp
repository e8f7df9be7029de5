// SPDX-License-Identifier: MIT
#pragma once

// How a pool comes to be: every check, every system call and every refusal in words, once, off the
// hot path.

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/arena_memory.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/option_checks.hpp>
#include <zcpool/pool/slot_checks.hpp>
#include <zcpool/sys/fork_guard.hpp>
#include <zcpool/sys/page_lock.hpp>

namespace zcpool {

/// The steps of pool_core::create(). Each explains its own refusal in the report.
class pool_creation {
public:
    /// What is asked for, and where it is said what became of it.
    pool_creation(array_view<const class_spec> classes, const pool_options& options,
                  creation_report& report) noexcept
        : classes_(classes), options_(options), report_(report) {}

    /// Takes all steps; undoes them when one fails.
    [[nodiscard]] result<pool_core*> run(pool_policy policy) noexcept {
        report_ = creation_report{};
        policy_ = policy;
        auto chosen = choose_lending(classes_, options_, policy.checking, report_);
        if (!chosen) {
            return fail(chosen.error());
        }
        layout_ = chosen->layout;
        lending_ = chosen->lends;
        arenas_ = std::move(chosen->arenas);
        core_ = new (std::nothrow) pool_core;
        if (core_ == nullptr) {
            return fail(errc::out_of_memory);
        }
        core_->spill_ = policy.spill;
        core_->class_count_ = layout_.class_count;
        std::array<std::size_t, max_classes> sizes{};
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            sizes[i] = layout_.classes[i].slot_bytes;
        }
        core_->lookup_ = class_lookup{array_view{sizes}.first(layout_.class_count)};
        for (const auto step :
             {&pool_creation::make_memory, &pool_creation::open_slabs,
              &pool_creation::prove_renewal, &pool_creation::open_checks,
              &pool_creation::open_caches, &pool_creation::lock, &pool_creation::close_off}) {
            if (auto done = (this->*step)(); !done) {
                delete core_;
                return fail(done.error());
            }
        }
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            if (core_->arenas_ == nullptr) {
                core_->slabs_[i].fill_store();
            } else {
                core_->arenas_[i].fill_store();
            }
        }
        if (auto done = fill_reserves(); !done) {
            delete core_;
            return fail(done.error());
        }
        core_->report_ = report_;
        return core_;
    }

private:
    [[nodiscard]] result<void> make_memory() noexcept {
        const auto use = lending_ == lending::never ? page_use::fixed : page_use::renewable;
        auto data =
            arenas_ ? result<shared_memory>{std::move(*arenas_)}
                    : shared_memory::create("zcpool-data", layout_.data_bytes, use, guard_bytes());
        if (!data && data.error() == errc::unsupported) {
            report_.explain(
                "lending needs MADV_POPULATE_WRITE (Linux 5.14), which this kernel does not have; "
                "create the pool with lending::never");
            return fail(errc::unsupported);
        }
        if (!data) {
            return refused("the data memory", layout_.data_bytes, data.error());
        }
        auto control = shared_memory::create(control_file_name, layout_.control_bytes,
                                             page_use::control, guard_bytes());
        if (!control) {
            return refused("the control memory", layout_.control_bytes, control.error());
        }
        auto guard = sys::fork_guard::create();
        if (!guard) {
            return refused("the fork guard", page_size, guard.error());
        }
        if (options_.core_dump == core_dump::excluded) {
            if (auto done = data->exclude_from_core_dumps(); !done) {
                return refused("keeping the data memory out of core dumps", layout_.data_bytes,
                               done.error());
            }
        }
        report_.core_dump = options_.core_dump;
        core_->data_ = std::move(*data);
        core_->control_ = std::move(*control);
        core_->guard_ = std::move(*guard);
        return {};
    }

    [[nodiscard]] result<void> open_slabs() noexcept {
        control_header& header = *new (core_->control_.data()) control_header{};
        const std::size_t limit = lent_limit(layout_, options_);
        pool_table table{};
        table.magic = pool_table::expected_magic;
        table.version = pool_table::expected_version;
        table.class_count = static_cast<std::uint32_t>(classes_.size());
        table.checking = static_cast<std::uint32_t>(policy_.checking);
        table.data_bytes = layout_.data_bytes;
        table.control_bytes = layout_.control_bytes;
        std::memcpy(table.classes.data(), classes_.data(), classes_.size_bytes());
        table.undumped = options_.core_dump == core_dump::excluded ? 1 : 0;
        table.lends = lending_ == lending::never ? 0 : 1;
        table.spills = policy_.spill == spill_policy::next_class ? 1 : 0;
        const bool is_checked = policy_.checking != checking::none;  // which zeroes by itself
        report_.zeroing = is_checked ? zeroing::on_release : options_.zeroing;
        table.zeroes = report_.zeroing == zeroing::never ? 0 : 1;
        table.lent_budget_bytes = limit;
        table.lent_settle_ms = static_cast<std::uint64_t>(options_.lent_settle_time.count());
        header.table = table;
        std::byte* const control = core_->control_.data();
        core_->registry_ = process_registry{
            {reinterpret_cast<registry_entry*>(control + layout_.registry), max_processes}};
        core_->waiting_ = reinterpret_cast<waiter_shares*>(control + layout_.waiting);
        core_->waiters_ = wait_list{header.wake_sequence, &core_->watches_};
        core_->budget_ = lent_budget{header.detached, limit, options_.lent_settle_time};
        const zeroing zeroes = is_checked ? zeroing::never : options_.zeroing;
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            auto done =
                core_->slabs_[i].open(layout_.classes[i], class_index{static_cast<std::uint8_t>(i)},
                                      core_->data_, core_->control_, core_->budget_, core_, zeroes);
            if (!done) {
                report_.explain("no memory for the records of %" PRIu32 " slots",
                                layout_.classes[i].slots);
                return done;
            }
        }
        return lending_ == lending::arena ? open_arenas() : result<void>{};
    }

    [[nodiscard]] result<void> open_arenas() noexcept {
        core_->arenas_.reset(new (std::nothrow) slab_arenas[layout_.class_count]);
        for (std::size_t i = 0; core_->arenas_ != nullptr && i < layout_.class_count; ++i) {
            if (auto done = core_->arenas_[i].open(core_->slabs_[i]); !done) {
                return done;
            }
        }
        return core_->arenas_ != nullptr ? result<void>{} : fail(errc::out_of_memory);
    }

    /// Lending is safe only if replaced pages are really detached; large folios would keep them.
    /// So is sharing: what the dead were sending is replaced. Tried, not believed.
    [[nodiscard]] result<void> prove_renewal() noexcept {
        if (lending_ == lending::never) {
            return find_out_renewal();
        }
        // Of arenas it was proved before they were chosen.
        for (std::size_t i = 0; lending_ == lending::cached && i < layout_.class_count; ++i) {
            const class_layout& each = layout_.classes[i];
            auto detached = core_->data_.verify_renewal(each.data, each.slot_bytes);
            if (!detached) {
                return refused("trying to replace the pages of a slot", each.slot_bytes,
                               detached.error());
            }
            if (!*detached) {
                report_.explain(
                    "replacing the pages of a %zu-byte slot left them shared: this kernel gives "
                    "the pool large pages; set /sys/kernel/mm/transparent_hugepage/shmem_enabled "
                    "to never, or create the pool with lending::never",
                    each.slot_bytes);
                return fail(errc::renewal_ineffective);
            }
        }
        // Not being able to is no reason to fail: whoever maps the pool could write to it anyway.
        if (!core_->data_.has_file()) {
            // Nothing that a sink could be given.
        } else if (auto read_only = core_->data_.file().reopen_read_only()) {
            core_->read_only_ = std::move(*read_only);
        } else {
            report_.explain(
                "no read-only descriptor for sinks (%s): is /proc mounted? they get a writable one",
                std::strerror(read_only.error().value()));
        }
        core_->lending_ = lending_;
        static_cast<void>(core_->registrations_.allow_replacing());
        report_.lending = lending_;
        return {};
    }

    /// The same for a pool that does not lend: where it would not be safe, only share() fails.
    [[nodiscard]] result<void> find_out_renewal() noexcept {
        for (std::size_t i = 0; i < layout_.class_count && !core_->renewal_refusal_; ++i) {
            const class_layout& each = layout_.classes[i];
            auto detached = core_->data_.verify_renewal(each.data, each.slot_bytes);
            if (!detached) {
                core_->renewal_refusal_ = detached.error();
                // The trial may have ended between taking the pages away and bringing others.
                if (auto done = core_->data_.fill(each.data, each.slot_bytes); !done) {
                    return refused("the memory of a slot", each.slot_bytes, done.error());
                }
            } else if (!*detached) {
                core_->renewal_refusal_ = make_error_code(errc::renewal_ineffective);
            }
        }
        return {};
    }

    [[nodiscard]] result<void> lock() noexcept {
        auto done = sys::lock_pages(core_->data_.pages(), options_.locking, report_.locking);
        if (report_.locking.refusal) {
            report_.explain(
                "locking %zu bytes in memory was refused (%s): RLIMIT_MEMLOCK is %" PRIu64
                " bytes; raise it with `ulimit -l %zu` or LimitMEMLOCK=, or grant CAP_IPC_LOCK",
                report_.locking.bytes, std::strerror(report_.locking.refusal.value()),
                report_.locking.soft_limit, report_.locking.bytes / 1024);
        }
        return done;
    }

    [[nodiscard]] result<void> open_checks() noexcept {
        report_.checking = policy_.checking;
        if (policy_.checking == checking::none) {
            return {};
        }
        core_->checks_.reset(new (std::nothrow) slot_checks);
        if (!core_->checks_) {
            return fail(errc::out_of_memory);
        }
        return core_->checks_->open(layout_, policy_.checking, options_.on_misuse);
    }

    /// Bytes on either side of each memory that may not be touched.
    [[nodiscard]] std::size_t guard_bytes() const noexcept {
        return policy_.checking == checking::none ? 0 : page_size;
    }

    /// Lets nobody touch what is not acquired. After everything that does.
    [[nodiscard]] result<void> close_off() noexcept {
        if (core_->checks_ == nullptr) {
            poison(core_->data_.data(), core_->data_.size());
            return {};
        }
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            const class_layout& each = layout_.classes[i];
            auto done = i == 0 ? result<void>{} : forbid(each.data - each.margin, each.margin);
            for (std::uint32_t slot = 0; done && slot < each.slots; ++slot) {
                core_->checks_->close_off(core_->slabs_[i].record(slot));
                if (policy_.checking == checking::guarded) {
                    done = forbid(each.offset_of(slot) + each.slot_bytes, each.margin);
                }
            }
            if (!done) {
                return done;
            }
        }
        return {};
    }

    [[nodiscard]] result<void> forbid(std::size_t offset, std::size_t bytes) noexcept {
        auto done = core_->data_.pages().forbid(offset, bytes);
        if (!done) {
            report_.explain(
                "a guard page was refused (%s): checking::guarded takes two mappings a slot; raise "
                "vm.max_map_count, or use checking::full",
                std::strerror(done.error().value()));
        }
        return done;
    }

    [[nodiscard]] result<void> fill_reserves() noexcept {
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            const std::uint32_t wanted = options_.reserve[i];
            if (wanted == 0) {
                continue;
            }
            if (auto done = core_->reserves_[i].open(layout_.classes[i].slots); !done) {
                return done;
            }
            for (std::uint32_t n = 0; n < wanted; ++n) {
                slot_record* const kept = core_->slabs_[i].take(core_->me_, search::quick).record;
                core_->reserves_[i].add(to_number(kept->slot));
            }
        }
        return {};
    }

    /// Without membarrier there is no taking back what threads cache: then there are no caches.
    [[nodiscard]] result<void> open_caches() noexcept {
        if (policy_.cache == cache_policy::none || report_.zeroing != zeroing::never ||
            lending_ == lending::arena) {
            return {};
        }
        auto done = core_->caches_.open(core_, core_->open_slabs(), core_->waiters_, core_->me_);
        if (!done && done.error() != errc::out_of_memory) {
            report_.explain(
                "no thread caches: membarrier was refused (%s); it needs Linux 4.14 and a filter "
                "that lets it pass",
                std::strerror(done.error().value()));
            return {};
        }
        report_.cache = done ? cache_policy::thread : cache_policy::none;
        return done;
    }

    [[nodiscard]] std::unexpected<std::error_code> refused(const char* what, std::size_t bytes,
                                                           std::error_code why) noexcept {
        report_.explain(
            "%s (%zu bytes) was refused: %s; check free memory, the container's memory limit "
            "and the limit of open files",
            what, bytes, why.message().c_str());
        return fail(why);
    }

    array_view<const class_spec> classes_;
    const pool_options& options_;
    creation_report& report_;
    pool_policy policy_;
    pool_layout layout_;
    lending lending_ = lending::never;
    std::optional<shared_memory> arenas_;  // the data memory, where it has arenas
    pool_core* core_ = nullptr;
};

inline result<pool_core*> pool_core::create(array_view<const class_spec> classes,
                                            const pool_options& options, pool_policy policy,
                                            creation_report& report) noexcept {
    return pool_creation{classes, options, report}.run(policy);
}

}  // namespace zcpool
