// SPDX-License-Identifier: MIT
#pragma once

// What a system call that failed is expected to have left.

#include <system_error>

namespace zcpool_test {

/// The error of an errno value.
inline std::error_code system_error(int code) { return {code, std::system_category()}; }

}  // namespace zcpool_test
