// SPDX-License-Identifier: MIT
// expect-error: size_classes: the slot sizes must be strictly increasing
// The second class of a size would never be used.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<4_KiB, 64_KiB, 64_KiB>;
#else
using classes = zcpool::size_classes<4_KiB, 64_KiB>;
#endif
static_assert(classes::count > 0);
