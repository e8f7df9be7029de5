// SPDX-License-Identifier: MIT
#pragma once

// How many heap allocations this process has made, by anyone: operator new, malloc, the C library
// itself.

#include <cstdint>

namespace segment_server {

/// Allocations since the start. 0 in builds with a sanitizer, which brings its own malloc.
[[nodiscard]] std::uint64_t allocations_so_far() noexcept;

}  // namespace segment_server
