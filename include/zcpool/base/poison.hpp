// SPDX-License-Identifier: MIT
#pragma once

// Telling AddressSanitizer and valgrind which memory may not be touched, so that a touch is
// reported where it happens, also one by a system call such as write(2).
//
// AddressSanitizer is a property of the build: without it poison() and unpoison() are nothing.
// valgrind is found out at run time, by a few instructions that do nothing on a processor of its
// own; they are for what does not have to be fast. Where <valgrind/memcheck.h> is missing they are
// nothing as well.
// Source: compiler-rt, asan_interface.h; valgrind manual, "Memcheck: Client Requests".

#include <cstddef>

#include <zcpool/base/config.hpp>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

#if ZCPOOL_ADDRESS_SANITIZER
// As <sanitizer/asan_interface.h> has them, which is not installed with every compiler.
extern "C" {
void __asan_poison_memory_region(void const volatile* address, std::size_t bytes);
void __asan_unpoison_memory_region(void const volatile* address, std::size_t bytes);
}
#endif

namespace zcpool {

/// Whether poison() does anything in this build.
inline constexpr bool can_poison = ZCPOOL_ADDRESS_SANITIZER != 0;

/// Has AddressSanitizer report every touch of the range.
///
/// Expects: to be unpoisoned before something else is mapped there.
inline void poison([[maybe_unused]] const void* address,
                   [[maybe_unused]] std::size_t bytes) noexcept {
#if ZCPOOL_ADDRESS_SANITIZER
    __asan_poison_memory_region(address, bytes);
#endif
}

/// Ends poison().
inline void unpoison([[maybe_unused]] const void* address,
                     [[maybe_unused]] std::size_t bytes) noexcept {
#if ZCPOOL_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(address, bytes);
#endif
}

/// Has AddressSanitizer and valgrind, whichever runs the program, report every touch of the range.
inline void forbid_access(const void* address, std::size_t bytes) noexcept {
    poison(address, bytes);
#if defined(VALGRIND_MAKE_MEM_NOACCESS)
    static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(address, bytes));
#endif
}

/// Ends forbid_access(). What the range holds counts as written.
inline void allow_access(const void* address, std::size_t bytes) noexcept {
    unpoison(address, bytes);
#if defined(VALGRIND_MAKE_MEM_DEFINED)
    static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(address, bytes));
#endif
}

}  // namespace zcpool
