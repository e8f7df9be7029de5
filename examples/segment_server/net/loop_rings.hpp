// SPDX-License-Identifier: MIT
#pragma once

// The io_urings of event loops, and the slots that they receive into.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <zcpool/base/result.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/source/receive_ring.hpp>
#include <zcpool/sys/page_lock.hpp>
#include <zcpool/sys/uring.hpp>

namespace segment_server {

/// The rings of event loops, one each. Empty: the loops use epoll.
using loop_rings = std::vector<std::unique_ptr<zcpool::sys::uring>>;

/// All of them, or the reason why one could not be had.
[[nodiscard]] inline zcpool::result<loop_rings> make_rings(unsigned loops) {
    constexpr unsigned entries = 512;  // for a turn; more are handed over in between
    loop_rings rings;
    for (unsigned i = 0; i < loops; ++i) {
        auto made = zcpool::sys::uring::create_for_loop(entries);
        if (!made) {
            return std::unexpected{made.error()};
        }
        rings.push_back(std::move(*made));
    }
    return rings;
}

/// Where the kernel puts what clients send, for all loops: a pool of its own, because that of the
/// files is always full.
inline constexpr std::size_t input_bytes = 4096;
using input_pool = zcpool::pool<zcpool::size_classes<input_bytes>>;

/// Slots that the kernel has for a loop at a time. They are filled in turn: with many more, each is
/// cold by the time it is filled again.
inline constexpr unsigned inputs_a_loop = 64;

/// As many again are for what connections have not asked for yet, because their output is blocked.
[[nodiscard]] inline zcpool::result<input_pool> make_input_pool(unsigned loops,
                                                                zcpool::lock_policy locking) {
    return input_pool::create({.slots = {2 * inputs_a_loop * loops}, .locking = locking});
}

/// What a loop receives through. `ring`: the loop's, not enabled yet.
///
/// Errors: that of the pool; not_supported before Linux 6.0, EINVAL before 5.19, and what else
/// create_driven() says.
[[nodiscard]] inline zcpool::result<std::unique_ptr<zcpool::source::receive_ring>>
make_receive_ring(zcpool::sys::uring& ring, const zcpool::result<input_pool>& inputs) {
    if (!inputs) {
        return std::unexpected{inputs.error()};
    }
    // That a request may receive more than once came with this operation, in Linux 6.0.
    if (!ring.supports(zcpool::sys::op_send_zc)) {
        return std::unexpected{std::make_error_code(std::errc::operation_not_supported)};
    }
    return zcpool::source::receive_ring::create_driven(
        ring, *inputs, {.buffers = inputs_a_loop, .buffer_bytes = input_bytes});
}

}  // namespace segment_server
