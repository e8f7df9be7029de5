// SPDX-License-Identifier: MIT
#pragma once

// A file in memory and its mapping: what a pool's data and control are, and how pages are replaced
// under an address that stays. Arenas may also do without the file.
//
// Source: fallocate(2) FALLOC_FL_PUNCH_HOLE, madvise(2) MADV_POPULATE_WRITE, MADV_NOHUGEPAGE,
// MADV_HUGEPAGE, MADV_DONTNEED_LOCKED and MADV_DONTFORK.

#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/byte_pattern.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/pipe.hpp>

namespace zcpool {

/// What the pages of a memory must be able to do. Those of slots are kept to 4 KiB, since a part of
/// a larger one cannot be replaced: every pool may come to that, once it is shared.
enum class page_use : std::uint8_t {
    fixed,      ///< nothing, where the system cannot replace them
    renewable,  ///< be replaced
    control,    ///< stay visible in a forked child, which must find out that the slots do not
    huge,       ///< be replaced, and be huge: whole ones are replaced, never a part of one
};

/// An owned memfd, mapped as a whole, populated and sealed. What is not control memory is not
/// mapped in a forked child: there a slot could be another owner's at any time.
class shared_memory {
public:
    shared_memory() noexcept = default;

    /// Creates `bytes` of zeroed memory with every page present.
    ///
    /// `use`: what the pages must be able to do.
    /// `guard`: bytes around the mapping that may not be touched, whole pages.
    /// Errors: the errno of what failed; ENOMEM, ENOSPC or EFAULT when memory is short;
    /// `unsupported` for renewable pages before Linux 5.14.
    [[nodiscard]] static result<shared_memory> create(const char* name, std::size_t bytes,
                                                      page_use use,
                                                      std::size_t guard = 0) noexcept {
        auto file = sys::memfd::create(name, bytes);
        if (!file) {
            return fail(file.error());
        }
        auto pages = sys::mapping::shared(file->fd(), bytes, guard);
        if (!pages) {
            return fail(pages.error());
        }
        shared_memory memory{std::move(*file), std::move(*pages), use};
        if (auto done = memory.prepare(); !done) {
            return fail(done.error());
        }
        if (auto done = memory.file_.seal(); !done) {
            return fail(done.error());
        }
        return memory;
    }

    /// Likewise for arenas, where huge pages lie, with the wish for such pages: whether it was
    /// granted says smaps (sys/smaps.hpp).
    ///
    /// Expects: `bytes` is a multiple of a huge page.
    /// Errors: as create(); ENOMEM for hugetlb when too few pages are reserved.
    [[nodiscard]] static result<shared_memory> create_huge(const char* name, std::size_t bytes,
                                                           arena_backing backing) noexcept {
        sys::memfd file;
        if (backing == arena_backing::memfd) {
            auto made = sys::memfd::create(name, bytes);
            if (!made) {
                return fail(made.error());
            }
            file = std::move(*made);
        }
        auto pages = sys::mapping::aligned(file.fd(), bytes, huge_page_size,
                                           backing == arena_backing::hugetlb ? MAP_HUGETLB : 0);
        if (!pages) {
            return fail(pages.error());
        }
        shared_memory memory{std::move(file), std::move(*pages), page_use::huge};
        if (auto done = memory.prepare(); !done) {
            return fail(done.error());
        }
        if (memory.has_file()) {
            if (auto done = memory.file_.seal(); !done) {
                return fail(done.error());
            }
        }
        return memory;
    }

    /// Keeps the pages out of core dumps.
    [[nodiscard]] result<void> exclude_from_core_dumps() const noexcept {
        return pages_.advise(0, pages_.size(), MADV_DONTDUMP);
    }

    /// Maps a file of another process that was checked (ipc/descriptors.hpp), with every page
    /// present; also those that were trimmed.
    ///
    /// Errors: as create().
    [[nodiscard]] static result<shared_memory> adopt(sys::memfd file, page_use use) noexcept {
        auto pages = sys::mapping::shared(file.fd(), file.bytes());
        if (!pages) {
            return fail(pages.error());
        }
        shared_memory memory{std::move(file), std::move(*pages), use};
        if (auto done = memory.prepare(); !done) {
            return fail(done.error());
        }
        return memory;
    }

    /// Gives the pages of a range back to the system; touched before a renew() of it, it may end
    /// the process for want of memory.
    ///
    /// Expects: page bounds, those of huge pages where they are huge; nobody reads or writes the
    /// range through a mapping.
    /// Errors: the errno of fallocate; without a file, of madvise: EINVAL before Linux 5.18.
    [[nodiscard]] result<void> discard(std::size_t offset, std::size_t bytes) const noexcept {
        ZCPOOL_ASSERT(use_ != page_use::huge || is_aligned(offset | bytes, huge_page_size),
                      "a part of a huge page cannot be replaced");
        // Not MADV_DONTNEED, which refuses pages that are locked.
        return has_file() ? file_.punch(offset, bytes)
                          : pages_.advise(offset, bytes, drop_even_locked);
    }

    /// Replaces the pages of a range by zeroed ones. Whoever still references the old pages (a
    /// socket's queue, a pipe) keeps the old bytes.
    ///
    /// Expects: as discard().
    /// Errors: the errno of fallocate or madvise. The range must then not be used before a renew()
    /// of it succeeds.
    /// Complexity: two system calls and a page fault's work for each page.
    [[nodiscard]] result<void> renew(std::size_t offset, std::size_t bytes) const noexcept {
        if (auto done = discard(offset, bytes); !done) {
            return done;
        }
        return fill(offset, bytes);
    }

    /// Makes every page of a range present; what is in those that are stays.
    ///
    /// Errors: as create().
    [[nodiscard]] result<void> fill(std::size_t offset, std::size_t bytes) const noexcept {
        auto done = pages_.populate(offset, bytes);
        if (done || !sys::is_errno(done.error(), EINVAL)) {
            return done;
        }
        // Before Linux 5.14 the pages can only be allocated in the file, and are mapped at the
        // first touch. That does not heed MADV_NOHUGEPAGE: a slot may end in the middle of a large
        // page, whose part no punch would detach.
        if (use_ == page_use::renewable || use_ == page_use::huge) {
            return fail(errc::unsupported);
        }
        return file_.allocate(offset, bytes);
    }

    /// Proves on a range of free memory that renew() really detaches: puts its first and its last
    /// page into a pipe, renews, writes something else, and reads what the pipe holds.
    ///
    /// Ensures: the range is zero, as far as it has pages.
    /// Returns: whether the pipe kept the old bytes.
    /// Errors: `unsupported` before Linux 5.14; the errno of what failed.
    [[nodiscard]] result<bool> verify_renewal(std::size_t offset,
                                              std::size_t bytes) const noexcept {
        constexpr int before = 0x5A;
        constexpr int after = 0xA5;
        // fill() may know another way, but not one that keeps pages small.
        if (auto done = pages_.populate(offset, bytes); !done) {
            return fail(sys::is_errno(done.error(), EINVAL) ? make_error_code(errc::unsupported)
                                                            : done.error());
        }
        const std::size_t probed[] = {offset, offset + bytes - page_size};
        const auto write = [&](int value) {
            for (const std::size_t page : probed) {
                std::memset(data() + page, value, page_size);
            }
        };
        auto pipe = sys::pipe::create();
        if (!pipe) {
            return fail(pipe.error());
        }
        write(before);
        for (const std::size_t page : probed) {
            const iovec part{data() + page, page_size};
            auto moved = has_file() ? pipe->fill_from(fd(), page, page_size)
                                    : pipe->fill_from(array_view{&part, 1});
            if (!moved) {
                write(0);
                return fail(moved.error());
            }
        }
        if (auto done = discard(offset, bytes); !done) {
            write(0);
            return fail(done.error());
        }
        if (auto done = fill(offset, bytes); !done) {
            return fail(done.error());
        }
        write(after);
        std::byte held[2 * page_size];
        auto got = pipe->read(held, sizeof held);
        write(0);
        if (!got) {
            return fail(got.error());
        }
        return *got == sizeof held && first_other(held, std::byte{before}) == sizeof held;
    }

    /// As sys::mapping::forget().
    void forget() noexcept { pages_.forget(); }

    [[nodiscard]] const sys::memfd& file() const noexcept { return file_; }
    [[nodiscard]] std::byte* data() const noexcept { return pages_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return pages_.size(); }
    /// -1 where there is no file.
    [[nodiscard]] int fd() const noexcept { return file_.fd(); }
    [[nodiscard]] bool has_file() const noexcept { return fd() >= 0; }
    [[nodiscard]] const sys::mapping& pages() const noexcept { return pages_; }

private:
    shared_memory(sys::memfd file, sys::mapping pages, page_use use) noexcept
        : file_(std::move(file)), pages_(std::move(pages)), use_(use) {}

    /// Advice on a new mapping, and its pages.
    [[nodiscard]] result<void> prepare() const noexcept {
        if (use_ != page_use::control) {
            // A kernel without huge pages refuses the advice with EINVAL, and one that reserves
            // them needs none; verify_renewal() is the proof either way.
            static_cast<void>(
                pages_.advise(0, size(), use_ == page_use::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
            if (auto done = pages_.advise(0, size(), MADV_DONTFORK); !done) {
                return done;
            }
        }
        return fill(0, size());
    }

    // MADV_DONTNEED_LOCKED, which older C libraries do not name.
    static constexpr int drop_even_locked = 24;

    sys::memfd file_;
    sys::mapping pages_;
    page_use use_ = page_use::fixed;
};

}  // namespace zcpool
