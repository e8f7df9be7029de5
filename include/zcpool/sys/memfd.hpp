// SPDX-License-Identifier: MIT
#pragma once

// Anonymous files in memory: what a pool is made of, because only a file can be sent with
// sendfile(2), handed to another process, and have its pages replaced under the same address.
// Source: memfd_create(2), fcntl(2) "File Sealing", fallocate(2).

#include <linux/falloc.h>

#include <cstddef>
#include <cstdio>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// An owned file in memory, readable and writable by its creator's user only (mode 0600).
class memfd {
public:
    memfd() noexcept = default;
    memfd(memfd&& other) noexcept
        : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, 0)) {}
    memfd& operator=(memfd&& other) noexcept {
        fd_ = std::move(other.fd_);
        bytes_ = std::exchange(other.bytes_, 0);
        return *this;
    }
    ~memfd() = default;

    /// Creates a file of `bytes` zero bytes, close-on-exec and sealable; not executable where the
    /// kernel knows how.
    ///
    /// Errors: the errno of memfd_create, fchmod or ftruncate; ENOSYS and EPERM mean that memfds
    /// are forbidden here.
    [[nodiscard]] static result<memfd> create(const char* name, std::size_t bytes) noexcept {
        const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
        auto fd = call([&] { return provider::memfd_create(name, flags | noexec_seal); });
        if (!fd && is_errno(fd.error(), EINVAL)) {
            fd = call([&] { return provider::memfd_create(name, flags); });
        }
        if (!fd) {
            return fail(fd.error());
        }
        memfd file{unique_fd{*fd}, bytes};
        // A memfd is mode 0666 or 0777 at first and could be reopened through /proc by whoever sees
        // the descriptor.
        if (auto done = call([&] { return provider::fchmod(file.fd(), 0600); }); !done) {
            return fail(done.error());
        }
        if (auto done = call([&] { return provider::ftruncate(file.fd(), as_offset(bytes)); });
            !done) {
            return fail(done.error());
        }
        return file;
    }

    /// Takes over a descriptor of a file of `bytes`, which its owner has checked.
    [[nodiscard]] static memfd adopt(unique_fd fd, std::size_t bytes) noexcept {
        return {std::move(fd), bytes};
    }

    /// Forbids shrinking, growing, and further seals, for everybody and for good: no mapping of it
    /// can SIGBUS because somebody truncates. Punching holes stays allowed: renewal needs it.
    [[nodiscard]] result<void> seal() noexcept {
        auto done = call(
            [&] { return provider::add_seals(fd(), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// Allocates the pages of a range, so that lack of memory is ENOSPC here and not SIGBUS at a
    /// later touch.
    [[nodiscard]] result<void> allocate(std::size_t offset, std::size_t bytes) const noexcept {
        return change(0, offset, bytes);
    }

    /// Takes the pages of a range out of the file: who still references them keeps the old bytes,
    /// the file reads zero.
    ///
    /// Expects: the range lies on page bounds. A part of a large folio would be zeroed in place
    /// instead of detached: the caller keeps the pages small.
    [[nodiscard]] result<void> punch(std::size_t offset, std::size_t bytes) const noexcept {
        return change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
    }

    /// Opens the same file a second time, for reading only.
    ///
    /// Errors: the errno of open; ENOENT where /proc is not mounted.
    [[nodiscard]] result<unique_fd> reopen_read_only() const noexcept {
        char path[32];
        std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd());
        auto opened = call([&] { return provider::open(path, O_RDONLY | O_CLOEXEC); });
        if (!opened) {
            return fail(opened.error());
        }
        return unique_fd{*opened};
    }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    // Linux 6.3. An older C library does not name it and an older kernel answers EINVAL.
    static constexpr unsigned noexec_seal = 0x0008U;

    memfd(unique_fd fd, std::size_t bytes) noexcept : fd_(std::move(fd)), bytes_(bytes) {}

    [[nodiscard]] result<void> change(int mode, std::size_t offset,
                                      std::size_t bytes) const noexcept {
        auto done = call(
            [&] { return provider::fallocate(fd(), mode, as_offset(offset), as_offset(bytes)); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    [[nodiscard]] static off_t as_offset(std::size_t bytes) noexcept {
        return static_cast<off_t>(bytes);
    }

    unique_fd fd_;
    std::size_t bytes_ = 0;
};

}  // namespace zcpool::sys
