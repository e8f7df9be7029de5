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
#include <zcpool/sys/pipe_pool.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sink {

/// Slices that one request may refer to: as many as a chain keeps without an allocation.
inline constexpr std::size_t parts_a_request = chain::inline_slices;

/// What a sink and its requests have in common. It goes with the last of them: the kernel may read
/// the message until the request's result has come.
struct ring_line {
    /// The name of no request.
    static constexpr std::uint64_t none = INT64_MAX;

    std::size_t holders = 1;   ///< the sink, its requests, and the list of news
    std::size_t requests = 0;  ///< that are not over
    std::uint64_t request = none;
    std::uint64_t before = none;  ///< the request that `request` is linked to
    unsigned awaited = 0;         ///< results of these two that are to come
    bool is_listed = false;       ///< stands in the ring's list of news
    bool has_news = false;        ///< something has completed since the sink last looked
    void* owner = nullptr;        ///< who flushes the sink, and wants to hear of it
    ring_line* next_listed = nullptr;
    std::optional<std::int32_t> result;         ///< of `request`
    std::optional<std::int32_t> result_before;  ///< of `before`
    msghdr message{};
    std::array<iovec, parts_a_request> parts{};

    // Of a sink with a pipe. The kernel looks descriptors up by their numbers when a request
    // begins, which is late for one that is linked: so they must not be anybody else's by then.
    sys::sized_pipe pipe;
    sys::unique_fd target;  ///< a duplicate of the sink's descriptor

    /// Whether a result is to come.
    [[nodiscard]] bool is_waiting() const noexcept { return awaited != 0; }
};

/// A counted reference to a line.
using ring_line_ref = intrusive_ref<ring_line>;

}  // namespace zcpool::sink
