// SPDX-License-Identifier: MIT
#pragma once

// Which wishes for a pool can be met, before anything is made: every refusal in words.

#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool {

/// Populating more than there is would call the kernel's out-of-memory killer, which is no
/// error value.
[[nodiscard]] inline result<void> check_memory(std::size_t bytes,
                                               creation_report& report) noexcept {
    struct sysinfo system{};
    if (sys::call([&] { return sys::provider::sysinfo(&system); })) {
        const std::uint64_t total =
            (std::uint64_t{system.totalram} + system.totalswap) * system.mem_unit;
        if (bytes >= total) {
            report.explain("the pool needs %zu bytes, this machine has %" PRIu64
                           " of memory and swap; ask for fewer slots",
                           bytes, total);
            return fail(std::error_code{ENOMEM, std::system_category()});
        }
    }
    return {};
}

/// Computes the layout that a pool's options ask for, if they can be met.
///
/// `checks`: what the pool is to look for.
/// `lends`: how it is to lend, which may be less than what the options ask for.
/// Errors: `unsupported`, `invalid_options`, or ENOMEM for more memory than the machine has; the
/// report says which value, which limit.
[[nodiscard]] inline result<pool_layout> checked_layout(array_view<const class_spec> classes,
                                                        const pool_options& options,
                                                        checking checks, lending lends,
                                                        creation_report& report) noexcept {
    if (const long page = sys::provider::system_page_size(); page != static_cast<long>(page_size)) {
        report.explain("pages of this kernel are %ld bytes; this build needs 4096", page);
        return fail(errc::unsupported);
    }
    for (std::size_t i = classes.size(); i < options.slots.size(); ++i) {
        if (options.slots[i] != 0) {
            report.explain("slots names %" PRIu32
                           " slots for class %zu, but the list has %zu classes",
                           options.slots[i], i, classes.size());
            return fail(errc::invalid_options);
        }
    }
    for (const class_spec& spec : classes) {
        if (spec.slots == 0 || spec.slots > max_slots) {
            report.explain("%" PRIu64 " slots of %" PRIu64 " bytes: a class has 1 to %" PRIu32
                           " slots; leave a class that needs none out of the list",
                           spec.slots, spec.slot_bytes, max_slots);
            return fail(errc::invalid_options);
        }
    }
    for (std::size_t i = 0; i < options.reserve.size(); ++i) {
        const std::uint64_t slots = i < classes.size() ? classes[i].slots : 0;
        if (options.reserve[i] != 0 && options.reserve[i] >= slots) {
            report.explain("reserve keeps %" PRIu32
                           " slots of class %zu for urgent callers, "
                           "which has %" PRIu64 "; it must leave one for the others",
                           options.reserve[i], i, slots);
            return fail(errc::invalid_options);
        }
    }
    for (std::size_t i = 0; options.lending == lending::arena && i < classes.size(); ++i) {
        const auto bytes = static_cast<std::size_t>(classes[i].slot_bytes);
        if (options.reserve[i] != 0) {
            report.explain(
                "a reserve (class %zu) cannot be kept in arenas: its slots would keep "
                "whole arenas from being renewed",
                i);
            return fail(errc::invalid_options);
        }
        if (bytes % page_size == 0 && bytes != 0 && bytes <= max_slot_bytes &&
            arena_bytes_for(bytes) > larger_of(bytes, max_arena_bytes)) {
            report.explain(
                "slots of %zu bytes fill huge pages of %zu bytes only by %zu bytes, and "
                "arenas have at most %zu; take a size that divides a huge page, or a "
                "multiple of one",
                bytes, huge_page_size, arena_bytes_for(bytes), max_arena_bytes);
            return fail(errc::invalid_options);
        }
    }
    if (options.lent_budget_permille > 1000) {
        report.explain("lent_budget_permille is %" PRIu32 ": at most 1000, the size of the pool",
                       options.lent_budget_permille);
        return fail(errc::invalid_options);
    }
    if (const auto settle = options.lent_settle_time.count(); settle < 0 || settle > 3'600'000) {
        report.explain("lent_settle_time is %lld ms: 0 to 3600000 (an hour)",
                       static_cast<long long>(settle));
        return fail(errc::invalid_options);
    }
    auto layout = compute_layout(classes, checks, lends);
    if (!layout) {
        report.explain(
            "the class table does not add up to a pool: sizes must increase, be multiples of "
            "4096 "
            "and at most 2^30 bytes");
        return fail(layout.error());
    }
    report.data_bytes = layout->data_bytes;
    report.control_bytes = layout->control_bytes;
    if (auto done = check_memory(layout->data_bytes, report); !done) {
        return fail(done.error());
    }
    return layout;
}

}  // namespace zcpool
