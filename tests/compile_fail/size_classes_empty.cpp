// SPDX-License-Identifier: MIT
// expect-error: size_classes: the list is empty; name at least one slot size in bytes
// A pool without slots is a mistake.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<>;
#else
using classes = zcpool::size_classes<4_KiB>;
#endif
static_assert(classes::count > 0);
