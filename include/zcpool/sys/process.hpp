// SPDX-License-Identifier: MIT
#pragma once

// Who a process is, and whether it still runs. A pid alone is neither: it is used again.
//
// Source: pidfd_open(2) (Linux 5.3); proc_pid_stat(5), field 22. A pidfd is readable when the last
// thread of its process has gone; /proc calls a process a zombie as soon as the first has.

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// The start time in a line of /proc/PID/stat, in clock ticks since boot.
/// Returns: 0 when there is none. The name of the program, which may hold anything, is skipped.
[[nodiscard]] inline std::uint64_t start_time_in(std::string_view line) noexcept {
    constexpr int behind_name = 20;  // field 22, and the name is field 2
    std::size_t at = line.rfind(')');
    for (int field = 0; field < behind_name && at != std::string_view::npos; ++field) {
        at = line.find(' ', at + 1);
    }
    std::uint64_t value = 0;
    if (at != std::string_view::npos) {
        std::from_chars(line.data() + at + 1, line.data() + line.size(), value);
    }
    return value;
}

/// When the process with this pid started, in clock ticks since boot; of 0, this process.
///
/// Errors: ENOENT or ESRCH when there is none, or no /proc; EIO when the answer makes no sense.
[[nodiscard]] inline result<std::uint64_t> start_time_of(pid_t pid) noexcept {
    char path[32] = "/proc/self/stat";
    if (pid != 0) {
        std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
    }
    auto opened = call([&] { return provider::open(path, O_RDONLY | O_CLOEXEC); });
    if (!opened) {
        return fail(opened.error());
    }
    const unique_fd file{*opened};
    char text[1024];
    auto got = call([&] { return provider::read(file.get(), text, sizeof text); });
    if (!got) {
        return fail(got.error());
    }
    const auto start = start_time_in({text, static_cast<std::size_t>(*got)});
    if (start == 0) {
        return fail(std::error_code{EIO, std::system_category()});
    }
    return start;
}

/// What pids and start times mean to a process: the numbers of its pid and its time namespace.
/// A process of another one would look dead to it, or like somebody else.
struct process_namespaces {
    std::uint64_t pid = 0;
    std::uint64_t time = 0;  ///< 0 before Linux 5.6, where there is one for all

    friend bool operator==(const process_namespaces&, const process_namespaces&) = default;
};

/// The number of a namespace of this process, which no other of the kind has while it exists.
///
/// Errors: the errno of open or fstat; ENOENT when there is no such kind, or no /proc.
[[nodiscard]] inline result<std::uint64_t> namespace_number(const char* path) noexcept {
    auto opened = call([&] { return provider::open(path, O_RDONLY | O_CLOEXEC); });
    if (!opened) {
        return fail(opened.error());
    }
    const unique_fd file{*opened};
    struct stat status{};
    if (auto done = call([&] { return provider::fstat(file.get(), &status); }); !done) {
        return fail(done.error());
    }
    return std::uint64_t{status.st_ino};
}

/// The namespaces of this process.
///
/// Errors: as namespace_number(). Source: namespaces(7).
[[nodiscard]] inline result<process_namespaces> own_namespaces() noexcept {
    auto pid = namespace_number("/proc/self/ns/pid");
    if (!pid) {
        return fail(pid.error());
    }
    auto time = namespace_number("/proc/self/ns/time");
    if (!time && !is_errno(time.error(), ENOENT)) {
        return fail(time.error());
    }
    return process_namespaces{*pid, time.value_or(0)};
}

/// A descriptor of a running process, or of one that nobody has waited for.
///
/// Errors: the errno of pidfd_open; ESRCH when there is no such process, ENOSYS before Linux 5.3.
[[nodiscard]] inline result<unique_fd> open_process(pid_t pid) noexcept {
    auto opened = call([&] { return provider::pidfd_open(pid); });
    if (!opened) {
        return fail(opened.error());
    }
    return unique_fd{*opened};
}

/// Waits until one of several descriptors is readable, or what else the entry's `events` names, at
/// most so many milliseconds.
///
/// Returns: how many are; each entry's `revents` says whether it is.
/// Errors: the errno of poll.
[[nodiscard]] inline result<int> poll_readable(array_view<pollfd> entries,
                                               int milliseconds) noexcept {
    for (pollfd& each : entries) {
        each.events = each.events == 0 ? short{POLLIN} : each.events;
    }
    return call([&] { return provider::poll(entries.data(), entries.size(), milliseconds); });
}

}  // namespace zcpool::sys
