// SPDX-License-Identifier: MIT
#pragma once

// Which media type a file name means, for the names that packagers write.
// Source: RFC 8216 section 4 (playlists), ISO/IEC 23009-1 annex C (DASH), RFC 6381.

#include <array>
#include <string_view>

#include <segment_server/http/text.hpp>

namespace segment_server {

/// How a file is labelled.
struct media_type {
    std::string_view name;
    bool is_playlist;  ///< rewritten while a stream is live, so caches must ask again each time
};

/// The media type of a file by the extension of its name; octets without a meaning for all others.
[[nodiscard]] constexpr media_type media_type_of(std::string_view path) noexcept {
    struct row {
        std::string_view extension;
        media_type type;
    };
    constexpr std::array rows{
        row{".m3u8", {"application/vnd.apple.mpegurl", true}},
        row{".mpd", {"application/dash+xml", true}},
        row{".ts", {"video/mp2t", false}},
        row{".m4s", {"video/iso.segment", false}},
        row{".cmfv", {"video/mp4", false}},
        row{".cmfa", {"audio/mp4", false}},
        row{".mp4", {"video/mp4", false}},
        row{".m4v", {"video/mp4", false}},
        row{".m4a", {"audio/mp4", false}},
        row{".aac", {"audio/aac", false}},
        row{".mp3", {"audio/mpeg", false}},
        row{".webm", {"video/webm", false}},
        row{".vtt", {"text/vtt; charset=utf-8", false}},
        row{".key", {"application/octet-stream", false}},
        row{".jpg", {"image/jpeg", false}},
        row{".png", {"image/png", false}},
        row{".json", {"application/json", false}},
        row{".txt", {"text/plain; charset=utf-8", false}},
        row{".html", {"text/html; charset=utf-8", false}},
    };
    const auto dot = path.rfind('.');
    if (dot != std::string_view::npos) {
        for (const auto& candidate : rows) {
            if (equals_ignoring_case(path.substr(dot), candidate.extension)) {
                return candidate.type;
            }
        }
    }
    return {"application/octet-stream", false};
}

}  // namespace segment_server
