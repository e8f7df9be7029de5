// SPDX-License-Identifier: MIT
#pragma once

// Dates of HTTP: written in the one form that is current, read in all three that a recipient must
// accept. Source: RFC 9110, section 5.6.7.

#include <array>
#include <cstddef>
#include <ctime>
#include <optional>
#include <string_view>

namespace segment_server {

/// The length in octets of a date as it is written ("Sun, 06 Nov 1994 08:49:37 GMT").
inline constexpr std::size_t http_date_length = 29;

/// A date in IMF-fixdate form.
[[nodiscard]] std::array<char, http_date_length> format_http_date(std::time_t when) noexcept;

/// Reads a date in any of the three forms.
///
/// Returns: seconds since the epoch, or nothing for a malformed date.
[[nodiscard]] std::optional<std::time_t> parse_http_date(std::string_view text) noexcept;

}  // namespace segment_server
