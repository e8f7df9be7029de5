// SPDX-License-Identifier: MIT
#pragma once

// An io_uring, owned; the one header that includes liburing. Not part of zcpool.hpp: it comes with
// the CMake target zcpool::uring.
// Source: io_uring(7), liburing 2.3. Constants that an older liburing does not name stand here.

#include <liburing.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>

namespace zcpool::sys {

#if defined(IORING_CQE_F_NOTIF)
static_assert(IORING_CQE_F_NOTIF == 1U << 3 && IORING_CQE_F_MORE == 1U << 1);
#endif
/// IORING_OP_SENDMSG_ZC: Linux 6.1.
inline constexpr int op_sendmsg_zc = 48;

/// An io_uring. Neither copied nor moved: the kernel and liburing know its address.
///
/// Sharing: one thread.
class uring {
public:
    /// Errors: the errno of io_uring_setup: ENOSYS without io_uring, EPERM where it is forbidden
    /// (kernel.io_uring_disabled, seccomp), ENOMEM beyond RLIMIT_MEMLOCK; `out_of_memory`.
    [[nodiscard]] static result<std::unique_ptr<uring>> create(unsigned entries) noexcept {
        std::unique_ptr<uring> made{new (std::nothrow) uring};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        if (const int answer = ::io_uring_queue_init(entries, &made->ring_, 0); answer < 0) {
            return fail(std::error_code{-answer, std::system_category()});
        }
        made->is_open_ = true;
        return made;
    }
    uring(const uring&) = delete;
    uring& operator=(const uring&) = delete;
    ~uring() {
        if (is_open_) {
            ::io_uring_queue_exit(&ring_);
        }
    }

    /// A place for a request; what is prepared is handed to the kernel first when there is none.
    /// Returns: null when the kernel takes none.
    [[nodiscard]] io_uring_sqe* next_request() noexcept {
        io_uring_sqe* place = ::io_uring_get_sqe(&ring_);
        if (place == nullptr) {
            static_cast<void>(submit());
            place = ::io_uring_get_sqe(&ring_);
        }
        return place;
    }

    /// Hands what is prepared to the kernel.
    /// Errors: the errno of io_uring_enter; what was not taken stays prepared.
    result<void> submit() noexcept {
        int answer = 0;
        do {
            answer = ::io_uring_submit(&ring_);
        } while (answer == -EINTR);
        if (answer < 0) {
            return fail(std::error_code{-answer, std::system_category()});
        }
        return {};
    }

    /// Calls `act(user_data, result, flags)` for each completion that is there.
    /// Complexity: no system call, unless the kernel has more than fit.
    template <class Act>
    void reap(Act&& act) noexcept {
        io_uring_cqe* completion = nullptr;
        while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
            const std::uint64_t name = completion->user_data;
            const std::int32_t result = completion->res;
            const std::uint32_t flags = completion->flags;
            ::io_uring_cqe_seen(&ring_, completion);
            act(name, result, flags);
        }
    }

    /// Waits for a completion, for so many milliseconds at most.
    void wait(unsigned milliseconds) noexcept {
        __kernel_timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
        io_uring_cqe* completion = nullptr;
        static_cast<void>(::io_uring_wait_cqe_timeout(&ring_, &completion, &time));
    }

    /// Whether the kernel knows an operation.
    [[nodiscard]] bool supports(int operation) noexcept {
        io_uring_probe* const known = ::io_uring_get_probe_ring(&ring_);
        const bool it_does = known != nullptr && ::io_uring_opcode_supported(known, operation) != 0;
        ::io_uring_free_probe(known);
        return it_does;
    }

    /// Readable when a completion is there.
    [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

private:
    uring() noexcept = default;

    io_uring ring_{};
    bool is_open_ = false;
};

}  // namespace zcpool::sys
