// SPDX-License-Identifier: MIT
#pragma once

// Finds the end of a request head while it arrives, and refuses at the first octet what two parsers
// could read in two ways: a bare CR or LF, a folded line, white space before a colon, control
// characters. It stands in front of llhttp, which reads what has passed; some versions of llhttp
// accept a few of these, and request smuggling is made of them. Source: RFC 9112, sections 2.2, 3
// and 5.

#include <cstddef>
#include <string_view>

namespace segment_server {

/// How much of a request is accepted. In octets but for `fields`.
struct head_limits {
    std::size_t target = 8192;
    std::size_t head = 16384;
    std::size_t fields = 100;
};

/// Reads one request head, octet by octet, across any number of calls.
///
/// The outcome depends on the octets alone and never on how they were cut into pieces.
class head_scanner {
public:
    enum class outcome {
        incomplete,
        complete,
        malformed,
        method_too_long,
        target_too_long,
        head_too_large
    };

    explicit head_scanner(const head_limits& limits) noexcept : limits_(limits) {}

    /// Continues where the last call ended.
    ///
    /// Expects: `head` starts with the same first octet at each call and has only grown.
    [[nodiscard]] outcome scan(std::string_view head) noexcept;

    /// Starts with the next request.
    void reset() noexcept;

    /// How many octets the head has, the empty line included. Expects: `complete`.
    [[nodiscard]] std::size_t size() const noexcept { return position_; }
    /// Where the request line starts: after an empty line, which a client may send first.
    [[nodiscard]] std::size_t begin() const noexcept { return begin_; }

    [[nodiscard]] std::string_view method(std::string_view head) const noexcept {
        return head.substr(begin_, method_end_ - begin_);
    }
    [[nodiscard]] std::string_view target(std::string_view head) const noexcept {
        return head.substr(method_end_ + 1, target_end_ - method_end_ - 1);
    }
    /// The two digits of "HTTP/x.y".
    [[nodiscard]] unsigned version_major() const noexcept { return version_major_; }
    [[nodiscard]] unsigned version_minor() const noexcept { return version_minor_; }

private:
    enum class state {
        start,
        start_lf,
        method,
        target,
        version,
        line_lf,
        line,
        name,
        value,
        value_lf,
        end_lf
    };

    [[nodiscard]] outcome step(char c) noexcept;
    [[nodiscard]] outcome step_request_line(char c) noexcept;
    [[nodiscard]] outcome step_version(char c) noexcept;
    [[nodiscard]] outcome step_field(char c) noexcept;
    [[nodiscard]] outcome expect_lf(char c, state next) noexcept;

    head_limits limits_;
    state state_ = state::start;
    std::size_t position_ = 0;
    std::size_t begin_ = 0;
    std::size_t method_end_ = 0;
    std::size_t target_end_ = 0;
    std::size_t fields_ = 0;
    unsigned version_major_ = 0;
    unsigned version_minor_ = 0;
};

}  // namespace segment_server
