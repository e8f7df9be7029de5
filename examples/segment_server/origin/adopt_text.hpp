// SPDX-License-Identifier: MIT
#pragma once

// Text that was made on the heap, once, as a slice that is sent many times.

#include <memory>
#include <span>
#include <string>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>

namespace segment_server {

/// Brings a text into a slice. Errors: `out_of_memory`.
[[nodiscard]] inline zcpool::result<zcpool::slice> adopt_text(std::string text) {
    // Behind a pointer, because the octets of a short string would move with it.
    auto owner = std::make_unique<const std::string>(std::move(text));
    const auto bytes = std::as_bytes(std::span{*owner});
    return zcpool::slice::adopt(bytes, std::move(owner));
}

}  // namespace segment_server
