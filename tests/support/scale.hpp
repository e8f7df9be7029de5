// SPDX-License-Identifier: MIT
#pragma once

// How much a long test does: ZCPOOL_TEST_SCALE times its normal amount, a tenth of it under
// sanitizers.

#include <algorithm>
#include <cstdlib>

namespace zcpool_test {

/// Whether a sanitizer is in this program: it is slow, and keeps memory for its own ends.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool under_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool under_sanitizer = true;
#else
inline constexpr bool under_sanitizer = false;
#endif
#else
inline constexpr bool under_sanitizer = false;
#endif
inline constexpr double usual_scale = under_sanitizer ? 0.1 : 1.0;

/// An amount at the scale of this run, at least one.
inline long scaled(long amount) {
    const char* const text = std::getenv("ZCPOOL_TEST_SCALE");
    const double scale = text == nullptr ? usual_scale : std::strtod(text, nullptr);
    return std::max(1L, static_cast<long>(static_cast<double>(amount) * scale));
}

}  // namespace zcpool_test
