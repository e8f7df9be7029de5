// SPDX-License-Identifier: MIT
#pragma once

// Preflight of what threads and processes of a pool need of each other.
// Source: pidfd_open(2), membarrier(2), MADV_WIPEONFORK in madvise(2), proc(5).

#include <linux/membarrier.h>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/fork_guard.hpp>
#include <zcpool/sys/process.hpp>
#include <zcpool/sys/setting.hpp>

namespace zcpool::sys {

/// A finding of something that works or is refused, and needs a kernel.
template <class T>
[[nodiscard]] finding works_or_not(finding about, const result<T>& tried, const char* call,
                                   const char* kernel) noexcept {
    about.status = tried ? finding_status::ok : finding_status::missing;
    about.found.add("%s %s", call, tried ? "works" : tried.error().message().c_str());
    if (!tried) {
        about.remedy.add("boot Linux %s or later, with a seccomp filter that lets %s pass", kernel,
                         call);
    }
    return about;
}

[[nodiscard]] inline finding look_at_process_descriptors() noexcept {
    return works_or_not({.what = feature::process_descriptors,
                         .without = "ipc::reaper cannot tell the dead: pools are not shared"},
                        open_process(provider::getpid()), "pidfd_open", "5.3");
}

/// Only asks: nothing is registered for this process.
[[nodiscard]] inline finding look_at_process_barrier() noexcept {
    auto known = call([] { return provider::membarrier(MEMBARRIER_CMD_QUERY); });
    if (known && (*known & MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) {
        known = fail(std::error_code{ENOSYS, std::system_category()});
    }
    return works_or_not({.what = feature::process_barrier,
                         .without = "pools work without thread caches, and say so"},
                        known, "membarrier", "4.14");
}

[[nodiscard]] inline finding look_at_fork_guard() noexcept {
    return works_or_not({.what = feature::fork_guard, .without = "pools are not created"},
                        fork_guard::create(), "MADV_WIPEONFORK", "4.14");
}

/// Whether /proc is there.
[[nodiscard]] inline finding look_at_process_files(const char* root) noexcept {
    finding about{.what = feature::process_files,
                  .without =
                      "arenas copy, because huge pages cannot be seen; sinks get a writable "
                      "descriptor; pools are not shared"};
    const auto read = setting::read(root, "/proc/self/smaps");
    about.status = read ? finding_status::ok : finding_status::missing;
    about.found.add("/proc/self/smaps %s", read ? "can be read" : read.error().message().c_str());
    if (!read) {
        about.remedy.add("as root: mount -t proc proc /proc");
    }
    return about;
}

}  // namespace zcpool::sys
