// SPDX-License-Identifier: MIT
#pragma once

// What a checked pool finds, and how it says so.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <zcpool/pool/call_site.hpp>

namespace zcpool {

/// What a program did to a slot that it must not.
enum class misuse : std::uint8_t {
    released_twice,         ///< released by a handle whose slot had been released
    used_after_release,     ///< read, written, frozen, copied or sent by such a handle
    foreign,                ///< by a handle of another pool, or in a forked child
    written_outside,        ///< bytes behind it, or before the next one
    written_after_release,  ///< bytes of it while it was free
};

/// One misuse. Valid during the call that hands it out.
struct misuse_report {
    misuse what{};
    std::size_t slot_bytes = 0;  ///< of the slot
    std::uint32_t slot = 0;      ///< its number in its class
    call_site acquired;          ///< where the handle's slot was acquired
    call_site released;          ///< where it was released, if it was
    call_site found;             ///< where the misuse was found: the call, or the next one
    char text[1600] = "";        ///< all of it, in lines
};

/// Is told of each misuse, in the thread that found it; must not use the slot. When it returns,
/// what was asked of a bad handle is not done, and the pool stays as it was: an access gives
/// nothing, a release releases nothing. Bytes that were written behind a slot or in a free one are
/// set right.
using misuse_handler = void (*)(const misuse_report& report) noexcept;

/// Prints the report on stderr and aborts: what a pool does that was given no handler.
[[noreturn]] inline void abort_on_misuse(const misuse_report& report) noexcept {
    std::fputs(report.text, stderr);
    std::abort();
}

}  // namespace zcpool
