// SPDX-License-Identifier: MIT
#pragma once

// How a pool comes to be: every check, every system call and every refusal in words, once, off the
// hot path.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/page_lock.hpp>

namespace zcpool {

/// The steps of pool_core::create(). Each explains its own refusal in the report.
class pool_creation {
public:
    pool_creation(std::span<const class_spec> classes, const pool_options& options,
                  creation_report& report) noexcept
        : classes_(classes), options_(options), report_(report) {}

    [[nodiscard]] result<pool_core*> run(pool_policy policy) noexcept {
        report_ = creation_report{};
        if (auto done = check_options(); !done) {
            return fail(done.error());
        }
        core_ = new (std::nothrow) pool_core;
        if (core_ == nullptr) {
            return fail(errc::out_of_memory);
        }
        core_->spill_ = policy.spill;
        policy_ = policy;
        core_->class_count_ = layout_.class_count;
        std::array<std::size_t, max_classes> sizes{};
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            sizes[i] = layout_.classes[i].slot_bytes;
        }
        core_->lookup_ = class_lookup{std::span{sizes}.first(layout_.class_count)};
        for (const auto step :
             {&pool_creation::make_memory, &pool_creation::open_slabs,
              &pool_creation::prove_lending, &pool_creation::open_caches, &pool_creation::lock}) {
            if (auto done = (this->*step)(); !done) {
                delete core_;
                return fail(done.error());
            }
        }
        for (auto& each : core_->open_slabs()) {
            each.fill_store();
        }
        if (auto done = fill_reserves(); !done) {
            delete core_;
            return fail(done.error());
        }
        core_->report_ = report_;
        return core_;
    }

private:
    [[nodiscard]] result<void> check_options() noexcept {
        if (const long page = sys::provider::system_page_size();
            page != static_cast<long>(page_size)) {
            report_.explain("pages of this kernel are %ld bytes; this build needs 4096", page);
            return fail(errc::unsupported);
        }
        for (std::size_t i = classes_.size(); i < options_.slots.size(); ++i) {
            if (options_.slots[i] != 0) {
                report_.explain("slots names %" PRIu32
                                " slots for class %zu, but the list has %zu classes",
                                options_.slots[i], i, classes_.size());
                return fail(errc::invalid_options);
            }
        }
        for (const class_spec& spec : classes_) {
            if (spec.slots == 0 || spec.slots > max_slots) {
                report_.explain("%" PRIu64 " slots of %" PRIu64 " bytes: a class has 1 to %" PRIu32
                                " slots; leave a class that needs none out of the list",
                                spec.slots, spec.slot_bytes, max_slots);
                return fail(errc::invalid_options);
            }
        }
        for (std::size_t i = 0; i < options_.reserve.size(); ++i) {
            const std::uint64_t slots = i < classes_.size() ? classes_[i].slots : 0;
            if (options_.reserve[i] != 0 && options_.reserve[i] >= slots) {
                report_.explain("reserve keeps %" PRIu32
                                " slots of class %zu for urgent callers, "
                                "which has %" PRIu64 "; it must leave one for the others",
                                options_.reserve[i], i, slots);
                return fail(errc::invalid_options);
            }
        }
        if (options_.lent_budget_permille > 1000) {
            report_.explain("lent_budget_permille is %" PRIu32
                            ": at most 1000, the size of the pool",
                            options_.lent_budget_permille);
            return fail(errc::invalid_options);
        }
        if (const auto settle = options_.lent_settle_time.count();
            settle < 0 || settle > 3'600'000) {
            report_.explain("lent_settle_time is %lld ms: 0 to 3600000 (an hour)",
                            static_cast<long long>(settle));
            return fail(errc::invalid_options);
        }
        auto layout = compute_layout(classes_);
        if (!layout) {
            report_.explain(
                "the class table does not add up to a pool: sizes must increase, be multiples of "
                "4096 "
                "and at most 2^30 bytes");
            return fail(layout.error());
        }
        layout_ = *layout;
        report_.data_bytes = layout_.data_bytes;
        report_.control_bytes = layout_.control_bytes;
        return check_memory();
    }

    /// Populating more than there is would call the kernel's out-of-memory killer, which is no
    /// error value.
    [[nodiscard]] result<void> check_memory() noexcept {
        struct sysinfo system{};
        if (sys::call([&] { return sys::provider::sysinfo(&system); })) {
            const std::uint64_t total =
                (std::uint64_t{system.totalram} + system.totalswap) * system.mem_unit;
            if (layout_.data_bytes >= total) {
                report_.explain("the pool needs %zu bytes, this machine has %" PRIu64
                                " of memory and swap; ask for fewer slots",
                                layout_.data_bytes, total);
                return fail(std::error_code{ENOMEM, std::system_category()});
            }
        }
        return {};
    }

    [[nodiscard]] result<void> make_memory() noexcept {
        const auto use = options_.lending == lending::never ? page_use::fixed : page_use::renewable;
        auto data = shared_memory::create("zcpool-data", layout_.data_bytes, use);
        if (!data && data.error() == errc::unsupported) {
            report_.explain(
                "lending needs MADV_POPULATE_WRITE (Linux 5.14), which this kernel does not have; "
                "create the "
                "pool with lending::never");
            return fail(errc::unsupported);
        }
        if (!data) {
            return refused("the data memory", layout_.data_bytes, data.error());
        }
        auto control =
            shared_memory::create("zcpool-control", layout_.control_bytes, page_use::control);
        if (!control) {
            return refused("the control memory", layout_.control_bytes, control.error());
        }
        auto guard = sys::fork_guard::create();
        if (!guard) {
            return refused("the fork guard", page_size, guard.error());
        }
        core_->data_ = std::move(*data);
        core_->control_ = std::move(*control);
        core_->guard_ = std::move(*guard);
        return {};
    }

    [[nodiscard]] result<void> open_slabs() noexcept {
        control_header& header = *new (core_->control_.data()) control_header{};
        header.magic = control_header::expected_magic;
        header.version = control_header::expected_version;
        header.class_count = static_cast<std::uint32_t>(classes_.size());
        header.data_bytes = layout_.data_bytes;
        header.control_bytes = layout_.control_bytes;
        std::copy(classes_.begin(), classes_.end(), header.classes.begin());
        core_->waiters_ = wait_list{header.wake_sequence, &core_->watches_};
        const std::size_t limit = layout_.data_bytes / 1000 * options_.lent_budget_permille;
        core_->budget_ = lent_budget{header.detached, limit, options_.lent_settle_time};
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            auto done =
                core_->slabs_[i].open(layout_.classes[i], class_index{static_cast<std::uint8_t>(i)},
                                      core_->data_, core_->control_, core_->budget_, core_);
            if (!done) {
                report_.explain("no memory for the records of %" PRIu32 " slots",
                                layout_.classes[i].slots);
                return done;
            }
        }
        return {};
    }

    /// Lending is safe only if replaced pages are really detached; large folios would keep them.
    /// Tried, not believed.
    [[nodiscard]] result<void> prove_lending() noexcept {
        if (options_.lending == lending::never) {
            return {};
        }
        for (std::size_t i = 0; i < layout_.class_count; ++i) {
            const class_layout& each = layout_.classes[i];
            auto detached = core_->data_.verify_renewal(each.data, each.slot_bytes);
            if (!detached) {
                return refused("trying to replace the pages of a slot", each.slot_bytes,
                               detached.error());
            }
            if (!*detached) {
                report_.explain(
                    "replacing the pages of a %zu-byte slot left them shared: this kernel gives "
                    "the "
                    "pool large pages; set /sys/kernel/mm/transparent_hugepage/shmem_enabled to "
                    "never, "
                    "or create the pool with lending::never",
                    each.slot_bytes);
                return fail(errc::renewal_ineffective);
            }
        }
        // Not being able to is no reason to fail: whoever maps the pool could write to it anyway.
        if (auto read_only = core_->data_.file().reopen_read_only()) {
            core_->read_only_ = std::move(*read_only);
        } else {
            report_.explain(
                "no read-only descriptor for sinks (%s): is /proc mounted? they get the writable "
                "one",
                std::strerror(read_only.error().value()));
        }
        core_->lending_ = options_.lending;
        report_.lending = options_.lending;
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

    /// Without membarrier there is no taking back what other threads cache: then there are no
    /// caches.
    [[nodiscard]] result<void> open_caches() noexcept {
        if (policy_.cache == cache_policy::none) {
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

    std::span<const class_spec> classes_;
    const pool_options& options_;
    creation_report& report_;
    pool_policy policy_;
    pool_layout layout_;
    pool_core* core_ = nullptr;
};

inline result<pool_core*> pool_core::create(std::span<const class_spec> classes,
                                            const pool_options& options, pool_policy policy,
                                            creation_report& report) noexcept {
    return pool_creation{classes, options, report}.run(policy);
}

}  // namespace zcpool
