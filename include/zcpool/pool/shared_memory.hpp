// SPDX-License-Identifier: MIT
#pragma once

// A file in memory and its mapping: what a pool's data and control are, and how pages are replaced
// under an address that stays. Source: fallocate(2) FALLOC_FL_PUNCH_HOLE, madvise(2)
// MADV_POPULATE_WRITE and MADV_NOHUGEPAGE.

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/pipe.hpp>

namespace zcpool {

/// An owned memfd, mapped as a whole, populated and sealed.
///
/// Not for memory of other processes, which is attached and checked, not created.
class shared_memory {
public:
    shared_memory() noexcept = default;

    /// Creates `bytes` of zeroed memory with every page present.
    ///
    /// `small_pages`: keep to pages of 4 KiB, without which renew() of less than a huge page would
    /// not detach anything. Errors: the errno of what failed; ENOMEM, ENOSPC or EFAULT when memory
    /// is short.
    [[nodiscard]] static result<shared_memory> create(const char* name, std::size_t bytes,
                                                      bool small_pages) noexcept {
        auto file = sys::memfd::create(name, bytes);
        if (!file) {
            return fail(file.error());
        }
        auto pages = sys::mapping::shared(file->fd(), bytes);
        if (!pages) {
            return fail(pages.error());
        }
        shared_memory memory{std::move(*file), std::move(*pages)};
        if (small_pages) {
            // A kernel without huge pages refuses the advice with EINVAL; verify_renewal() is the
            // proof either way.
            static_cast<void>(memory.pages_.advise(0, bytes, MADV_NOHUGEPAGE));
        }
        if (auto done = memory.fill(0, bytes); !done) {
            return fail(done.error());
        }
        if (auto done = memory.file_.seal(); !done) {
            return fail(done.error());
        }
        return memory;
    }

    /// Replaces the pages of a range by zeroed ones. Whoever still references the old pages (a
    /// socket's queue, a pipe) keeps the old bytes.
    ///
    /// Expects: page bounds; nobody reads or writes the range through a mapping.
    /// Errors: the errno of fallocate or madvise. The range must then not be used before a renew()
    /// of it succeeds. Complexity: two system calls and a page fault's work for each page.
    [[nodiscard]] result<void> renew(std::size_t offset, std::size_t bytes) const noexcept {
        if (auto done = file_.punch(offset, bytes); !done) {
            return done;
        }
        return fill(offset, bytes);
    }

    /// Proves on a range of free memory that renew() really detaches: puts its first page into a
    /// pipe, renews, writes something else, and reads what the pipe holds.
    ///
    /// Returns: whether the pipe kept the old bytes. Errors: the errno of what failed.
    [[nodiscard]] result<bool> verify_renewal(std::size_t offset,
                                              std::size_t bytes) const noexcept {
        constexpr std::byte before{0x5A};
        constexpr std::byte after{0xA5};
        auto pipe = sys::pipe::create();
        if (!pipe) {
            return fail(pipe.error());
        }
        std::memset(data() + offset, static_cast<int>(before), page_size);
        if (auto moved = pipe->fill_from(fd(), offset, page_size); !moved) {
            return fail(moved.error());
        }
        if (auto done = renew(offset, bytes); !done) {
            return fail(done.error());
        }
        std::memset(data() + offset, static_cast<int>(after), page_size);
        std::byte held[page_size];
        auto got = pipe->read(held, sizeof held);
        std::memset(data() + offset, 0, page_size);
        if (!got) {
            return fail(got.error());
        }
        for (std::size_t i = 0; i < *got; ++i) {
            if (held[i] != before) {
                return false;
            }
        }
        return *got != 0;
    }

    [[nodiscard]] std::byte* data() const noexcept { return pages_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return pages_.size(); }
    [[nodiscard]] int fd() const noexcept { return file_.fd(); }
    [[nodiscard]] const sys::mapping& pages() const noexcept { return pages_; }

private:
    shared_memory(sys::memfd file, sys::mapping pages) noexcept
        : file_(std::move(file)), pages_(std::move(pages)) {}

    [[nodiscard]] result<void> fill(std::size_t offset, std::size_t bytes) const noexcept {
        auto done = pages_.populate(offset, bytes);
        if (!done && sys::is_errno(done.error(), EINVAL)) {
            // Before Linux 5.14: the pages are allocated in the file, and mapped at the first
            // touch.
            return file_.allocate(offset, bytes);
        }
        return done;
    }

    sys::memfd file_;
    sys::mapping pages_;
};

}  // namespace zcpool
