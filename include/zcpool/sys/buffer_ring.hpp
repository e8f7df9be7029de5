// SPDX-License-Identifier: MIT
#pragma once

// Memory that an io_uring takes from, a piece for each thing that comes, when it comes: a ring of
// provided buffers. Not part of zcpool.hpp: it needs liburing and comes with the CMake target
// zcpool::uring.
//
// The kernel is given addresses. It neither pins nor remembers the pages behind them, as it does
// for registered buffers, but copies to whatever lies there when a request completes.
// Source: io_uring_register(2) IORING_REGISTER_PBUF_RING (Linux 5.19).

#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/uring.hpp>

namespace zcpool::sys {

/// A ring of provided buffers of an io_uring; empty when it was moved from.
///
/// Expects: the io_uring outlives it, and nothing is in flight that could take from it when it
/// ends.
/// Sharing: one thread, that of the io_uring.
class buffer_ring {
public:
    /// The kernel's limit.
    static constexpr unsigned most_entries = 32'768;

    /// Registers one, in which nothing is.
    ///
    /// `entries`: a power of two. `group`: its number, by which requests name it.
    /// Errors: `invalid_options` for other numbers of entries; the errno of mmap or of
    /// io_uring_register: EINVAL before Linux 5.19, EEXIST for a group that is there.
    [[nodiscard]] static result<buffer_ring> create(uring& ring, unsigned entries,
                                                    std::uint16_t group) noexcept {
        if (!std::has_single_bit(entries) || entries > most_entries) {
            return fail(errc::invalid_options);
        }
        auto memory = mapping::anonymous(align_up(entries * sizeof(io_uring_buf), page_size));
        if (!memory) {
            return fail(memory.error());
        }
        io_uring_buf_reg wanted{};
        wanted.ring_addr = reinterpret_cast<std::uintptr_t>(memory->data());
        wanted.ring_entries = entries;
        wanted.bgid = group;
        if (::syscall(SYS_io_uring_register, ring.fd(), register_pbuf_ring, &wanted, 1) < 0) {
            return fail(std::error_code{errno, std::system_category()});
        }
        return buffer_ring{ring.fd(), std::move(*memory), entries, group};
    }
    buffer_ring(buffer_ring&& other) noexcept
        : ring_fd_(std::exchange(other.ring_fd_, -1)),
          memory_(std::move(other.memory_)),
          entries_(other.entries_),
          group_(other.group_) {}
    buffer_ring& operator=(buffer_ring&&) = delete;
    /// Unregisters it: the kernel takes nothing from it any more.
    ~buffer_ring() {
        if (ring_fd_ >= 0) {
            io_uring_buf_reg which{};
            which.bgid = group_;
            static_cast<void>(
                ::syscall(SYS_io_uring_register, ring_fd_, unregister_pbuf_ring, &which, 1));
        }
    }

    /// Gives the kernel memory to put something into, under a name that a completion repeats.
    ///
    /// Expects: fewer than entries() are with the kernel; the memory is nobody else's until a
    /// completion names it.
    void offer(std::uint16_t name, std::span<std::byte> memory) noexcept {
        io_uring_buf_ring* const ring = entries_of();
        ::io_uring_buf_ring_add(ring, memory.data(), static_cast<unsigned>(memory.size()), name,
                                static_cast<int>(entries_ - 1), 0);
        ::io_uring_buf_ring_advance(ring, 1);
    }

    [[nodiscard]] unsigned entries() const noexcept { return entries_; }
    [[nodiscard]] std::uint16_t group() const noexcept { return group_; }

    /// Leaves the memory of the ring itself to the kernel for good, for when it may still use it.
    void abandon() noexcept {
        ring_fd_ = -1;
        static_cast<void>(memory_.detach());
    }

private:
    /// IORING_REGISTER_PBUF_RING and its counterpart.
    static constexpr unsigned register_pbuf_ring = 22;
    static constexpr unsigned unregister_pbuf_ring = 23;

    buffer_ring(int ring_fd, mapping memory, unsigned entries, std::uint16_t group) noexcept
        : ring_fd_(ring_fd), memory_(std::move(memory)), entries_(entries), group_(group) {}

    [[nodiscard]] io_uring_buf_ring* entries_of() const noexcept {
        return reinterpret_cast<io_uring_buf_ring*>(memory_.data());
    }

    int ring_fd_;
    mapping memory_;
    unsigned entries_;
    std::uint16_t group_;
};

}  // namespace zcpool::sys
