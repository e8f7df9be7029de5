// SPDX-License-Identifier: MIT
#pragma once

// What a sink that sends through an io_uring has in common with its requests. Knows no liburing.

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <zcpool/base/intrusive_ref.hpp>
#include <zcpool/chain/chain.hpp>

namespace zcpool::sink {

/// Slices that one request may refer to: as many as a chain keeps without an allocation.
inline constexpr std::size_t parts_a_request = chain::inline_slices;

/// What a sink and its requests have in common. It goes with the last of them: the kernel may read
/// the message until the request's result has come.
struct ring_line {
    std::size_t holders = 1;   ///< the sink, its requests, and the list of news
    std::size_t requests = 0;  ///< that are not over
    std::uint64_t request = 0;
    bool is_waiting = false;  ///< for the result of `request`
    bool is_listed = false;   ///< stands in the ring's list of news
    bool has_news = false;    ///< something has completed since the sink last looked
    void* owner = nullptr;    ///< who flushes the sink, and wants to hear of it
    ring_line* next_listed = nullptr;
    std::optional<std::int32_t> result;
    msghdr message{};
    std::array<iovec, parts_a_request> parts{};
};

/// A counted reference to a line.
using ring_line_ref = intrusive_ref<ring_line>;

}  // namespace zcpool::sink
