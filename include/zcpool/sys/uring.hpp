// SPDX-License-Identifier: MIT
#pragma once

// An io_uring, owned; the one header that includes liburing. Not part of zcpool.hpp: it comes with
// the CMake target zcpool::uring.
// Source: io_uring(7), liburing 2.3. Constants that an older liburing does not name stand here.

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <system_error>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>

namespace zcpool::sys {

#if defined(IORING_CQE_F_NOTIF)
// NOLINTNEXTLINE(misc-redundant-expression): macros here, numbers in the system's interface.
static_assert(IORING_CQE_F_NOTIF == 1U << 3 && IORING_CQE_F_MORE == 1U << 1);
#endif
/// IORING_OP_SEND_ZC: Linux 6.0.
inline constexpr int op_send_zc = 47;
/// IORING_OP_SENDMSG_ZC: Linux 6.1.
inline constexpr int op_sendmsg_zc = 48;
/// IORING_SETUP_COOP_TASKRUN: Linux 5.19.
inline constexpr unsigned setup_coop_taskrun = 1U << 8;
/// IORING_SETUP_SINGLE_ISSUER: Linux 6.0.
inline constexpr unsigned setup_single_issuer = 1U << 12;
/// IORING_SETUP_DEFER_TASKRUN: Linux 6.1.
inline constexpr unsigned setup_defer_taskrun = 1U << 13;

/// IORING_RECVSEND_FIXED_BUF: Linux 6.0.
inline constexpr unsigned send_from_registered = 1U << 2;
/// IORING_REGISTER_CLONE_BUFFERS: Linux 6.12.
inline constexpr unsigned register_clone_buffers = 30;

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

    /// Makes room for requests that are linked, which must be handed over in one call: what is
    /// prepared goes first where there is none, because a chain ends where a call does.
    /// Returns: false when the kernel takes none now, or there are not as many places.
    [[nodiscard]] bool make_room(unsigned requests) noexcept {
        if (::io_uring_sq_space_left(&ring_) < requests) {
            static_cast<void>(submit());
        }
        return ::io_uring_sq_space_left(&ring_) >= requests;
    }

    /// Lets a prepared request do nothing, and gives it another name. It completes all the same,
    /// with 0.
    /// Returns: false when the kernel has taken it already.
    /// Complexity: as many steps as requests are prepared.
    bool disarm(std::uint64_t name, std::uint64_t new_name) noexcept {
        const unsigned end = ring_.sq.sqe_tail;
        for (unsigned i = end - prepared(); i != end; ++i) {
            io_uring_sqe& each = ring_.sq.sqes[i & *ring_.sq.kring_mask];
            if (each.user_data == name) {
                ::io_uring_prep_nop(&each);
                each.user_data = new_name;
                return true;
            }
        }
        return false;
    }

    /// Hands all that is prepared to the kernel.
    /// Errors: the errno of io_uring_enter; what was not taken stays prepared.
    result<void> submit() noexcept {
        // It stops at a request that it finds wrong, and goes on behind that.
        while (prepared() != 0) {
            const int answer = ::io_uring_submit(&ring_);
            if (answer != -EINTR && answer <= 0) {
                return answered(answer == 0 ? -EAGAIN : answer);
            }
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
        __kernel_timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
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

    /// Makes a table of so many places for registered buffers, all empty. Once.
    /// Errors: the errno of io_uring_register; EINVAL before Linux 5.19.
    [[nodiscard]] result<void> reserve_buffers(unsigned places) noexcept {
        return answered(::io_uring_register_buffers_sparse(&ring_, places));
    }

    /// Registers memory in a place of the table; an empty span empties the place.
    /// Errors: the errno of io_uring_register: ENOMEM beyond RLIMIT_MEMLOCK, which all rings of a
    /// user share; EFAULT for what cannot be written to, and for more than 1 GiB.
    [[nodiscard]] result<void> set_buffer(unsigned place, std::span<std::byte> memory) noexcept {
        const iovec entry{memory.data(), memory.size()};
        const __u64 no_tag = 0;
        return answered(::io_uring_register_buffers_update_tag(&ring_, place, &entry, &no_tag, 1));
    }

    /// Registers what another ring has, in the same places, without pinning and charging it again.
    /// Expects: this one has no table yet.
    /// Errors: the errno of io_uring_register; EINVAL before Linux 6.12.
    [[nodiscard]] result<void> clone_buffers(const uring& from) noexcept {
        struct {  // struct io_uring_clone_buffers
            std::uint32_t source;
            std::uint32_t rest[7];
        } what{static_cast<std::uint32_t>(from.fd()), {}};
        if (::syscall(SYS_io_uring_register, ring_.ring_fd, register_clone_buffers, &what, 1) < 0) {
            return fail(std::error_code{errno, std::system_category()});
        }
        return {};
    }

    /// Makes a table of so many places for registered files, all empty. Once.
    /// Errors: the errno of io_uring_register: EMFILE beyond RLIMIT_NOFILE, EINVAL before Linux
    /// 5.19.
    [[nodiscard]] result<void> reserve_files(unsigned places) noexcept {
        return answered(::io_uring_register_files_sparse(&ring_, places));
    }

    /// Puts a file into a place of the table, by which requests with IOSQE_FIXED_FILE name it; -1
    /// empties the place. It is open for as long as it stands there.
    /// Errors: the errno of io_uring_register.
    [[nodiscard]] result<void> set_file(unsigned place, int fd) noexcept {
        return answered(::io_uring_register_files_update(&ring_, place, &fd, 1));
    }

    /// Requests that are prepared and that the kernel has not taken yet.
    [[nodiscard]] unsigned prepared() const noexcept { return ::io_uring_sq_ready(&ring_); }

    /// The IORING_SETUP_ flags that it was made with.
    [[nodiscard]] unsigned flags() const noexcept { return ring_.flags; }

    /// Readable when a completion is there.
    [[nodiscard]] int fd() const noexcept { return ring_.ring_fd; }

private:
    uring() noexcept = default;

    /// What liburing says: an errno below 0.
    [[nodiscard]] static result<void> answered(int answer) noexcept {
        if (answer < 0) {
            return fail(std::error_code{-answer, std::system_category()});
        }
        return {};
    }

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
