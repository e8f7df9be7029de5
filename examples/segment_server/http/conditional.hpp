// SPDX-License-Identifier: MIT
#pragma once

// Whether a request wants the representation that there is: the five conditional fields, in their
// fixed order. Source: RFC 9110, sections 8.8 and 13.

#include <cstdint>
#include <ctime>
#include <string_view>

#include <segment_server/http/http_date.hpp>
#include <segment_server/http/range.hpp>
#include <segment_server/http/request.hpp>
#include <segment_server/http/text.hpp>

namespace segment_server {

/// What a response may be compared by.
struct validators {
    std::string_view etag;  ///< strong, with its quotes; empty when the file is too young to be
                            ///< told from its successor
    std::time_t modified = 0;
};

enum class verdict { send, not_modified, precondition_failed };

/// Whether a list of entity tags has the given one, or is "*".
///
/// `weakly`: whether "W/x" equals "x", as it does for If-None-Match. Nothing is equal to an empty
/// tag, but "*" has it.
[[nodiscard]] constexpr bool lists_etag(std::string_view list, std::string_view etag,
                                        bool weakly) noexcept {
    list = trim(list);
    if (list == "*") {
        return true;
    }
    while (!list.empty() && !etag.empty()) {
        const bool is_weak = list.starts_with("W/");
        if (is_weak) {
            list.remove_prefix(2);
        }
        const auto close = list.starts_with('"') ? list.find('"', 1) : std::string_view::npos;
        if (close == std::string_view::npos) {
            return false;
        }
        if (list.substr(0, close + 1) == etag && (weakly || !is_weak)) {
            return true;
        }
        list = trim(list.substr(close + 1));
        if (!list.empty() && list.front() != ',') {
            return false;
        }
        while (!list.empty() &&
               (list.front() == ',' || list.front() == ' ' || list.front() == '\t')) {
            list.remove_prefix(1);
        }
    }
    return false;
}

/// Evaluates the preconditions of a GET or HEAD against what is there.
[[nodiscard]] inline verdict evaluate(const request& asked, const validators& present) noexcept {
    if (asked.if_match) {
        if (!lists_etag(*asked.if_match, present.etag, false)) {
            return verdict::precondition_failed;
        }
    } else if (asked.if_unmodified_since) {
        const auto limit = parse_http_date(*asked.if_unmodified_since);
        if (limit && present.modified > *limit) {
            return verdict::precondition_failed;
        }
    }
    if (asked.if_none_match) {
        return lists_etag(*asked.if_none_match, present.etag, true) ? verdict::not_modified
                                                                    : verdict::send;
    }
    if (asked.if_modified_since && !asked.if_none_match.was_repeated() && !present.etag.empty()) {
        const auto since = parse_http_date(*asked.if_modified_since);
        if (since && present.modified <= *since) {
            return verdict::not_modified;
        }
    }
    return verdict::send;
}

/// The part of a representation of `size` octets that is to be sent at time `now`.
///
/// A range counts only for GET, and after If-Range only while the representation is provably the
/// one that the client has the other part of: by strong tag, or by a date that is a second older
/// than now, before which it may be two files.
[[nodiscard]] inline byte_range select_range(const request& asked, const validators& present,
                                             std::uint64_t size, std::time_t now) noexcept {
    if (asked.method != method::get || !asked.range || asked.if_range.was_repeated()) {
        return {};
    }
    if (asked.if_range) {
        const std::string_view expected = *asked.if_range;
        const bool is_tag = expected.starts_with('"') || expected.starts_with("W/");
        const bool is_same =
            is_tag ? !present.etag.empty() && expected == present.etag
                   : parse_http_date(expected) == present.modified && present.modified < now;
        if (!is_same) {
            return {};
        }
    }
    return parse_range(*asked.range, size);
}

}  // namespace segment_server
