// SPDX-License-Identifier: MIT
// expect-error: size_classes: every slot size must be a multiple of the page size, 4096 bytes
// Pages are what is lent and replaced: two slots never share one.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<4_KiB, 1500>;
#else
using classes = zcpool::size_classes<4_KiB, 8_KiB>;
#endif
static_assert(classes::count > 0);
