// SPDX-License-Identifier: MIT
#pragma once

// What the measured costs mean: from which size on, and after how many copies, each way pays.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <calibrate/measurement.hpp>

namespace calibrate {

/// From where on a way costs less than a write at every larger size too.
struct break_even {
    std::optional<std::size_t> from;  ///< none: at no size
    bool is_certain = true;           ///< false: at a size that matters nothing was decided
};

[[nodiscard]] break_even break_even_of(const path_costs& costs, way which);

/// How often a slot's content has to be sent for a way that lends to have paid for new pages; 0
/// where it never has, or that is not known.
[[nodiscard]] std::uint32_t sends_that_pay(const row& measured, way lending);

/// Whether two equal ways came so far apart that nothing can be said.
[[nodiscard]] bool is_noisy(const path_costs& costs);

/// The costs of a path as a table.
[[nodiscard]] std::string table_of(const path_costs& costs);

/// Definitions of the sinks' options, in C++, with a comment above what could not be decided.
[[nodiscard]] std::string options_of(const path_costs& costs);

}  // namespace calibrate
