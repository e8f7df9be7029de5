// SPDX-License-Identifier: MIT
#pragma once

// The status codes that this server can answer with, and nothing more: one table, so that a
// counter, a reason phrase and a canned response exist for each.

#include <array>
#include <cstddef>
#include <string_view>

namespace segment_server {

/// What a request is answered with.
enum class status : unsigned {
    ok,
    partial_content,
    not_modified,
    bad_request,
    forbidden,
    not_found,
    method_not_allowed,
    request_timeout,
    precondition_failed,
    content_too_large,
    uri_too_long,
    range_not_satisfiable,
    expectation_failed,
    header_fields_too_large,
    internal_error,
    not_implemented,
    unavailable,
    version_not_supported,
};

/// One row of the table of statuses.
struct status_row {
    status value;
    unsigned code;
    std::string_view reason;
};

inline constexpr std::array status_table{
    status_row{status::ok, 200, "OK"},
    status_row{status::partial_content, 206, "Partial Content"},
    status_row{status::not_modified, 304, "Not Modified"},
    status_row{status::bad_request, 400, "Bad Request"},
    status_row{status::forbidden, 403, "Forbidden"},
    status_row{status::not_found, 404, "Not Found"},
    status_row{status::method_not_allowed, 405, "Method Not Allowed"},
    status_row{status::request_timeout, 408, "Request Timeout"},
    status_row{status::precondition_failed, 412, "Precondition Failed"},
    status_row{status::content_too_large, 413, "Content Too Large"},
    status_row{status::uri_too_long, 414, "URI Too Long"},
    status_row{status::range_not_satisfiable, 416, "Range Not Satisfiable"},
    status_row{status::expectation_failed, 417, "Expectation Failed"},
    status_row{status::header_fields_too_large, 431, "Request Header Fields Too Large"},
    status_row{status::internal_error, 500, "Internal Server Error"},
    status_row{status::not_implemented, 501, "Not Implemented"},
    status_row{status::unavailable, 503, "Service Unavailable"},
    status_row{status::version_not_supported, 505, "HTTP Version Not Supported"},
};

inline constexpr std::size_t status_count = status_table.size();

/// The position of a status in `status_table`, and in every array that runs beside it.
[[nodiscard]] constexpr std::size_t index_of(status value) noexcept {
    return static_cast<std::size_t>(value);
}

/// The number and the reason phrase of a status.
[[nodiscard]] constexpr const status_row& row_of(status value) noexcept {
    return status_table[index_of(value)];
}

static_assert(
    [] {
        for (std::size_t i = 0; i < status_count; ++i) {
            if (index_of(status_table[i].value) != i) {
                return false;
            }
        }
        return true;
    }(),
    "the rows stand in the order of the enumeration");

}  // namespace segment_server
