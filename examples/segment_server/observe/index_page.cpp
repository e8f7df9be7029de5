// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include <segment_server/http/content_type.hpp>
#include <segment_server/http/text.hpp>
#include <segment_server/observe/pages.hpp>

namespace segment_server {
namespace {

// Enough for a person to look at; a directory of a million files must not stop the server.
constexpr std::size_t most_looked_at = 10'000;
constexpr std::size_t most_listed = 200;
constexpr int deepest = 4;

// Percent-encoding escapes everything that means something in HTML, too, so it serves for both.
std::string escape(std::string_view text, bool for_link) {
    std::string out;
    for (const char c : text) {
        const bool plain = is_alpha(c) || is_digit(c) ||
                           std::string_view{"-._~/"}.find(c) != std::string_view::npos;
        if (plain || (!for_link && static_cast<unsigned char>(c) >= 0x80)) {
            out += c;
        } else if (for_link) {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        } else {
            out += fmt::format("&#{};", static_cast<unsigned char>(c));
        }
    }
    return out;
}

std::vector<std::string> find_streams(int root) {
    namespace fs = std::filesystem;
    const fs::path base = fmt::format("/proc/self/fd/{}/.", root);
    std::vector<std::string> found;
    std::error_code error;
    std::size_t looked_at = 0;
    for (fs::recursive_directory_iterator each{base, fs::directory_options::skip_permission_denied,
                                               error};
         !error && each != fs::recursive_directory_iterator{} && ++looked_at < most_looked_at &&
         found.size() < most_listed;
         each.increment(error)) {
        const std::string name = each->path().filename().string();
        if (name.starts_with('.') || each.depth() >= deepest) {
            each.disable_recursion_pending();
        }
        if (!name.starts_with('.') && media_type_of(name).is_playlist) {
            found.push_back(each->path().lexically_relative(base).string());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

void write_pool(std::string& out, const server_report& report) {
    const auto stats = report.pool->stats();
    const auto cached = report.cache->stats();
    out +=
        "<h2>Pool</h2>\n<table>\n<tr><th>slot bytes</th><th>slots</th><th>in use</th><th>most in "
        "use</th>"
        "<th>lent</th><th>renewed</th></tr>\n";
    for (const auto& each : stats) {
        fmt::format_to(
            std::back_inserter(out),
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            each.slot_bytes, each.slots, each.in_use, each.high_water, each.lent, each.renewed);
    }
    fmt::format_to(
        std::back_inserter(out),
        "</table>\n<p>{} files with {} bytes are in the pool; {} were given up for others. "
        "The pool is {}locked in RAM.</p>\n",
        cached.files, cached.bytes, cached.evictions,
        report.pool->report().locking.locked ? "" : "not ");
}

}  // namespace

plain_answer make_index_page(const server_report& report) {
    std::string out =
        "<!doctype html>\n<html lang=\"en\">\n<meta "
        "charset=\"utf-8\">\n<title>segment_server</title>\n"
        "<style>td,th{text-align:right;padding:0 "
        "1em}</style>\n<h1>segment_server</h1>\n<h2>Streams</h2>\n<ul>\n";
    for (const auto& stream : find_streams(report.root->fd())) {
        fmt::format_to(std::back_inserter(out), "<li><a href=\"/{}\">{}</a></li>\n",
                       escape(stream, true), escape(stream, false));
    }
    fmt::format_to(std::back_inserter(out),
                   "</ul>\n<p>Mode {}, sink {}, {} of {} connections; more in <a "
                   "href=\"/metrics\">/metrics</a>.</p>\n",
                   report.mode, report.sink, report.quota->open(), report.quota->limit());
    if (report.pool) {
        write_pool(out, report);
    }
    out += "</html>\n";
    return make_page("text/html; charset=utf-8", std::move(out));
}

}  // namespace segment_server
