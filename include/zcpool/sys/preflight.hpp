// SPDX-License-Identifier: MIT
#pragma once

// One look at the system before a program begins: what of all that the library can use is there,
// what it does where something is not, and which command mends it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <expected>

#include <zcpool/base/align.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/memory_findings.hpp>
#include <zcpool/sys/process_findings.hpp>
#include <zcpool/sys/ring_abilities.hpp>
#include <zcpool/sys/transport_findings.hpp>

namespace zcpool {

/// What preflight() does about a feature that is not ok.
enum class preflight_mode : std::uint8_t {
    degrade,  ///< records it: the library goes on without
    warn,     ///< records it, and tells preflight_options::on_warning
    require,  ///< makes it the answer. Degraded and not known are not enough
};

/// Is told of a feature that is not ok, during preflight().
using preflight_warning = void (*)(const finding& about) noexcept;

/// Prints a finding on stderr, as a line.
inline void print_warning(const finding& about) noexcept {
    std::fprintf(stderr, "zcpool: %s\n", describe(about).c_str());
}

/// What a program is going to do, and what it cannot do without.
struct preflight_options {
    std::uint64_t lock_bytes = 0;        ///< memory of pools that are to be locked
    std::uint64_t registered_bytes = 0;  ///< buffers to be registered with an io_uring
    std::uint64_t in_flight_bytes = 0;   ///< sent by reference and not confirmed, at most at a time
    std::uint64_t reserved_huge_bytes = 0;  ///< for arena_backing::hugetlb
    std::size_t pipe_bytes = 1_MiB;         ///< of each pipe of a sink

    std::array<preflight_mode, feature_count> modes{};  ///< by feature
    preflight_warning on_warning = print_warning;

    const char* root = "";  ///< what stands before /proc and /sys, where they are somewhere else

    [[nodiscard]] constexpr preflight_mode& operator[](feature which) noexcept {
        return modes[static_cast<std::size_t>(which)];
    }
    [[nodiscard]] constexpr preflight_mode operator[](feature which) const noexcept {
        return modes[static_cast<std::size_t>(which)];
    }
};

/// A finding for each feature, in their order.
struct preflight_report {
    std::array<finding, feature_count> findings{};

    [[nodiscard]] const finding& operator[](feature which) const noexcept {
        return findings[static_cast<std::size_t>(which)];
    }
};

/// The first required feature that is not ok, and all that was found.
struct unmet_requirement {
    feature what{};
    preflight_report report;

    /// The value, the limit and the remedy, as one line.
    [[nodiscard]] short_text<640> text() const noexcept { return describe(report[what]); }
};

/// Looks at every feature, without changing anything: what is opened or mapped to try it is closed
/// and unmapped again.
///
/// Returns: what was found.
/// Errors: a required feature is not ok; then this is the error, with all that was found.
/// Complexity: some ninety system calls, below a millisecond; once, before pools are created.
/// Concurrency: any thread. What others lock, open or reserve at the time may show.
[[nodiscard]] inline std::expected<preflight_report, unmet_requirement> preflight(
    const preflight_options& options = {}) noexcept {
    using namespace sys;
    const char* const root = options.root;
    const ring_abilities ring = ask_io_uring();
    const preflight_report report{{{
        look_at_pages(),
        look_at_page_replacement(),
        look_at_anonymous_huge_pages(root),
        look_at_file_huge_pages(root),
        look_at_reserved_huge_pages(root, options.reserved_huge_bytes),
        look_at_memory_lock(root, options.lock_bytes),
        look_at_pinned_memory(root, options.registered_bytes, options.in_flight_bytes),
        look_at_zerocopy_notices(root),
        look_at_sealed_memory(root),
        look_at_io_uring(root, ring),
        look_at_ring_operations(ring),
        look_at_zerocopy(feature::zerocopy_ipv4, AF_INET),
        look_at_zerocopy(feature::zerocopy_ipv6, AF_INET6),
        look_at_zerocopy(feature::zerocopy_unix, AF_UNIX),
        look_at_pipes(root, options.pipe_bytes),
        look_at_process_descriptors(),
        look_at_process_barrier(),
        look_at_fork_guard(),
        look_at_process_files(root),
    }}};
    const finding* unmet = nullptr;
    for (const finding& each : report.findings) {
        const preflight_mode mode = options[each.what];
        if (each.status == finding_status::ok || mode == preflight_mode::degrade) {
            continue;
        }
        if (mode == preflight_mode::warn && options.on_warning != nullptr) {
            options.on_warning(each);
        }
        if (mode == preflight_mode::require && unmet == nullptr) {
            unmet = &each;
        }
    }
    if (unmet != nullptr) {
        return std::unexpected{unmet_requirement{unmet->what, report}};
    }
    return report;
}

}  // namespace zcpool
