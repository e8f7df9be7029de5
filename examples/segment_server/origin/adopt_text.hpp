// SPDX-License-Identifier: MIT
#pragma once

// Text that was made on the heap, once, as a slice that is sent many times.

#include <string>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>

namespace segment_server {

/// Brings a text into a slice. Errors: `out_of_memory`.
[[nodiscard]] inline zcpool::result<zcpool::slice> adopt_text(std::string text) {
    return zcpool::slice::adopt(std::move(text));
}

}  // namespace segment_server
