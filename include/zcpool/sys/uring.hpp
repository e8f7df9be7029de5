// SPDX-License-Identifier: MIT
#pragma once

// An io_uring, owned; the one header that includes liburing. Not part of zcpool.hpp: it comes with
// the CMake target zcpool::uring.
// Source: io_uring(7), liburing 2.3. Constants that an older liburing does not name stand here.

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

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
/// IORING_SETUP_COOP_TASKRUN: Linux 5.19.
inline constexpr unsigned setup_coop_taskrun = 1U << 8;
/// IORING_SETUP_SINGLE_ISSUER: Linux 6.0.
inline constexpr unsigned setup_single_issuer = 1U << 12;
/// IORING_SETUP_DEFER_TASKRUN: Linux 6.1.
inline constexpr unsigned setup_defer_taskrun = 1U << 13;

/// An io_uring. Neither copied nor moved: the kernel and liburing know its address.
///
/// Sharing: one thread.
class uring {
public:
    /// Errors: the errno of io_uring_setup: ENOSYS without io_uring, EPERM where it is forbidden
    /// (kernel.io_uring_disabled, seccomp), ENOMEM beyond RLIMIT_MEMLOCK; `out_of_memory`.
    [[nodiscard]] static result<std::unique_ptr<uring>> create(unsigned entries) noexcept {
        return create_with(entries, 0);
    }

    /// One for an event loop: completions are worked out when its thread waits for them, and never
    /// interrupt it. Call enable() first, in the thread that is to use it.
    ///
    /// Errors: as create(); EINVAL before Linux 5.19.
    [[nodiscard]] static result<std::unique_ptr<uring>> create_for_loop(unsigned entries) noexcept {
        auto made = create_with(
            entries, IORING_SETUP_R_DISABLED | setup_single_issuer | setup_defer_taskrun);
        if (!made && made.error() == std::errc::invalid_argument) {
            made = create_with(entries, IORING_SETUP_R_DISABLED | setup_coop_taskrun);
        }
        return made;
    }
    uring(const uring&) = delete;
    uring& operator=(const uring&) = delete;
    ~uring() {
        if (is_open_) {
            ::io_uring_queue_exit(&ring_);
        }
    }

    /// Begins to take requests, all of them from this thread.
    /// Expects: made by create_for_loop().
    result<void> enable() noexcept {
        // liburing 2.3 declares a function for it and has none.
        if (::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr,
                      0) < 0) {
            return fail(std::error_code{errno, std::system_category()});
        }
        return {};
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

    /// Lets a prepared request do nothing, if the kernel has not taken it yet. It completes all the
    /// same, with 0.
    /// Complexity: as many steps as requests are prepared.
    void disarm(std::uint64_t name) noexcept {
        const unsigned end = ring_.sq.sqe_tail;
        for (unsigned i = end - ::io_uring_sq_ready(&ring_); i != end; ++i) {
            io_uring_sqe& each = ring_.sq.sqes[i & *ring_.sq.kring_mask];
            if (each.user_data == name) {
                ::io_uring_prep_nop(&each);
                each.user_data = name;
            }
        }
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

    /// Hands what is prepared to the kernel and waits for a completion, for so many milliseconds at
    /// most; for ever below 0. One system call. Ends early when the thread is interrupted.
    void submit_and_wait(int milliseconds) noexcept {
        __kernel_timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000LL};
        io_uring_cqe* completion = nullptr;
        static_cast<void>(::io_uring_submit_and_wait_timeout(
            &ring_, &completion, 1, milliseconds < 0 ? nullptr : &time, nullptr));
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

    /// The IORING_SETUP_ flags that it was made with.
    [[nodiscard]] unsigned flags() const noexcept { return ring_.flags; }

    /// Readable when a completion is there.
    [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

private:
    uring() noexcept = default;

    [[nodiscard]] static result<std::unique_ptr<uring>> create_with(unsigned entries,
                                                                    unsigned flags) noexcept {
        std::unique_ptr<uring> made{new (std::nothrow) uring};
        if (!made) {
            return fail(errc::out_of_memory);
        }
        if (const int answer = ::io_uring_queue_init(entries, &made->ring_, flags); answer < 0) {
            return fail(std::error_code{-answer, std::system_category()});
        }
        made->is_open_ = true;
        return made;
    }

    io_uring ring_{};
    bool is_open_ = false;
};

}  // namespace zcpool::sys
