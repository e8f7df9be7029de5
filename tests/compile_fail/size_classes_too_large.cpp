// SPDX-License-Identifier: MIT
// expect-error: size_classes: every slot size must be between 4 KiB and 1 GiB
// Offsets and lengths in a descriptor have 32 bits.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<4_KiB, 1_GiB + 4_KiB>;
#else
using classes = zcpool::size_classes<4_KiB, 1_GiB>;
#endif
static_assert(classes::count > 0);
