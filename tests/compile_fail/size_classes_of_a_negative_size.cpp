// SPDX-License-Identifier: MIT
// expect-error: size_classes: every slot size must be between 4 KiB and 1 GiB
// The minus wraps around to a size that no machine has.
#include <zcpool/pool/size_classes.hpp>

using namespace zcpool::literals;

#ifdef ZCPOOL_EXPECT_FAIL
using classes = zcpool::size_classes<-4_KiB>;
#else
using classes = zcpool::size_classes<4_KiB>;
#endif
static_assert(classes::count > 0);
