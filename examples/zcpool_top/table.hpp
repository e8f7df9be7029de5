// SPDX-License-Identifier: MIT
#pragma once

// Snapshots as text for people.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <zcpool_top/snapshot.hpp>

namespace top {

/// Pools, a line each. `denied`: processes that could not be looked at.
[[nodiscard]] std::string list_of(std::span<const pool_snapshot> pools, std::size_t denied);

/// A pool with its classes and its processes.
[[nodiscard]] std::string table_of(const pool_snapshot& pool);

/// The text without anything that a terminal could take for an order.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace top
