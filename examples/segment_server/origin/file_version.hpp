// SPDX-License-Identifier: MIT
#pragma once

// What tells one state of a file from the next: device, inode, size, and both times. The change
// time is in it because a program can set the modification time back, as rsync does, and cannot set
// that one.

#include <sys/stat.h>

#include <cstdint>
#include <ctime>

namespace segment_server {

/// The identity of the content of a file, as far as stat(2) can tell.
struct file_version {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;

    bool operator==(const file_version&) const = default;

    /// Seconds, for Last-Modified.
    [[nodiscard]] std::time_t modified() const noexcept {
        return static_cast<std::time_t>(modified_ns / 1'000'000'000);
    }
};

[[nodiscard]] inline std::int64_t to_nanoseconds(const timespec& time) noexcept {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[nodiscard]] inline file_version version_of(const struct stat& status) noexcept {
    return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
            to_nanoseconds(status.st_mtim), to_nanoseconds(status.st_ctim)};
}

/// Whether the file has rested long enough that a later write must show in its times. File times
/// are taken from a clock that ticks every few milliseconds: two writes within a tick, of equal
/// length, leave the same version.
///
/// `now_ns`: the real time before the file was read.
[[nodiscard]] inline bool is_settled(const file_version& version, std::int64_t now_ns) noexcept {
    constexpr std::int64_t tick_ns =
        20'000'000;  // twice the coarsest tick that Linux can be built with
    return now_ns - version.modified_ns > tick_ns && now_ns - version.changed_ns > tick_ns;
}

}  // namespace segment_server
