// SPDX-License-Identifier: MIT
#pragma once

// The seam between the library and the system: which provider answers, and the one function that
// reads errno.

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <type_traits>

#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/kernel.hpp>

#if defined(ZCPOOL_SYSCALL_PROVIDER_HEADER)
#include ZCPOOL_SYSCALL_PROVIDER_HEADER
#else
namespace zcpool::sys {
/// Who answers system calls. A program built with ZCPOOL_SYSCALL_PROVIDER_HEADER brings its own.
using provider = kernel;
}  // namespace zcpool::sys
#endif

namespace zcpool::sys {

/// Whether an answer of the C library means "look at errno": -1, as a number or as MAP_FAILED.
template <class T>
[[nodiscard]] bool is_failure(T answer) noexcept {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<std::intptr_t>(answer) == -1;
    } else {
        return answer == -1;
    }
}

/// Makes a system call, again while a signal interrupts it.
///
/// Returns: what the call returned; a short count is a result.
/// Errors: its errno.
/// Concurrency: as the call. Never for close(2), which must not be repeated.
template <class Call>
[[nodiscard]] auto call(Call&& request) noexcept -> result<decltype(request())> {
    for (;;) {
        const auto answer = request();
        if (!is_failure(answer)) {
            return answer;
        }
        const int code = errno;
        if (code != EINTR) {
            return fail(std::error_code{code, std::system_category()});
        }
    }
}

/// Whether an error is this errno.
[[nodiscard]] inline bool is_errno(const std::error_code& error, int code) noexcept {
    return error.category() == std::system_category() && error.value() == code;
}

/// Whether a call failed only because the descriptor takes, or has, no more now.
[[nodiscard]] inline bool would_block(const std::error_code& error) noexcept {
    return is_errno(error, EAGAIN) || is_errno(error, EWOULDBLOCK);
}

}  // namespace zcpool::sys
