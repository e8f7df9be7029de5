// SPDX-License-Identifier: MIT
#pragma once

// What the library asks of its platform, and the only macros it defines.
//
// - ZCPOOL_ASSERTIONS: 1 aborts on contract violations, with a message. Default: 1 unless NDEBUG.
//   Files of one program may differ in it, as they may in optimisation and exceptions: no type
//   depends on them. Of an inline function that several files have the linker keeps one, so
//   contracts may then be checked in fewer or more places than a file asked for. They may differ in
//   RTTI where nobody asks for the dynamic type of an object of the library's.
// - ZCPOOL_SYSCALL_PROVIDER_HEADER: a header that defines `zcpool::sys::provider`, through which
//   every system call goes; for fault injection. The same in all files of a program.
//
// ZCPOOL_ADDRESS_SANITIZER is no setting: 1 where the compiler was told -fsanitize=address, which
// must be said for all files or for none.

#include <cstddef>

#if !defined(__linux__)
#error "zcpool needs Linux: memfd, sealing, sendfile and futex have no portable counterpart"
#endif

// Compilers whose C++23 is still a draft say something between the two standards.
#if __cplusplus <= 202002L
#error "zcpool needs C++23: compile with -std=c++23, or ask CMake for cxx_std_23"
#endif

#if !defined(ZCPOOL_ASSERTIONS)
#if defined(NDEBUG)
#define ZCPOOL_ASSERTIONS 0
#else
#define ZCPOOL_ASSERTIONS 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define ZCPOOL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZCPOOL_ADDRESS_SANITIZER 1
#endif
#endif
#if !defined(ZCPOOL_ADDRESS_SANITIZER)
#define ZCPOOL_ADDRESS_SANITIZER 0
#endif

#if ZCPOOL_ASSERTIONS
#define ZCPOOL_ASSERT(condition, message) ZCPOOL_VERIFY(condition, message)
#else
#define ZCPOOL_ASSERT(condition, message) static_cast<void>(0)
#endif

// Stays in every build: what it guards would reach another owner's bytes, and the numbers often
// come from a peer.
#define ZCPOOL_VERIFY(condition, message)                                                          \
    ((condition) ? static_cast<void>(0)                                                            \
                 : ::zcpool::contract_violated(#condition, message, __FILE__, __LINE__))

namespace zcpool {

/// Bytes that two threads should not share. Our own constant: the standard's one may differ between
/// compilers of one program, and this one is part of the shared-memory layout.
inline constexpr std::size_t cache_line = 64;

/// The smallest unit of pool memory, in bytes. Kernels with larger pages are refused when a pool is
/// created.
inline constexpr std::size_t page_size = 4096;

/// What a huge page has with pages of that size, in bytes: a whole table of them.
inline constexpr std::size_t huge_page_size = page_size * (page_size / 8);

/// Prints what was violated on stderr and aborts. Called by ZCPOOL_ASSERT only.
[[noreturn]] void contract_violated(const char* condition, const char* message, const char* file,
                                    int line) noexcept;

}  // namespace zcpool

#include <cstdio>
#include <cstdlib>

namespace zcpool {

[[noreturn]] inline void contract_violated(const char* condition, const char* message,
                                           const char* file, int line) noexcept {
    std::fprintf(stderr, "zcpool: %s (%s) at %s:%d\n", message, condition, file, line);
    std::abort();
}

}  // namespace zcpool
