// SPDX-License-Identifier: MIT
#pragma once

// What the programs check their options with: each complaint names the value, the limit and what to
// do.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

namespace examples {

/// An option that is a whole number from `low` to `high`. `remedy`: what to do about another.
[[nodiscard]] CLI::Validator whole_number(std::string name, std::uint64_t low, std::uint64_t high,
                                          std::string remedy);

/// An option that is a size, 268435456, 256M or 256MiB; it becomes a plain number. `low` and
/// `low_text`: the least it may be. It may also be no more than nine tenths of the memory that is
/// available.
[[nodiscard]] CLI::Validator size_in_memory(std::string name, std::size_t low,
                                            std::string low_text);

/// Adds a duration in milliseconds, `least` or more, as an option of its own.
void add_timeout(CLI::App& app, const std::string& name, std::chrono::milliseconds& value,
                 const char* text, std::uint64_t least = 10);

/// Raises the limit of open files as far as it goes. Returns: how many descriptors are left beside
/// `spare`.
[[nodiscard]] std::size_t descriptors_beside(std::size_t spare);

/// Reads a command line, and prints help, or what is wrong with it.
/// Returns: what to exit with, 0 after help and 2 after a mistake; nothing when there is no reason.
[[nodiscard]] std::optional<int> parse(CLI::App& app, std::string_view program, int argc,
                                       const char* const* argv);

}  // namespace examples
