// SPDX-License-Identifier: MIT
#pragma once

// Memory for arenas, if it is to be had: huge pages that were seen, and renewal that was tried. If
// not, the reason in words, and what to do about it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/option_checks.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/sys/smaps.hpp>

namespace zcpool {

/// What to do where a backing gives no huge pages.
[[nodiscard]] constexpr const char* arena_remedy(arena_backing backing) noexcept {
    switch (backing) {
        case arena_backing::anonymous:
            return "set /sys/kernel/mm/transparent_hugepage/enabled to madvise; if it is, free "
                   "memory is short or in pieces: ask for fewer slots, or create the pool earlier";
        case arena_backing::memfd:
            return "set /sys/kernel/mm/transparent_hugepage/shmem_enabled to advise (as root), or "
                   "take arena_backing::anonymous, which needs no privilege, with sink::vmsplice";
        case arena_backing::hugetlb:
            return "raise vm.nr_hugepages (as root), or take arena_backing::anonymous";
    }
    return "";
}

/// Makes the memory of a pool with arenas, every page of it present and huge, and proves for each
/// class that renewing an arena detaches its pages.
///
/// `budget`: bytes that may be detached.
/// Returns: nothing where lending by the arena cannot be had; the report then says why.
/// Complexity: as shared_memory::create(), and a look at all mappings of the process.
[[nodiscard]] inline std::optional<shared_memory> make_arenas(const pool_layout& layout,
                                                              arena_backing backing,
                                                              std::size_t budget,
                                                              arena_report& report) noexcept {
    report.bytes = layout.data_bytes;
    for (std::size_t i = 0; i < layout.class_count; ++i) {
        if (const std::size_t bytes = layout.classes[i].arena_bytes(); budget < bytes) {
            report.explain(
                "no lending by the arena: the lent budget is %zu bytes, an arena of %zu-byte slots "
                "has %zu; raise lent_budget_permille, or ask for more slots",
                budget, layout.classes[i].slot_bytes, bytes);
            return std::nullopt;
        }
    }
    auto memory = shared_memory::create_huge("zcpool-data", layout.data_bytes, backing);
    if (!memory) {
        report.explain("no lending by the arena: %zu bytes of huge pages were refused (%s); %s",
                       layout.data_bytes, memory.error().message().c_str(), arena_remedy(backing));
        return std::nullopt;
    }
    const auto huge = sys::huge_bytes_of(memory->data(), memory->size());
    if (!huge) {
        report.explain(
            "no lending by the arena: whether pages are huge cannot be seen (%s); mount "
            "/proc",
            huge.error().message().c_str());
        return std::nullopt;
    }
    report.huge_bytes = *huge;
    if (*huge != memory->size()) {
        report.explain("no lending by the arena: %zu of %zu bytes are in huge pages; %s", *huge,
                       memory->size(), arena_remedy(backing));
        return std::nullopt;
    }
    for (std::size_t i = 0; i < layout.class_count; ++i) {
        const class_layout& each = layout.classes[i];
        const auto detached = memory->verify_renewal(each.data, each.arena_bytes());
        if (!detached) {
            report.explain(
                "no lending by the arena: replacing the pages of one was refused (%s); "
                "arenas without a file need Linux 5.18, others 5.14",
                detached.error().message().c_str());
            return std::nullopt;
        }
        if (!*detached) {
            report.explain(
                "no lending by the arena: replacing the pages of one left them shared; please "
                "report this kernel");
            return std::nullopt;
        }
    }
    return std::move(*memory);
}

/// Bytes of a pool that may be detached.
[[nodiscard]] constexpr std::size_t lent_limit(const pool_layout& layout,
                                               const pool_options& options) noexcept {
    // In two parts, which cannot overflow.
    const std::size_t permille = options.lent_budget_permille;
    return layout.data_bytes / 1000 * permille + layout.data_bytes % 1000 * permille / 1000;
}

/// What a pool will lend, on which its layout depends.
struct lending_choice {
    pool_layout layout;
    lending lends = lending::never;
    std::optional<shared_memory> arenas;  ///< the data memory, with lending::arena
};

/// Decides how a pool lends: as it is asked to, but by the arena only where that can be had, and
/// otherwise not at all.
///
/// Errors: as checked_layout().
[[nodiscard]] inline result<lending_choice> choose_lending(array_view<const class_spec> classes,
                                                           const pool_options& options,
                                                           checking checks,
                                                           creation_report& report) noexcept {
    lending_choice chosen;
    chosen.lends = options.lending;
    if (chosen.lends == lending::arena && checks != checking::none) {
        report.arenas.explain(
            "no lending by the arena: a checked pool has a page behind each slot, for which there "
            "is no room in huge pages");
        chosen.lends = lending::never;
    }
    auto layout = checked_layout(classes, options, checks, chosen.lends, report);
    if (layout && chosen.lends == lending::arena) {
        const std::size_t budget =
            options.lent_settle_time.count() == 0 ? SIZE_MAX : lent_limit(*layout, options);
        chosen.arenas = make_arenas(*layout, options.arenas, budget, report.arenas);
        if (!chosen.arenas) {
            chosen.lends = lending::never;
            layout = checked_layout(classes, options, checks, chosen.lends, report);
        }
    }
    if (!layout) {
        return fail(layout.error());
    }
    chosen.layout = *layout;
    return chosen;
}

}  // namespace zcpool
