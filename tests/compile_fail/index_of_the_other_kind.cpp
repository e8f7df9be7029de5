// SPDX-License-Identifier: MIT
// expect-error: cannot convert|no viable conversion|cannot initialize
// The number of a slot is not the number of its class.
#include <zcpool/base/index.hpp>

zcpool::class_index class_of(zcpool::slot_index slot) {
#ifdef ZCPOOL_EXPECT_FAIL
    return slot;
#else
    return static_cast<zcpool::class_index>(zcpool::to_number(slot) % zcpool::max_classes);
#endif
}
