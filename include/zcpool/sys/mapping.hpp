// SPDX-License-Identifier: MIT
#pragma once

// A region of the address space that is unmapped once, and what may be asked of its pages.
// Source: mmap(2), madvise(2) (MADV_POPULATE_WRITE: Linux 5.14).

#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// Sole owner of a mapping; empty when it holds none.
class mapping {
public:
    mapping() noexcept = default;
    mapping(mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)),
          guard_(std::exchange(other.guard_, 0)) {}
    mapping& operator=(mapping&& other) noexcept {
        if (this != &other) {
            reset();
            address_ = std::exchange(other.address_, nullptr);
            bytes_ = std::exchange(other.bytes_, 0);
            guard_ = std::exchange(other.guard_, 0);
        }
        return *this;
    }
    ~mapping() { reset(); }

    /// Maps a whole file for reading and writing, shared.
    ///
    /// `guard`: bytes before and behind it that may not be touched, whole pages.
    /// Errors: the errno of mmap; ENOMEM for want of address space.
    [[nodiscard]] static result<mapping> shared(int fd, std::size_t bytes,
                                                std::size_t guard = 0) noexcept {
        constexpr int flags = MAP_SHARED | MAP_NORESERVE;
        if (guard == 0) {
            return map(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd);
        }
        return guarded(bytes, guard, page_size, flags, fd);
    }

    /// Maps a whole file for reading: a write to it is SIGSEGV.
    ///
    /// Errors: as shared().
    [[nodiscard]] static result<mapping> read_only(int fd, std::size_t bytes) noexcept {
        return map(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd);
    }

    /// Maps private zero pages.
    ///
    /// Errors: the errno of mmap.
    [[nodiscard]] static result<mapping> anonymous(std::size_t bytes) noexcept {
        return map(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    }

    /// Takes addresses that nobody may touch: no memory, and none is set aside.
    ///
    /// Errors: the errno of mmap; ENOMEM for want of address space.
    [[nodiscard]] static result<mapping> reserved(std::size_t bytes) noexcept {
        return map(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    }

    /// Maps a whole file, or private zero pages where `fd` is -1, at a multiple of `alignment`, as
    /// huge pages must lie. The page on either side may not be touched: neighbours of one kind
    /// would become one mapping, about which the system reports as a whole.
    ///
    /// Expects: `alignment` is a power of two, and divides `bytes`.
    /// `more_flags`: MAP_HUGETLB, or none.
    /// Errors: as shared().
    [[nodiscard]] static result<mapping> aligned(int fd, std::size_t bytes, std::size_t alignment,
                                                 int more_flags = 0) noexcept {
        const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_NORESERVE;
        return guarded(bytes, page_size, alignment, kind | more_flags, fd);
    }

    /// Puts a part of a file, for reading and writing, shared, in the place of a part of this.
    ///
    /// Expects: both parts begin on page bounds, and the one lies in the mapping.
    /// Errors: the errno of mmap; nobody may then touch the part.
    [[nodiscard]] result<void> place(std::size_t at, int fd, std::size_t offset,
                                     std::size_t bytes) const noexcept {
        constexpr int flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED;
        auto done = call([&] {
            return provider::mmap(address_ + at, bytes, PROT_READ | PROT_WRITE, flags, fd,
                                  static_cast<off_t>(offset));
        });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// Leaves the memory as it is, without unmapping it: in a forked child that has none of it, and
    /// may have something else at its address.
    void forget() noexcept {
        address_ = nullptr;
        bytes_ = 0;
        guard_ = 0;
    }

    /// Gives the kernel a hint or an order about a range (MADV_x).
    ///
    /// Expects: the range lies in the mapping, `offset` on a page bound.
    /// Errors: the errno of madvise.
    [[nodiscard]] result<void> advise(std::size_t offset, std::size_t bytes,
                                      int advice) const noexcept {
        auto done = call([&] { return provider::madvise(address_ + offset, bytes, advice); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// Lets nobody touch a range any more: SIGSEGV, or EFAULT in a system call.
    ///
    /// Expects: whole pages of the mapping.
    /// Errors: the errno of mprotect; ENOMEM for more parts than vm.max_map_count.
    [[nodiscard]] result<void> forbid(std::size_t offset, std::size_t bytes) const noexcept {
        auto done = call([&] { return provider::mprotect(address_ + offset, bytes, PROT_NONE); });
        if (!done) {
            return fail(done.error());
        }
        return {};
    }

    /// Faults a range in for writing, so that lack of memory is an error value and later touches
    /// cost nothing.
    ///
    /// Errors: ENOMEM or EFAULT when memory is short; EINVAL before Linux 5.14.
    [[nodiscard]] result<void> populate(std::size_t offset, std::size_t bytes) const noexcept {
        return advise(offset, bytes, populate_write);
    }

    /// Leaves the mapping to the caller, who ends it with unmap().
    ///
    /// Expects: one without guards.
    [[nodiscard]] std::byte* detach() noexcept {
        bytes_ = 0;
        return std::exchange(address_, nullptr);
    }
    /// Ends a mapping that was detached.
    static void unmap(std::byte* address, std::size_t bytes) noexcept {
        unpoison(address, bytes);  // for whatever is mapped there next
        static_cast<void>(provider::munmap(address, bytes));
    }

    [[nodiscard]] std::byte* data() const noexcept { return address_; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    [[nodiscard]] explicit operator bool() const noexcept { return address_ != nullptr; }

    /// Unmaps, if anything is mapped.
    void reset() noexcept {
        if (address_ != nullptr) {
            unmap(address_ - guard_, bytes_ + 2 * guard_);
            address_ = nullptr;
            bytes_ = 0;
            guard_ = 0;
        }
    }

private:
    static constexpr int populate_write =
        23;  // MADV_POPULATE_WRITE, which older C libraries do not name

    /// Maps at a multiple of `alignment`, with `guard` bytes of no use on either side.
    [[nodiscard]] static result<mapping> guarded(std::size_t bytes, std::size_t guard,
                                                 std::size_t alignment, int flags,
                                                 int fd) noexcept {
        const std::size_t most = bytes + 2 * guard + (alignment - page_size);
        auto whole = reserved(most);
        if (!whole) {
            return whole;
        }
        const auto begin = reinterpret_cast<std::uintptr_t>(whole->data());
        const std::size_t before = align_up(begin + guard, alignment) - guard - begin;
        const std::size_t behind = most - before - bytes - 2 * guard;
        std::byte* const kept = whole->detach() + before;
        if (before != 0) {
            unmap(kept - before, before);
        }
        if (behind != 0) {
            unmap(kept + bytes + 2 * guard, behind);
        }
        auto middle = map(kept + guard, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd);
        if (middle) {
            middle->guard_ = guard;
        } else {
            unmap(kept, bytes + 2 * guard);
        }
        return middle;
    }

    [[nodiscard]] static result<mapping> map(std::byte* at, std::size_t bytes, int protection,
                                             int flags, int fd) noexcept {
        auto address = call([&] { return provider::mmap(at, bytes, protection, flags, fd, 0); });
        if (!address) {
            return fail(address.error());
        }
        // A forked child has no slots, but what its parent said of their addresses.
        unpoison(*address, bytes);
        mapping mapped;
        mapped.address_ = static_cast<std::byte*>(*address);
        mapped.bytes_ = bytes;
        return mapped;
    }

    std::byte* address_ = nullptr;
    std::size_t bytes_ = 0;
    std::size_t guard_ = 0;  ///< bytes on either side
};

}  // namespace zcpool::sys
