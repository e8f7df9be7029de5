// SPDX-License-Identifier: MIT
#pragma once

// The one directory that is served, and the only place that opens files. The kernel resolves each
// path and refuses to leave the directory, by "..", by an absolute path, by a symbolic link or by a
// magic link. Source: openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS.

#include <zcpool/base/result.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <segment_server/origin/file_version.hpp>

namespace segment_server {

/// A directory, held open.
class root_directory {
public:
    /// Opens a directory, and tries whether this kernel can confine look-ups to it.
    ///
    /// Errors: the errno of open; ENOSYS before Linux 5.6.
    [[nodiscard]] static zcpool::result<root_directory> open(const char* path) noexcept;

    /// Opens a regular file for reading, without following any link on the way.
    ///
    /// Returns: its descriptor. Errors: the errno of openat2; EISDIR for whatever is no regular
    /// file.
    [[nodiscard]] zcpool::result<zcpool::sys::unique_fd> open_file(
        const char* relative) const noexcept;

    /// The present version of a file, with one system call and without opening it. The answer is
    /// compared with what was read before through open_file(), and is no permission to read: links
    /// in directories are followed here.
    [[nodiscard]] zcpool::result<file_version> version(const char* relative) const noexcept;

    [[nodiscard]] int fd() const noexcept { return directory_.get(); }

private:
    explicit root_directory(zcpool::sys::unique_fd directory) noexcept;

    zcpool::sys::unique_fd directory_;
};

}  // namespace segment_server
