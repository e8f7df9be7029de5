// SPDX-License-Identifier: MIT
#pragma once

// The beginning of a chain as the kernel's scatter-gather list, and the copying send of it that
// sinks share.

#include <sys/uio.h>

#include <array>
#include <cstddef>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::sink {

using sys::would_block;

/// Parts of one gathered call. More would not make a call cheaper, and the list lives on the stack.
inline constexpr std::size_t parts_a_call = 64;

/// How many slices from the front on go out by one gathered call: the first one, and those behind
/// it up to the first for which `goes_otherwise` is true.
///
/// Expects: not empty.
template <class Predicate>
[[nodiscard]] std::size_t run_length(const chain& queue, Predicate&& goes_otherwise) noexcept {
    const std::size_t most = smaller_of(queue.slice_count(), parts_a_call);
    std::size_t count = 1;
    while (count < most && !goes_otherwise(queue.slices()[count])) {
        ++count;
    }
    return count;
}

/// Copies the first slices of a chain into a descriptor with one call.
///
/// `count`: how many slices, at most parts_a_call, at least one.
/// Returns: bytes taken.
/// Errors: the errno of the call.
[[nodiscard]] inline result<std::size_t> copy_out(int fd, bool is_socket, const chain& queue,
                                                  std::size_t count) noexcept {
    std::array<iovec, parts_a_call> parts;
    for (std::size_t i = 0; i < count; ++i) {
        const slice& each = queue.slices()[i];
        parts[i] = {const_cast<std::byte*>(each.data()), each.size()};
    }
    const array_view list = array_view{parts}.first(count);
    return is_socket ? sys::send_parts(fd, list, count < queue.slice_count())
                     : sys::write_parts(fd, list);
}

}  // namespace zcpool::sink
