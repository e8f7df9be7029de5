// SPDX-License-Identifier: MIT
#pragma once

// The one file of a byte stream: a header of a page and the ring, in a sealed memfd. Creating it,
// and checking one that came from another process: everything before a byte of it is mapped, and
// the header is copied out once, so that what is used is what was checked.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/ipc/sleep_word.hpp>
#include <zcpool/ring/byte_ring.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/mirror_mapping.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What stands at the beginning of the file, written once before anybody else has it.
struct stream_table {
    static constexpr std::uint64_t expected_magic = 0x6D61'6572'7473'637A;  // "zcstream"
    static constexpr std::uint32_t expected_version = 1;

    std::uint64_t magic = expected_magic;
    std::uint32_t version = expected_version;
    std::uint32_t reserved = 0;
    std::uint64_t capacity = 0;  ///< bytes of the ring
};

/// The first page of the file. Zeroed, but for the table, it is an empty stream, open at both ends.
struct stream_header {
    stream_table table;
    byte_positions positions;
    alignas(2 * cache_line) sleep_word writer;
    alignas(2 * cache_line) sleep_word reader;
};

static_assert(sizeof(stream_header) <= page_size, "the ring begins on the second page");

/// The file, mapped.
struct stream_memory {
    sys::memfd file;
    sys::mirror_mapping pages;

    [[nodiscard]] stream_header& header() const noexcept {
        return *std::launder(reinterpret_cast<stream_header*>(pages.front()));
    }
};

/// Least and most bytes of a stream's ring. A peer makes this process have so many pages.
inline constexpr std::size_t least_stream_capacity = page_size;
inline constexpr std::size_t most_stream_capacity = 1_GiB;

/// Creating and checking the file.
class stream_file {
public:
    /// Makes a file with a ring of `capacity` bytes, every page present, sealed, and maps it.
    ///
    /// Errors: `invalid_options` for a capacity that is no power of two from a page to 1 GiB; the
    /// errno of a call; ENOSPC or ENOMEM when memory is short.
    [[nodiscard]] static result<stream_memory> create(std::size_t capacity) noexcept {
        if (!is_capacity(capacity)) {
            return fail(errc::invalid_options);
        }
        auto file = sys::memfd::create("zcpool-stream", page_size + capacity);
        if (!file) {
            return fail(file.error());
        }
        if (auto done = file->seal(); !done) {
            return fail(done.error());
        }
        auto mapped = map(std::move(*file), capacity);
        if (mapped) {
            auto* const header = ::new (mapped->pages.front()) stream_header{};
            header->table.capacity = capacity;
        }
        return mapped;
    }

    /// Checks a descriptor that another process handed over, and maps it. It is closed when that
    /// fails.
    ///
    /// Errors: `not_a_stream` for what is no regular file in memory of small pages, or whose size
    /// and table do not fit together; `not_sealed`; `wrong_access` for another user's, or another
    /// mode; `wrong_version`; the errno of a call.
    [[nodiscard]] static result<stream_memory> attach(sys::unique_fd fd) noexcept {
        const auto status = descriptor_check::check_file(fd.get());
        if (!status) {
            return fail(status.error() == errc::not_a_pool ? make_error_code(errc::not_a_stream)
                                                           : status.error());
        }
        stream_table table;
        auto got = sys::call(
            [&] { return sys::provider::pread(fd.get(), &table, sizeof table, off_t{0}); });
        if (!got) {
            return fail(got.error());
        }
        if (static_cast<std::size_t>(*got) != sizeof table ||
            table.magic != stream_table::expected_magic) {
            return fail(errc::not_a_stream);
        }
        if (table.version != stream_table::expected_version) {
            return fail(errc::wrong_version);
        }
        if (!is_capacity(table.capacity) ||
            static_cast<std::uint64_t>(status->st_size) != page_size + table.capacity) {
            return fail(errc::not_a_stream);
        }
        const auto capacity = static_cast<std::size_t>(table.capacity);
        return map(sys::memfd::adopt(std::move(fd), page_size + capacity), capacity);
    }

private:
    [[nodiscard]] static bool is_capacity(std::uint64_t bytes) noexcept {
        return bytes >= least_stream_capacity && bytes <= most_stream_capacity &&
               std::has_single_bit(bytes);
    }

    [[nodiscard]] static result<stream_memory> map(sys::memfd file, std::size_t capacity) noexcept {
        // Lack of memory is an error here, and no SIGBUS later.
        if (auto done = file.allocate(0, page_size + capacity); !done) {
            return fail(done.error());
        }
        auto pages = sys::mirror_mapping::shared(file.fd(), page_size, capacity);
        if (!pages) {
            return fail(pages.error());
        }
        // Before Linux 5.14 the pages are mapped at the first touch.
        if (auto done = pages->populate(); !done && !sys::is_errno(done.error(), EINVAL)) {
            return fail(done.error());
        }
        return stream_memory{std::move(file), std::move(*pages)};
    }
};

}  // namespace zcpool::ipc
