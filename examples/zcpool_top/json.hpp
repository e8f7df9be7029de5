// SPDX-License-Identifier: MIT
#pragma once

// Snapshots as JSON for programs. README.md names the keys.

#include <cstddef>
#include <span>
#include <string>

#include <zcpool_top/snapshot.hpp>

namespace top {

/// One look, in one line without its end. `denied`: processes that could not be looked at.
[[nodiscard]] std::string json_of(std::span<const pool_snapshot> pools, std::size_t denied);

}  // namespace top
