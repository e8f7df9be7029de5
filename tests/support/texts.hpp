// SPDX-License-Identifier: MIT
#pragma once

// The bytes of a chain as text.

#include <string>

#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>

namespace zcpool_test {

inline std::string text_of(const zcpool::chain& from) {
    std::string text;
    for (const zcpool::slice& each : from.slices()) {
        text.append(reinterpret_cast<const char*>(each.data()), each.size());
    }
    return text;
}

}  // namespace zcpool_test
