// SPDX-License-Identifier: MIT
#pragma once

// Preflight of memory: pages, replacing them, huge ones, sealed files, and how much may be locked
// or pinned.
// Source: Documentation/admin-guide/mm/transhuge.rst and hugetlbpage.rst of Linux, mlock(2),
// memfd_create(2), Documentation/networking/msg_zerocopy.rst.

#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/page_lock.hpp>
#include <zcpool/sys/setting.hpp>

namespace zcpool::sys {

/// The page size of this system.
[[nodiscard]] inline finding look_at_pages() noexcept {
    finding about{.what = feature::pages, .without = "pools are not created"};
    const long bytes = provider::system_page_size();
    about.found.add("%s", readable_bytes(static_cast<std::uint64_t>(bytes)).c_str());
    about.status =
        static_cast<std::size_t>(bytes) == page_size ? finding_status::ok : finding_status::missing;
    if (about.status != finding_status::ok) {
        about.remedy.add("boot a kernel with pages of %s", readable_bytes(page_size).c_str());
    }
    return about;
}

/// Whether pages of files and of memory can be replaced. That it detaches them is proved when a
/// pool is created.
[[nodiscard]] inline finding look_at_page_replacement() noexcept {
    constexpr int drop_even_locked = 24;  // MADV_DONTNEED_LOCKED, Linux 5.18
    finding about{.what = feature::page_replacement,
                  .without =
                      "pools that lend are not created; without MADV_DONTNEED_LOCKED, "
                      "arenas of anonymous memory copy"};
    const auto page = mapping::anonymous(page_size);
    if (!page) {
        about.found.add("no memory to try it (%s)", page.error().message().c_str());
        return about;
    }
    const auto populated = page->populate(0, page_size);
    const auto dropped = page->advise(0, page_size, drop_even_locked);
    about.found.add("MADV_POPULATE_WRITE %s, MADV_DONTNEED_LOCKED %s",
                    populated ? "works" : populated.error().message().c_str(),
                    dropped ? "works" : dropped.error().message().c_str());
    about.status = populated && dropped ? finding_status::ok
                   : populated          ? finding_status::degraded
                                        : finding_status::missing;
    if (about.status != finding_status::ok) {
        about.remedy.add("boot Linux %s or later", populated ? "5.18" : "5.14");
    }
    return about;
}

/// Transparent huge pages, by the word that is chosen in a setting.
///
/// `refusing`: two words that mean no. `wanted`: the word to set.
[[nodiscard]] inline finding look_at_huge_pages(finding about, const char* root, const char* path,
                                                std::string_view refusing,
                                                std::string_view also_refusing,
                                                const char* wanted) noexcept {
    const auto read = setting::read(root, path);
    if (!read) {
        about.status =
            is_errno(read.error(), ENOENT) ? finding_status::missing : finding_status::unknown;
        about.found.add("%s: %s", path, read.error().message().c_str());
        about.remedy.add("mount /sys, or boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
        return about;
    }
    const std::string_view chosen = read->chosen();
    if (chosen.empty()) {
        about.found.add("%s: no word is chosen", path);
    } else {
        about.found.add("%s is %.*s", path, static_cast<int>(chosen.size()), chosen.data());
        about.status = chosen == refusing || chosen == also_refusing ? finding_status::missing
                                                                     : finding_status::ok;
    }
    if (about.status != finding_status::ok) {
        about.remedy.add("as root: echo %s > %s", wanted, path);
    }
    return about;
}

[[nodiscard]] inline finding look_at_anonymous_huge_pages(const char* root) noexcept {
    return look_at_huge_pages({.what = feature::anonymous_huge_pages,
                               .without = "arena_backing::anonymous is not to be had: the pool "
                                          "copies, and its report says so"},
                              root, "/sys/kernel/mm/transparent_hugepage/enabled", "never", "never",
                              "madvise");
}

[[nodiscard]] inline finding look_at_file_huge_pages(const char* root) noexcept {
    return look_at_huge_pages({.what = feature::file_huge_pages,
                               .without = "arena_backing::memfd is not to be had: the pool "
                                          "copies; arena_backing::anonymous needs no privilege"},
                              root, "/sys/kernel/mm/transparent_hugepage/shmem_enabled", "never",
                              "deny", "advise");
}

/// Reserved huge pages: those of the size that arenas use, and which other sizes there are.
///
/// `bytes`: how many are wanted.
[[nodiscard]] inline finding look_at_reserved_huge_pages(const char* root,
                                                         std::uint64_t bytes) noexcept {
    finding about{.what = feature::reserved_huge_pages,
                  .without = "arena_backing::hugetlb is not to be had: the pool copies"};
    std::uint64_t present = 0;
    bool is_known = false;
    constexpr std::uint64_t sizes[] = {64, 1024, 2048, 16384, 32768, 524288, 1048576, 16777216};
    for (const std::uint64_t kibibytes : sizes) {
        char path[96];
        std::snprintf(path, sizeof path,
                      "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages", kibibytes);
        const auto free = number_set(root, path);
        if (!free) {
            continue;
        }
        about.found.add("%s%" PRIu64 " free of %s", about.found.empty() ? "" : ", ", *free,
                        readable_bytes(kibibytes * 1_KiB).c_str());
        if (kibibytes * 1_KiB == huge_page_size) {
            present = *free * huge_page_size;
            is_known = true;
        }
    }
    const std::uint64_t wanted = bytes < huge_page_size ? huge_page_size : bytes;
    if (!is_known) {
        about.found.add("%snone of %s", about.found.empty() ? "" : ", ",
                        readable_bytes(huge_page_size).c_str());
    }
    about.status = present >= wanted ? finding_status::ok
                   : present != 0    ? finding_status::degraded
                                     : finding_status::missing;
    if (about.status != finding_status::ok) {
        about.found.add("; wanted: %s", readable_bytes(wanted).c_str());
        about.remedy.add("as root: sysctl -w vm.nr_hugepages=%" PRIu64,
                         (wanted + huge_page_size - 1) / huge_page_size);
    }
    return about;
}

/// How to raise the limit of locked memory to `bytes`.
inline void add_lock_remedy(short_text<256>& remedy, std::uint64_t bytes,
                            std::uint64_t hard_limit) noexcept {
    const std::uint64_t kibibytes = bytes / 1_KiB + (bytes % 1_KiB != 0 ? 1 : 0);
    remedy.add("%s`ulimit -l %" PRIu64 "`, or LimitMEMLOCK=%" PRIu64
               "K in its systemd unit, or `setcap cap_ipc_lock+ep PROGRAM`",
               bytes <= hard_limit ? "" : "as root: ", kibibytes, kibibytes);
}

/// Whether this process is above RLIMIT_MEMLOCK, as CAP_IPC_LOCK makes it: tried, since one of a
/// user namespace has no effect.
[[nodiscard]] inline bool exceeds_lock_limit(const lock_report& limits) noexcept {
    constexpr std::uint64_t most = std::uint64_t{SIZE_MAX} / 4;
    return limits.soft_limit < most &&
           try_lock(align_up(static_cast<std::size_t>(limits.soft_limit) + 1, page_size)).locked;
}

/// Whether `bytes` more could be locked, by trying. 0: a page.
[[nodiscard]] inline finding look_at_memory_lock(const char* root, std::uint64_t bytes) noexcept {
    finding about{.what = feature::memory_lock,
                  .without =
                      "lock_policy::best_effort goes on with memory that may be swapped "
                      "out; lock_policy::required creates no pool"};
    // More than there are addresses is refused as it is.
    constexpr std::uint64_t most = align_up(SIZE_MAX / 4, page_size);
    const std::uint64_t wanted = bytes == 0 ? page_size : bytes < most ? bytes : most;
    const lock_report trial = try_lock(align_up(static_cast<std::size_t>(wanted), page_size));
    const auto status = setting::read(root, "/proc/self/status");
    const std::uint64_t used = status ? status->number_of("VmLck:").value_or(0) * 1_KiB : 0;
    about.found.add("soft limit %s, hard limit %s, locked already %s, CAP_IPC_LOCK %s",
                    readable_bytes(trial.soft_limit).c_str(),
                    readable_bytes(trial.hard_limit).c_str(), readable_bytes(used).c_str(),
                    exceeds_lock_limit(trial) ? "effective" : "not effective");
    if (trial.locked) {
        about.status = finding_status::ok;
        return about;
    }
    about.found.add("; wanted: %s (%s)", readable_bytes(wanted).c_str(),
                    trial.refusal.message().c_str());
    if (is_errno(trial.refusal, ENOSYS)) {
        return about;  // before Linux 4.4: locking is not tried, and so not known
    }
    about.status = finding_status::missing;
    add_lock_remedy(about.remedy, used + wanted, trial.hard_limit);
    return about;
}

/// Whether `registered` bytes of buffers of an io_uring and `in_flight` bytes sent by reference fit
/// into what a user may pin: one budget, of RLIMIT_MEMLOCK, for all his processes. Only what this
/// one has registered is shown by the system.
[[nodiscard]] inline finding look_at_pinned_memory(const char* root, std::uint64_t registered,
                                                   std::uint64_t in_flight) noexcept {
    finding about{.what = feature::pinned_memory,
                  .without =
                      "sends by reference that do not fit are copied; registering buffers "
                      "fails"};
    const lock_report limits = read_lock_limits(lock_policy::none, 0);
    const auto status = setting::read(root, "/proc/self/status");
    const std::uint64_t used = status ? status->number_of("VmPin:").value_or(0) * 1_KiB : 0;
    const bool is_exempt = exceeds_lock_limit(limits);
    about.found.add("soft limit %s for all processes of the user, registered by this one %s",
                    readable_bytes(limits.soft_limit).c_str(), readable_bytes(used).c_str());
    if (is_exempt) {
        about.found.add(", CAP_IPC_LOCK effective");
    }
    const std::uint64_t room = limits.soft_limit > used ? limits.soft_limit - used : 0;
    const std::uint64_t wanted =
        registered + in_flight < registered ? UINT64_MAX : registered + in_flight;
    if (is_exempt || (wanted <= room && room != 0)) {
        about.status = finding_status::ok;
        return about;
    }
    about.status =
        registered > room || room == 0 ? finding_status::missing : finding_status::degraded;
    about.found.add("; wanted: %s registered and %s in flight", readable_bytes(registered).c_str(),
                    readable_bytes(in_flight).c_str());
    add_lock_remedy(about.remedy, wanted == 0 ? page_size : used + wanted, limits.hard_limit);
    return about;
}

/// Whether files in memory can be had and sealed, and whether they can be kept from being executed.
[[nodiscard]] inline finding look_at_sealed_memory(const char* root) noexcept {
    constexpr int exec_seal = 0x0020;  // F_SEAL_EXEC, Linux 6.3
    finding about{.what = feature::sealed_memory, .without = "pools are not created"};
    if (const auto noexec = number_set(root, "/proc/sys/vm/memfd_noexec")) {
        about.found.add("vm.memfd_noexec is %" PRIu64 ", ", *noexec);
    }
    auto file = memfd::create("zcpool-preflight", page_size);
    const auto sealed = file ? file->seal() : result<void>{fail(file.error())};
    if (!sealed) {
        about.status = finding_status::missing;
        about.found.add("%s refused: %s", file ? "sealing" : "memfd_create",
                        sealed.error().message().c_str());
        about.remedy.add("let the seccomp filter pass memfd_create and fcntl; Linux 3.17 has them");
        return about;
    }
    const auto seals = call([&] { return provider::get_seals(file->fd()); });
    const bool no_exec = seals && (*seals & exec_seal) != 0;
    about.found.add("sealed against resizing, %s",
                    no_exec ? "never executable" : "may be executed");
    about.status = no_exec ? finding_status::ok : finding_status::degraded;
    if (!no_exec) {
        about.without = "files are made without MFD_NOEXEC_SEAL; their mode is 0600 all the same";
        about.remedy.add("boot Linux 6.3 or later");
    }
    return about;
}

}  // namespace zcpool::sys
