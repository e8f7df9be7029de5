// SPDX-License-Identifier: MIT
// expect-error: literal_does_not_fit|is not a constant expression
// 16 EiB would be zero in 64 bits.
#include <zcpool/base/align.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
constexpr auto size = 17'179'869'184_GiB;
#else
constexpr auto size = 17'179'869'183_GiB;
#endif
static_assert(size > 0);
