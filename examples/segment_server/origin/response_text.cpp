// SPDX-License-Identifier: MIT
#include <segment_server/origin/response_text.hpp>

#include <utility>

#include <fmt/format.h>

#include <segment_server/http/content_type.hpp>
#include <segment_server/http/http_date.hpp>

namespace segment_server {
namespace {

std::string date_text(std::time_t when) {
    const auto date = format_http_date(when);
    return {date.data(), date.size()};
}

// What some statuses must or should say besides.
std::string_view extra_fields(status value) noexcept {
    switch (value) {
        case status::method_not_allowed: return "Allow: GET, HEAD\r\n";
        case status::unavailable: return "Retry-After: 1\r\n";
        default: return "";
    }
}

plain_answer make_answer(status value, std::string_view fields) {
    const auto& row = row_of(value);
    std::string body = fmt::format("{} {}\n", row.code, row.reason);
    std::string head = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: {}\r\nCache-Control: no-store\r\n{}",
        row.code, row.reason, body.size(), fields);
    return {std::move(head), std::move(body)};
}

}  // namespace

std::string make_etag(const file_version& version, bool settled) {
    return settled ? fmt::format("\"{:x}-{:x}-{:x}-{:x}\"", version.inode, version.size,
                                 version.modified_ns, version.changed_ns)
                   : std::string{};
}

std::string validator_fields(std::string_view path, const file_version& version,
                             std::string_view etag) {
    const bool is_playlist = media_type_of(path).is_playlist;
    return fmt::format("Cache-Control: {}\r\nLast-Modified: {}\r\n{}{}{}",
                       is_playlist || etag.empty() ? "no-cache" : "max-age=60",
                       date_text(version.modified()), etag.empty() ? "" : "ETag: ", etag,
                       etag.empty() ? "" : "\r\n");
}

std::string content_fields(std::string_view path) {
    // Players in browsers come from another origin than the segments.
    return fmt::format(
        "Content-Type: {}\r\nAccept-Ranges: bytes\r\nAccess-Control-Allow-Origin: *\r\n",
        media_type_of(path).name);
}

std::string ok_line(std::uint64_t size) {
    return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", size);
}

std::size_t write_partial_line(char* out, const byte_range& part, std::uint64_t size) noexcept {
    const auto end =
        fmt::format_to_n(out, partial_line_limit,
                         "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{}\r\n"
                         "Content-Length: {}\r\n",
                         part.offset, part.offset + part.length - 1, size, part.length);
    return static_cast<std::size_t>(end.out - out);
}

plain_answer make_plain_answer(status value) { return make_answer(value, extra_fields(value)); }

plain_answer make_unsatisfiable_answer(std::uint64_t size) {
    return make_answer(status::range_not_satisfiable,
                       fmt::format("Content-Range: bytes */{}\r\n", size));
}

plain_answer make_page(std::string_view type, std::string body) {
    std::string head = fmt::format(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
        "Cache-Control: no-store\r\n",
        type, body.size());
    return {std::move(head), std::move(body)};
}

bool head_end::update(std::time_t now) {
    if (now == now_) {
        return false;
    }
    now_ = now;
    text_.clear();
    constexpr std::array<std::string_view, 3> connection{"", "Connection: keep-alive\r\n",
                                                         "Connection: close\r\n"};
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        parts_[i].offset = text_.size();
        text_ += fmt::format("Server: segment_server\r\nDate: {}\r\n{}\r\n", date_text(now),
                             connection[i]);
        parts_[i].length = text_.size() - parts_[i].offset;
    }
    return true;
}

}  // namespace segment_server
