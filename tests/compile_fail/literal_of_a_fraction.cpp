// SPDX-License-Identifier: MIT
// expect-error: numeric literal operator|no matching literal operator
// Sizes are whole numbers: half a kibibyte is written as 512.
#include <zcpool/base/align.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
constexpr auto size = 1.5_KiB;
#else
constexpr auto size = 1536;
#endif
static_assert(size == 1536);
