// SPDX-License-Identifier: MIT
#pragma once

// The end of a file mapped twice in a row, so that a range that runs over its end goes on at its
// beginning: what a ring needs to hand out contiguous bytes wherever it wraps.
// Source: mmap(2), MAP_FIXED over addresses that were reserved.

#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/mapping.hpp>

namespace zcpool::sys {

/// Sole owner of such a mapping; empty when it holds none.
///
///     file        [ front ][ ring ]
///     addresses   [ front ][ ring ][ ring again ]
///
/// Sharing: who has the file mapped elsewhere sees the same bytes.
class mirror_mapping {
public:
    mirror_mapping() noexcept = default;
    mirror_mapping(mirror_mapping&& other) noexcept
        : pages_(std::move(other.pages_)),
          front_bytes_(std::exchange(other.front_bytes_, 0)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    mirror_mapping& operator=(mirror_mapping&& other) noexcept {
        if (this != &other) {
            pages_ = std::move(other.pages_);
            front_bytes_ = std::exchange(other.front_bytes_, 0);
            bytes_ = std::exchange(other.bytes_, 0);
        }
        return *this;
    }
    ~mirror_mapping() = default;

    /// Maps a file of `front_bytes + bytes` for reading and writing, shared, and its last `bytes`
    /// once more behind that.
    ///
    /// Expects: both are multiples of the page size, and `bytes` is not 0.
    /// Errors: the errno of mmap; ENOMEM for want of address space. Nothing is left mapped.
    [[nodiscard]] static result<mirror_mapping> shared(int fd, std::size_t front_bytes,
                                                       std::size_t bytes) noexcept {
        ZCPOOL_ASSERT(
            bytes != 0 && is_aligned(bytes, page_size) && is_aligned(front_bytes, page_size),
            "a part of a page cannot be mapped");
        constexpr std::size_t most = PTRDIFF_MAX / 4;
        if (bytes > most || front_bytes > most) {
            return fail(std::error_code{ENOMEM, std::system_category()});
        }
        const std::size_t file_bytes = front_bytes + bytes;
        auto pages = mapping::reserved(file_bytes + bytes);
        if (!pages) {
            return fail(pages.error());
        }
        if (auto done = pages->place(0, fd, 0, file_bytes); !done) {
            return fail(done.error());
        }
        if (auto done = pages->place(file_bytes, fd, front_bytes, bytes); !done) {
            return fail(done.error());
        }
        mirror_mapping mapped;
        mapped.pages_ = std::move(*pages);
        mapped.front_bytes_ = front_bytes;
        mapped.bytes_ = bytes;
        return mapped;
    }

    /// Faults all of it in for writing, both times.
    ///
    /// Errors: as mapping::populate().
    [[nodiscard]] result<void> populate() const noexcept {
        return pages_.populate(0, pages_.size());
    }

    /// What lies before the ring, and is there once.
    [[nodiscard]] std::byte* front() const noexcept { return pages_.data(); }
    /// The ring: `2 * size()` bytes from here on may be touched.
    [[nodiscard]] std::byte* data() const noexcept { return pages_.data() + front_bytes_; }
    /// Bytes of the ring, counted once.
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(pages_); }

private:
    mapping pages_;
    std::size_t front_bytes_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace zcpool::sys
