// SPDX-License-Identifier: MIT
#pragma once

// How functions of this library answer: a value, or the std::error_code that says why there is
// none.

#include <expected>
#include <system_error>

#include <zcpool/base/errc.hpp>

namespace zcpool {

/// A value or the reason why there is none. Nothing in this library throws.
template <class T>
using result = std::expected<T, std::error_code>;

/// The failed `result` of one of our own conditions.
[[nodiscard]] inline std::unexpected<std::error_code> fail(errc condition) noexcept {
    return std::unexpected{make_error_code(condition)};
}

/// The failed `result` that passes on an error.
[[nodiscard]] inline std::unexpected<std::error_code> fail(std::error_code code) noexcept {
    return std::unexpected{code};
}

}  // namespace zcpool
