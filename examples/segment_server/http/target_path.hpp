// SPDX-License-Identifier: MIT
#pragma once

// From the target of a request to a path relative to the root, decoded once and only once. The
// kernel refuses to leave the root in any case (RESOLVE_BENEATH); what is refused here is what has
// no business in a request. Source: RFC 3986, sections 2.1 and 3.3.

#include <array>
#include <cstddef>
#include <string_view>

#include <segment_server/http/status.hpp>

namespace segment_server {

/// A relative path without empty, "." and ".." segments, ended by NUL, in place.
class target_path {
public:
    /// Decodes the path of a target; a query is left out.
    ///
    /// Ensures: path() is the decoded path; empty for "/".
    /// Returns: `ok`; `bad_request` for a malformed escape, an escaped separator or control
    /// character, or a dot segment; `not_found` for what cannot be a file here: an empty or hidden
    /// segment, or one that is too long.
    [[nodiscard]] status assign(std::string_view target) noexcept;

    [[nodiscard]] std::string_view path() const noexcept { return {text_.data(), size_}; }
    [[nodiscard]] const char* c_str() const noexcept { return text_.data(); }

private:
    [[nodiscard]] bool decode(std::string_view escaped) noexcept;
    [[nodiscard]] status check_segments() const noexcept;

    static constexpr std::size_t capacity = 1024;
    std::array<char, capacity + 1> text_{};
    std::size_t size_ = 0;
    bool overflowed_ = false;
};

}  // namespace segment_server
