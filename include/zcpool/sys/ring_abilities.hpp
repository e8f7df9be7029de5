// SPDX-License-Identifier: MIT
#pragma once

// What io_uring can do here, asked of the kernel itself and without liburing: a ring is made,
// asked, and closed.
// Source: io_uring_setup(2), io_uring_register(2) "IORING_REGISTER_PROBE" (Linux 5.6). The
// structures and numbers stand here, because linux/io_uring.h and liburing's copy of it exclude
// each other.

#include <bitset>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// What this process gets of io_uring.
struct ring_abilities {
    std::error_code refusal{};  ///< why there is no ring: ENOSYS, EPERM, ENOMEM; empty: there is
    bool waits_for_its_thread = false;  ///< completions interrupt nobody (DEFER_TASKRUN, Linux 6.1)
    std::error_code probe_refusal{};    ///< why operations are not known; empty: they are
    std::bitset<256> operations{};      ///< that the kernel knows, by IORING_OP_ number
};

namespace ring_abi {

/// What io_uring_setup(2) is given.
struct parameters {
    std::uint32_t entries[2]{};
    std::uint32_t flags = 0;
    std::uint32_t others[27]{};
};
static_assert(sizeof(parameters) == 120, "struct io_uring_params");

/// What IORING_REGISTER_PROBE fills in.
struct probe {
    /// An operation, and whether the kernel has it.
    struct operation {
        std::uint8_t number = 0;
        std::uint8_t reserved = 0;
        std::uint16_t flags = 0;
        std::uint32_t also_reserved = 0;
    };
    std::uint8_t last = 0;
    std::uint8_t count = 0;
    std::uint16_t reserved = 0;
    std::uint32_t also_reserved[3]{};
    operation operations[256]{};
};
static_assert(sizeof(probe) == 16 + 256 * 8, "struct io_uring_probe");

inline constexpr std::uint32_t single_issuer_and_defer_taskrun = (1U << 12) | (1U << 13);
inline constexpr unsigned register_probe = 8;
inline constexpr std::uint16_t is_supported = 1;

}  // namespace ring_abi

/// Makes a small ring, asks it and closes it. The kernel frees its memory a moment later.
[[nodiscard]] inline ring_abilities ask_io_uring() noexcept {
    ring_abilities found;
    ring_abi::parameters wanted;
    wanted.flags = ring_abi::single_issuer_and_defer_taskrun;
    auto made = call([&] { return provider::io_uring_setup(2, &wanted); });
    found.waits_for_its_thread = made.has_value();
    if (!made && is_errno(made.error(), EINVAL)) {
        wanted = ring_abi::parameters{};
        made = call([&] { return provider::io_uring_setup(2, &wanted); });
    }
    if (!made) {
        found.refusal = made.error();
        return found;
    }
    const unique_fd ring{*made};
    ring_abi::probe known;
    if (auto done = call([&] {
            return provider::io_uring_register(ring.get(), ring_abi::register_probe, &known, 256);
        });
        !done) {
        found.probe_refusal = done.error();
        return found;
    }
    for (std::size_t i = 0; i < known.count; ++i) {
        if ((known.operations[i].flags & ring_abi::is_supported) != 0) {
            found.operations.set(known.operations[i].number);
        }
    }
    return found;
}

}  // namespace zcpool::sys
