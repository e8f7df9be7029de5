// SPDX-License-Identifier: MIT
#pragma once

// Processes that may hold a slot, in tests that need no real ones.

#include <zcpool/pool/slot_status.hpp>

namespace zcpool_test {

inline constexpr zcpool::holder_set me = 1;
inline constexpr zcpool::holder_set dead = 2;
inline constexpr zcpool::holder_set other = 4;

}  // namespace zcpool_test
