// SPDX-License-Identifier: MIT
#pragma once

// A pool as registered buffers of an Asio context. Comes with the CMake target zcpool::asio.
//
// Asio uses them where it was built over io_uring (ASIO_HAS_IO_URING, and ASIO_DISABLE_EPOLL for
// sockets; a program that says so links liburing itself). Elsewhere the same code does the same
// reads and writes, and nothing is registered.
// Source: asio/buffer_registration.hpp of Asio 1.22.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/buffer_registration.hpp>
#include <asio/error_code.hpp>
#include <asio/execution_context.hpp>
#include <asio/registered_buffer.hpp>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/registered_pages.hpp>

namespace zcpool::adapt {

/// The promise that a pool's pages stay, and their registration with an Asio context.
///
/// Sharing: as the context's services; one thread at a time. The context must outlive it, and it
/// the operations. Asio wants one registration a context.
class pool_registration {
public:
    /// Whether this build of Asio registers anything.
#if defined(ASIO_HAS_IO_URING)
    static constexpr bool uses_io_uring = true;
#else
    static constexpr bool uses_io_uring = false;
#endif

    /// Registers all slots of a pool.
    ///
    /// Errors: as registered_pages::of(); what io_uring_register(2) refused (ENOMEM beyond
    /// RLIMIT_MEMLOCK, EBUSY for a second registration). May throw std::bad_alloc.
    [[nodiscard]] static result<pool_registration> create(asio::execution_context& context,
                                                          pool_view pool) {
        auto pages = registered_pages::of(pool);
        if (!pages) {
            return fail(pages.error());
        }
        try {
            return pool_registration{context, std::move(*pages)};
        } catch (const std::system_error& refused) {
            // Asio's category of errno is not the standard's.
            return fail(refused.code().category() == asio::system_category()
                            ? std::error_code{refused.code().value(), std::system_category()}
                            : refused.code());
        }
    }
    pool_registration(pool_registration&&) noexcept = default;
    pool_registration& operator=(pool_registration&&) = delete;
    ~pool_registration() = default;

    /// The bytes of a slice, for a write from registered memory; nothing where they do not lie in
    /// this pool: then const_buffer().
    /// Expects: the slice, or a copy of it, outlives the operation.
    [[nodiscard]] std::optional<asio::const_registered_buffer> const_buffer(
        const slice& of) const noexcept {
        const auto found = find(of.data(), of.size());
        return found ? std::optional<asio::const_registered_buffer>{*found} : std::nullopt;
    }
    void const_buffer(const slice&&) const = delete;

    /// What is left to fill of a buffer, likewise.
    [[nodiscard]] std::optional<asio::mutable_registered_buffer> mutable_buffer(
        buffer& into) const noexcept {
        const std::span<std::byte> room = into.space();
        return find(room.data(), room.size());
    }
    void mutable_buffer(buffer&&) const = delete;

private:
    static constexpr std::size_t largest_piece = 1_GiB;  // the kernel takes no more in one

    pool_registration(asio::execution_context& context, registered_pages pages)
        : pages_(std::move(pages)), registered_(context, pieces_of(pages_.bytes())) {}

    [[nodiscard]] static std::vector<asio::mutable_buffer> pieces_of(std::span<std::byte> all) {
        std::vector<asio::mutable_buffer> pieces;
        for (; !all.empty(); all = all.subspan(std::min(largest_piece, all.size()))) {
            pieces.emplace_back(all.data(), std::min(largest_piece, all.size()));
        }
        return pieces;
    }

    [[nodiscard]] std::optional<asio::mutable_registered_buffer> find(
        const std::byte* data, std::size_t size) const noexcept {
        const std::size_t offset = reinterpret_cast<std::uintptr_t>(data) -
                                   reinterpret_cast<std::uintptr_t>(pages_.bytes().data());
        if (size == 0 || offset >= pages_.bytes().size()) {
            return std::nullopt;
        }
        const asio::mutable_registered_buffer piece =
            registered_.begin()[static_cast<std::ptrdiff_t>(offset / largest_piece)];
        const std::size_t within = offset % largest_piece;
        // A slot that lies across the end of a piece is in neither.
        return size > piece.size() - within ? std::nullopt
                                            : std::optional{asio::buffer(piece + within, size)};
    }

    registered_pages pages_;  // outlives the registration
    asio::buffer_registration<std::vector<asio::mutable_buffer>> registered_;
};

}  // namespace zcpool::adapt
