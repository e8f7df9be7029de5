// SPDX-License-Identifier: MIT
#include <segment_server/origin/root_directory.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace segment_server {
namespace {

std::unexpected<std::error_code> failed_with(int code) noexcept {
    return std::unexpected{std::error_code{code, std::system_category()}};
}

zcpool::result<zcpool::sys::unique_fd> open_beneath(int directory, const char* relative,
                                                    int flags) noexcept {
    open_how how{};
    how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    for (;;) {
        const long fd = ::syscall(SYS_openat2, directory, relative, &how, sizeof how);
        if (fd >= 0) {
            return zcpool::sys::unique_fd{static_cast<int>(fd)};
        }
        // EAGAIN: a directory was renamed during the look-up, so the kernel could not be sure that
        // it stayed beneath.
        if (errno != EINTR && errno != EAGAIN) {
            return failed_with(errno);
        }
    }
}

}  // namespace

root_directory::root_directory(zcpool::sys::unique_fd directory) noexcept
    : directory_(std::move(directory)) {}

zcpool::result<root_directory> root_directory::open(const char* path) noexcept {
    zcpool::sys::unique_fd directory{::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (directory.get() < 0) {
        return failed_with(errno);
    }
    if (auto probe = open_beneath(directory.get(), ".", O_PATH); !probe) {
        return std::unexpected{probe.error()};
    }
    return root_directory{std::move(directory)};
}

zcpool::result<zcpool::sys::unique_fd> root_directory::open_file(
    const char* relative) const noexcept {
    // O_NONBLOCK, because opening a FIFO would wait for its writer; what is no regular file is
    // closed again at once.
    auto file = open_beneath(directory_.get(), relative, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!file) {
        return file;
    }
    struct stat status{};
    if (::fstat(file->get(), &status) != 0) {
        return failed_with(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return failed_with(EISDIR);
    }
    return file;
}

zcpool::result<file_version> root_directory::version(const char* relative) const noexcept {
    struct stat status{};
    if (::fstatat(directory_.get(), relative, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return failed_with(errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return failed_with(EISDIR);
    }
    return version_of(status);
}

}  // namespace segment_server
