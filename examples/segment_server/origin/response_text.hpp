// SPDX-License-Identifier: MIT
#pragma once

// The text of response heads. A head is put together from three pieces, each made when what it says
// changes and not once a response: the status line (by status), what describes the file (by file
// version), and the end (by second).

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include <segment_server/http/range.hpp>
#include <segment_server/http/request.hpp>
#include <segment_server/http/status.hpp>
#include <segment_server/origin/file_version.hpp>

namespace segment_server {

/// The strong validator of a version, quoted; empty for a file that has not settled, whose next
/// version might have the same.
[[nodiscard]] std::string make_etag(const file_version& version, bool settled);

/// What caches compare by: ETag, Last-Modified, Cache-Control. Part of 200, 206 and 304.
[[nodiscard]] std::string validator_fields(std::string_view path, const file_version& version,
                                           std::string_view etag);

/// What a file is: Content-Type, and that ranges of it may be asked for. Part of 200 and 206.
[[nodiscard]] std::string content_fields(std::string_view path);

/// Status line and Content-Length of a whole file.
[[nodiscard]] std::string ok_line(std::uint64_t size);

/// Status line, Content-Range and Content-Length of a part, into `out`. Returns: octets written, at
/// most `partial_line_limit`.
inline constexpr std::size_t partial_line_limit = 160;
[[nodiscard]] std::size_t write_partial_line(char* out, const byte_range& part,
                                             std::uint64_t size) noexcept;

inline constexpr std::string_view not_modified_line = "HTTP/1.1 304 Not Modified\r\n";

/// An answer without a file: its head up to the end piece, and its body.
struct plain_answer {
    std::string head;
    std::string body;
};

/// The answer for a status, saying no more than it must.
[[nodiscard]] plain_answer make_plain_answer(status value);

/// The answer for a range outside of a file of `size` octets.
[[nodiscard]] plain_answer make_unsatisfiable_answer(std::uint64_t size);

/// A page that is made when it is asked for.
[[nodiscard]] plain_answer make_page(std::string_view type, std::string body);

/// The ends of heads: Server, Date, Connection and the empty line; remade when the second changes.
class head_end {
public:
    /// Returns: whether the text changed.
    bool update(std::time_t now);

    /// All ends, one after the other, and where each of them lies.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    struct part {
        std::size_t offset;
        std::size_t length;
    };
    [[nodiscard]] part find(persistence after) const noexcept {
        return parts_[static_cast<std::size_t>(after)];
    }
    [[nodiscard]] std::time_t now() const noexcept { return now_; }

private:
    std::time_t now_ = 0;
    std::string text_;
    std::array<part, 3> parts_{};
};

}  // namespace segment_server
