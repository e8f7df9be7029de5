// SPDX-License-Identifier: MIT
#pragma once

// A region of the address space that is unmapped once, and what may be asked of its pages.
// Source: mmap(2), madvise(2) (MADV_POPULATE_WRITE: Linux 5.14).

#include <cstddef>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// Sole owner of a mapping; empty when it holds none.
class mapping {
public:
    mapping() noexcept = default;
    mapping(mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    mapping& operator=(mapping&& other) noexcept {
        if (this != &other) {
            reset();
            address_ = std::exchange(other.address_, nullptr);
            bytes_ = std::exchange(other.bytes_, 0);
        }
        return *this;
    }
    ~mapping() { reset(); }

    /// Maps a whole file for reading and writing, shared.
    ///
    /// Errors: the errno of mmap; ENOMEM for want of address space.
    [[nodiscard]] static result<mapping> shared(int fd, std::size_t bytes) noexcept {
        return map(bytes, MAP_SHARED | MAP_NORESERVE, fd);
    }

    /// Maps private zero pages.
    ///
    /// Errors: the errno of mmap.
    [[nodiscard]] static result<mapping> anonymous(std::size_t bytes) noexcept {
        return map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
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

    /// Faults a range in for writing, so that lack of memory is an error value and later touches
    /// cost nothing.
    ///
    /// Errors: ENOMEM or EFAULT when memory is short; EINVAL before Linux 5.14.
    [[nodiscard]] result<void> populate(std::size_t offset, std::size_t bytes) const noexcept {
        return advise(offset, bytes, populate_write);
    }

    /// Leaves the mapping to the caller, who ends it with unmap().
    [[nodiscard]] std::byte* detach() noexcept {
        bytes_ = 0;
        return std::exchange(address_, nullptr);
    }
    /// Ends a mapping that was detached.
    static void unmap(std::byte* address, std::size_t bytes) noexcept {
        static_cast<void>(provider::munmap(address, bytes));
    }

    [[nodiscard]] std::byte* data() const noexcept { return address_; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    [[nodiscard]] explicit operator bool() const noexcept { return address_ != nullptr; }

    /// Unmaps, if anything is mapped.
    void reset() noexcept {
        if (address_ != nullptr) {
            unmap(address_, bytes_);
            address_ = nullptr;
            bytes_ = 0;
        }
    }

private:
    static constexpr int populate_write =
        23;  // MADV_POPULATE_WRITE, which older C libraries do not name

    [[nodiscard]] static result<mapping> map(std::size_t bytes, int flags, int fd) noexcept {
        auto address = call(
            [&] { return provider::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0); });
        if (!address) {
            return fail(address.error());
        }
        mapping mapped;
        mapped.address_ = static_cast<std::byte*>(*address);
        mapped.bytes_ = bytes;
        return mapped;
    }

    std::byte* address_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace zcpool::sys
