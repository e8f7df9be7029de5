// SPDX-License-Identifier: MIT
#pragma once

// Pools that an io_uring was told of once, so that a send by reference need not look its pages up,
// pin them and charge them each time. Comes with the CMake target zcpool::uring.
// Source: io_uring_register(2), IORING_REGISTER_BUFFERS2, IORING_REGISTER_CLONE_BUFFERS (6.12).

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/registered_pages.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sink {

/// What became of the wish to register pools.
struct registration_report {
    std::size_t bytes = 0;         ///< of the pools, all together
    bool is_cloned = false;        ///< from another ring, and so not charged again
    std::error_code refusal;       ///< why it was refused; empty when it was not
    std::uint64_t soft_limit = 0;  ///< RLIMIT_MEMLOCK in bytes; UINT64_MAX: unlimited
    char text[320] = "";           ///< the value, the limit and the remedy, where it was refused
};

/// The registered buffers of an io_uring: the slots of pools, in pieces of at most 1 GiB, as the
/// kernel takes no more.
///
/// Sharing: one thread, that of the ring.
class fixed_buffers {
public:
    /// Bytes of the largest piece.
    static constexpr std::size_t largest_piece = std::size_t{1} << 30;
    /// Pieces of all pools together.
    static constexpr std::size_t most_pieces = 64;

    /// `each`: bytes of a piece, whole pages, at most largest_piece.
    explicit fixed_buffers(std::size_t each = largest_piece) noexcept : piece_bytes_(each) {}
    fixed_buffers(const fixed_buffers&) = delete;
    fixed_buffers& operator=(const fixed_buffers&) = delete;

    /// Registers a pool's slots with a ring. All or nothing. Of a pool that it has, does nothing.
    ///
    /// `ring`: the same one each time; it must be closed before this ends.
    /// Errors: as registered_pages::of(); `unsupported` without SEND_ZC (Linux 6.0); `too_large`
    /// beyond most_pieces; the errno of io_uring_register, ENOMEM beyond RLIMIT_MEMLOCK.
    [[nodiscard]] result<void> add(sys::uring& ring, pool_view pool,
                                   registration_report& report) noexcept {
        auto pages = registered_pages::of(pool);
        if (!pages) {
            return refuse(report, pages.error(), pool.report().data_bytes,
                          "its pages may be replaced",
                          "create it with lending::never and without checking, and neither trim "
                          "nor share it");
        }
        if (find(pages->bytes().data(), 1)) {
            return {};
        }
        return add(ring, std::move(*pages), report);
    }

    /// Registers with a ring what another one has: by cloning where the kernel can, else again.
    ///
    /// Expects: this has none yet.
    /// Errors: as add().
    [[nodiscard]] result<void> add_all_of(sys::uring& ring, const fixed_buffers& other,
                                          const sys::uring& other_ring,
                                          registration_report& report) noexcept {
        ZCPOOL_ASSERT(count_ == 0, "a ring that has registered buffers can clone none");
        if (other.count_ != 0 && !has_table_ && ring.clone_buffers(other_ring)) {
            has_table_ = true;
            for (const piece& each : other.pieces()) {
                keep({each.memory,
                      each.pages.has_value() ? std::optional{each.pages->share()} : std::nullopt},
                     report);
            }
            report.is_cloned = true;
            return {};
        }
        for (const piece& each : other.pieces()) {
            if (each.pages) {
                if (auto done = add(ring, each.pages->share(), report); !done) {
                    return done;
                }
            }
        }
        return {};
    }

    /// The place in the ring's table of the piece where these bytes lie; nothing where they lie in
    /// none, or across the end of one.
    /// Complexity: as many steps as there are pieces.
    [[nodiscard]] std::optional<std::uint16_t> find(const std::byte* data,
                                                    std::size_t size) const noexcept {
        for (std::size_t i = 0; i < count_; ++i) {
            const auto offset = reinterpret_cast<std::uintptr_t>(data) -
                                reinterpret_cast<std::uintptr_t>(pieces_[i].memory.data());
            const std::size_t bytes = pieces_[i].memory.size();
            if (offset < bytes && size <= bytes - offset) {
                return static_cast<std::uint16_t>(i);
            }
        }
        return std::nullopt;
    }

private:
    struct piece {
        std::span<std::byte> memory;
        std::optional<registered_pages> pages;  ///< of the pool's first piece
    };

    [[nodiscard]] std::span<const piece> pieces() const noexcept {
        return std::span{pieces_}.first(count_);
    }

    [[nodiscard]] result<void> add(sys::uring& ring, registered_pages pages,
                                   registration_report& report) noexcept {
        const std::span<std::byte> all = pages.bytes();
        const std::size_t needed = (all.size() + piece_bytes_ - 1) / piece_bytes_;
        if (needed > most_pieces - count_) {
            return refuse(report, make_error_code(errc::too_large), all.size(),
                          "more than is left of 64 pieces of 1 GiB", "use another ring for it");
        }
        const auto piece_at = [&](std::size_t i) {
            const std::size_t begin = i * piece_bytes_;
            return all.subspan(begin, std::min(piece_bytes_, all.size() - begin));
        };
        if (!has_table_) {
            if (!ring.supports(sys::op_send_zc)) {
                return refuse(report, make_error_code(errc::unsupported), all.size(), "no SEND_ZC",
                              "this takes Linux 6.0");
            }
            if (auto done = ring.reserve_buffers(most_pieces); !done) {
                return refuse(report, done.error(), all.size(), std::strerror(done.error().value()),
                              "this takes Linux 5.19");
            }
            has_table_ = true;
        }
        for (std::size_t i = 0; i < needed; ++i) {
            const auto place = static_cast<unsigned>(count_ + i);
            if (auto done = ring.set_buffer(place, piece_at(i)); !done) {
                for (unsigned each = static_cast<unsigned>(count_); each < place; ++each) {
                    static_cast<void>(ring.set_buffer(each, {}));
                }
                return refuse(report, done.error(), all.size(), std::strerror(done.error().value()),
                              "raise RLIMIT_MEMLOCK (`ulimit -l`, LimitMEMLOCK=) above what all "
                              "rings of this user have registered, or grant CAP_IPC_LOCK");
            }
        }
        for (std::size_t i = 0; i < needed; ++i) {
            // NOLINTNEXTLINE(bugprone-use-after-move): moved in the first round alone.
            keep({piece_at(i), i == 0 ? std::optional{std::move(pages)} : std::nullopt}, report);
        }
        return {};
    }

    void keep(piece registered, registration_report& report) noexcept {
        report.bytes += registered.memory.size();
        pieces_[count_++] = std::move(registered);
    }

    static result<void> refuse(registration_report& report, std::error_code why, std::size_t bytes,
                               const char* reason, const char* remedy) noexcept {
        report.refusal = why;
        rlimit limit{};
        if (sys::call([&] { return sys::provider::getrlimit_memlock(&limit); })) {
            report.soft_limit = limit.rlim_cur;
        }
        std::snprintf(report.text, sizeof report.text,
                      "registering a pool of %zu bytes with an io_uring was refused (%s), with "
                      "RLIMIT_MEMLOCK at %" PRIu64 " bytes; %s",
                      bytes, reason, report.soft_limit, remedy);
        return fail(why);
    }

    std::array<piece, most_pieces> pieces_;
    std::size_t piece_bytes_;
    std::size_t count_ = 0;
    bool has_table_ = false;
};

}  // namespace zcpool::sink
