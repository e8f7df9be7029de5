// SPDX-License-Identifier: MIT
#pragma once

// One byte range of a representation. Several ranges in one request are answered with the whole,
// which the protocol allows and every player copes with; what is malformed is ignored, as it also
// allows. Source: RFC 9110, section 14.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include <segment_server/http/text.hpp>

namespace segment_server {

/// What a Range header asks for.
struct byte_range {
    enum class kind {
        whole,          ///< no range, or one that is to be ignored
        part,           ///< `length` octets from `offset`; there is at least one
        unsatisfiable,  ///< nothing that the representation has
    };
    kind what = kind::whole;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// The last `count` octets of a representation.
[[nodiscard]] constexpr byte_range suffix_range(std::uint64_t count, std::uint64_t size) noexcept {
    if (count == 0) {
        return {byte_range::kind::unsatisfiable};
    }
    if (size == 0) {
        return {};  // Satisfiable, but no Content-Range can say so: the whole of nothing.
    }
    const std::uint64_t length = std::min(count, size);
    return {byte_range::kind::part, size - length, length};
}

/// Reads the value of a Range header against a representation of `size` octets.
///
/// Returns: `whole` for another unit, several ranges or a malformed one.
[[nodiscard]] constexpr byte_range parse_range(std::string_view value,
                                               std::uint64_t size) noexcept {
    const auto equals = value.find('=');
    if (equals == std::string_view::npos ||
        !equals_ignoring_case(value.substr(0, equals), "bytes")) {
        return {};
    }
    const std::string_view range = value.substr(equals + 1);
    const auto dash = range.find('-');
    if (dash == std::string_view::npos) {
        return {};
    }
    const std::string_view first_text = range.substr(0, dash);
    const std::string_view last_text = range.substr(dash + 1);
    const auto first = saturating_number(first_text);
    const auto last = saturating_number(last_text);
    if (first_text.empty()) {
        return last ? suffix_range(*last, size) : byte_range{};
    }
    if (!first || (!last_text.empty() && (!last || *last < *first))) {
        return {};
    }
    if (*first >= size) {
        return {byte_range::kind::unsatisfiable};
    }
    const std::uint64_t end = last_text.empty() ? size - 1 : std::min(*last, size - 1);
    return {byte_range::kind::part, *first, end - *first + 1};
}

}  // namespace segment_server
