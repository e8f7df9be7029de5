// SPDX-License-Identifier: MIT
#pragma once

// What a source and its request to a ring have in common. Knows neither system nor liburing.

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/intrusive_ref.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>

namespace zcpool::source {

/// What came for a source, and how it stands with the kernel. It goes with the last of those who
/// refer to it: the source, its request, and the lists of the ring.
struct receive_line {
    int fd = -1;
    int registered_file = -1;    ///< the place of `fd` among the ring's registered files
    std::size_t most_slots = 0;  ///< that are kept untaken before the receiving stops
    std::size_t holders = 1;
    bool is_armed = false;      ///< the kernel receives for it
    bool is_multishot = false;  ///< by a request for more than one receive, the last time
    bool is_cancelled = false;  ///< and was asked not to
    bool is_starved = false;    ///< waits for a slot, in the list of those
    bool is_abandoned = false;  ///< there is no source any more
    bool has_ended = false;     ///< the peer sends no more
    bool is_listed = false;     ///< stands in the ring's list of news
    bool has_news = false;      ///< something has completed since the source was told
    void* owner = nullptr;      ///< who pulls the source, and wants to hear of it
    receive_line* next_listed = nullptr;
    receive_line* next_starved = nullptr;
    std::error_code error;
    std::uint64_t requests = 0;   ///< that were made
    std::uint64_t bytes = 0;      ///< that came in all
    std::uint64_t exhausted = 0;  ///< times that there was no slot
    chain came;

    /// Adds what came; fails the line when there is no memory for it.
    void keep(slice tail) noexcept {
        const std::size_t more = tail.size();
        if (came.append(std::move(tail))) {
            bytes += more;
        } else {
            error = make_error_code(errc::out_of_memory);
        }
    }
    /// Whether it has as much as it may.
    [[nodiscard]] bool is_full() const noexcept { return came.slice_count() >= most_slots; }
    /// Whether the kernel should receive for it.
    [[nodiscard]] bool wants_more() const noexcept {
        return !is_abandoned && !error && !has_ended && !is_full();
    }
};

/// A counted reference to a line.
using receive_line_ref = intrusive_ref<receive_line>;

}  // namespace zcpool::source
