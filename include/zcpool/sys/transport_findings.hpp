// SPDX-License-Identifier: MIT
#pragma once

// Preflight of the ways out: io_uring, sockets that send by reference, and pipes.
// Source: io_uring_setup(2), Documentation/admin-guide/sysctl/kernel.rst (io_uring_disabled) and
// Documentation/networking/msg_zerocopy.rst of Linux, pipe(7).

#include <sys/socket.h>

#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/pipe.hpp>
#include <zcpool/sys/ring_abilities.hpp>
#include <zcpool/sys/setting.hpp>
#include <zcpool/sys/unique_fd.hpp>
#include <zcpool/sys/zerocopy.hpp>

namespace zcpool::sys {

/// Whether there is an io_uring for this process, and if not, who forbids it.
[[nodiscard]] inline finding look_at_io_uring(const char* root,
                                              const ring_abilities& ring) noexcept {
    finding about{.what = feature::io_uring,
                  .without = "sink::uring is not to be had; the other sinks need no ring"};
    const auto disabled = number_set(root, "/proc/sys/kernel/io_uring_disabled");
    if (disabled) {
        about.found.add("kernel.io_uring_disabled is %" PRIu64 ", ", *disabled);
    }
    if (!ring.refusal) {
        about.found.add("a ring works%s",
                        ring.waits_for_its_thread ? "" : ", without DEFER_TASKRUN");
        about.status = ring.waits_for_its_thread ? finding_status::ok : finding_status::degraded;
        if (!ring.waits_for_its_thread) {
            about.without =
                "a ring for an event loop is made without it: completions interrupt "
                "its thread";
            about.remedy.add("boot Linux 6.1 or later");
        }
        return about;
    }
    about.status = finding_status::missing;
    about.found.add("io_uring_setup: %s", ring.refusal.message().c_str());
    if (is_errno(ring.refusal, ENOMEM)) {
        about.found.add(", beyond RLIMIT_MEMLOCK");
        about.remedy.add("`ulimit -l 8192`, or LimitMEMLOCK=8M in its systemd unit");
    } else if (disabled.value_or(0) != 0) {
        about.remedy.add("as root: sysctl -w kernel.io_uring_disabled=0%s",
                         *disabled == 1 ? ", or be in the group kernel.io_uring_group" : "");
    } else if (is_errno(ring.refusal, EPERM) || is_errno(ring.refusal, EACCES)) {
        about.found.add(": a seccomp filter or security module forbids it");
        about.remedy.add(
            "let its seccomp profile pass io_uring_setup, io_uring_enter and io_uring_register "
            "(a container: --security-opt seccomp=PROFILE)");
    } else {
        about.remedy.add("boot Linux 5.6 or later with CONFIG_IO_URING");
    }
    return about;
}

/// Whether a ring has the operations that sink::uring and event loops use.
[[nodiscard]] inline finding look_at_ring_operations(const ring_abilities& ring) noexcept {
    finding about{.what = feature::io_uring_operations,
                  .without =
                      "requests of those kinds fail; without SENDMSG_ZC sink::uring copies, "
                      "without SEND_ZC no pool is registered with a ring"};
    if (ring.refusal || ring.probe_refusal) {
        about.found.add(
            "%s", ring.refusal ? "there is no ring to ask" : ring.probe_refusal.message().c_str());
        about.status = ring.refusal ? finding_status::missing : finding_status::unknown;
        about.remedy.add("%s", ring.refusal ? "as for io_uring" : "boot Linux 5.6 or later");
        return about;
    }
    struct operation {
        std::size_t number;
        const char* name;
        finding_status without = finding_status::missing;
    };
    constexpr operation used[] = {{2, "WRITEV"},
                                  {6, "POLL_ADD"},
                                  {9, "SENDMSG"},
                                  {13, "ACCEPT"},
                                  {14, "ASYNC_CANCEL"},
                                  {27, "RECV"},
                                  {47, "SEND_ZC", finding_status::degraded},
                                  {48, "SENDMSG_ZC", finding_status::degraded}};
    const char* before = "missing ";
    about.status = finding_status::ok;
    for (const operation& each : used) {
        if (ring.operations.test(each.number)) {
            continue;
        }
        about.found.add("%s%s", before, each.name);
        before = ", ";
        if (about.status != finding_status::missing) {
            about.status = each.without;
        }
    }
    if (about.status == finding_status::ok) {
        about.found.add("all that are used, of %zu", ring.operations.count());
    } else {
        about.remedy.add("boot Linux 6.1 or later");
    }
    return about;
}

/// Whether sockets of a family can send by reference. That the way to a peer does not copy after
/// all is learnt a connection.
[[nodiscard]] inline finding look_at_zerocopy(feature what, int family) noexcept {
    finding about{.what = what,
                  .without =
                      "sink::zerocopy copies; sink::sendfile, splice and vmsplice lend from "
                      "a pool that lends"};
    auto made = call([&] { return provider::socket(family, SOCK_STREAM | SOCK_CLOEXEC); });
    if (!made) {
        about.found.add("no such sockets (%s)", made.error().message().c_str());
        about.status = is_errno(made.error(), EAFNOSUPPORT) ? finding_status::missing
                                                            : finding_status::unknown;
        return about;
    }
    const unique_fd socket{*made};
    const auto enabled = enable_zerocopy(socket.get());
    about.found.add("SO_ZEROCOPY %s", enabled ? "accepted" : enabled.error().message().c_str());
    about.status = enabled ? finding_status::ok : finding_status::missing;
    if (!enabled && family != AF_UNIX) {
        about.remedy.add("boot Linux 4.14 or later");
    }
    return about;
}

/// Whether a socket may have the notices of many sends by reference waiting: each is charged to
/// net.core.optmem_max.
[[nodiscard]] inline finding look_at_zerocopy_notices(const char* root) noexcept {
    constexpr std::uint64_t usual = 128_KiB;  // since Linux 6.7; 20 KiB before
    finding about{.what = feature::zerocopy_notices,
                  .without = "sends by reference that do not fit are copied, and counted"};
    const auto room = number_set(root, "/proc/sys/net/core/optmem_max");
    if (!room) {
        about.found.add("net.core.optmem_max cannot be read");
        about.remedy.add("mount /proc");
        return about;
    }
    about.found.add("net.core.optmem_max is %s a socket", readable_bytes(*room).c_str());
    about.status = *room >= usual ? finding_status::ok : finding_status::degraded;
    if (about.status != finding_status::ok) {
        about.remedy.add("as root: sysctl -w net.core.optmem_max=%" PRIu64, usual);
    }
    return about;
}

/// Whether a pipe may be as large as is wanted, by trying.
[[nodiscard]] inline finding look_at_pipes(const char* root, std::size_t bytes) noexcept {
    finding about{.what = feature::pipes,
                  .without =
                      "sink::splice, vmsplice and automatic move less a call; without any "
                      "pipe they copy"};
    auto made = pipe::create();
    const auto room = made ? made->resize(bytes) : result<pipe_room>{fail(made.error())};
    if (!room) {
        about.found.add("no pipe: %s", room.error().message().c_str());
        about.status = finding_status::missing;
        about.remedy.add("`ulimit -n`: raise the limit of open files");
        return about;
    }
    about.found.add("%s a pipe", readable_bytes(room->bytes).c_str());
    const auto most = number_set(root, "/proc/sys/fs/pipe-max-size");
    const auto pages = number_set(root, "/proc/sys/fs/pipe-user-pages-soft");
    if (most) {
        about.found.add(", fs.pipe-max-size %s", readable_bytes(*most).c_str());
    }
    if (pages) {
        about.found.add(", fs.pipe-user-pages-soft %s",
                        *pages == 0 ? "without limit" : readable_bytes(*pages * page_size).c_str());
    }
    about.status = room->bytes >= bytes ? finding_status::ok : finding_status::degraded;
    if (about.status != finding_status::ok) {
        about.found.add("; wanted: %s", readable_bytes(bytes).c_str());
        if (most.value_or(0) < bytes) {
            about.remedy.add("as root: sysctl -w fs.pipe-max-size=%zu", bytes);
        } else {
            about.remedy.add(
                "close other pipes of this user, or as root: sysctl -w "
                "fs.pipe-user-pages-soft=%" PRIu64,
                2 * pages.value_or(16'384));
        }
    }
    return about;
}

}  // namespace zcpool::sys
