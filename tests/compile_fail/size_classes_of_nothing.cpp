// SPDX-License-Identifier: MIT
// expect-error: size_classes: every slot size must be between 4 KiB and 1 GiB
// Zero is a multiple of the page size, and still no size.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<0, 4_KiB>;
#else
using classes = zcpool::size_classes<4_KiB>;
#endif
static_assert(classes::count > 0);
