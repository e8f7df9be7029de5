// SPDX-License-Identifier: MIT
#include <segment_server/http/target_path.hpp>

#include <segment_server/http/text.hpp>

namespace segment_server {
namespace {

constexpr int hex_value(char c) noexcept {
    if (is_digit(c)) {
        return c - '0';
    }
    const char letter = to_lower(c);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

// An escaped separator would mean something else to a proxy that decodes; the others are in no sane
// file name.
constexpr bool may_be_escaped(char c) noexcept {
    const auto octet = static_cast<unsigned char>(c);
    return octet >= 0x20 && octet != 0x7f && c != '/' && c != '\\';
}

}  // namespace

bool target_path::decode(std::string_view escaped) noexcept {
    size_ = 0;
    overflowed_ = false;
    for (std::size_t i = 0; i < escaped.size(); ++i) {
        char c = escaped[i];
        if (c == '%') {
            const int high = i + 2 < escaped.size() ? hex_value(escaped[i + 1]) : -1;
            const int low = i + 2 < escaped.size() ? hex_value(escaped[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = static_cast<char>(high * 16 + low);
            if (!may_be_escaped(c)) {
                return false;
            }
            i += 2;
        }
        // What is too long is still read to its end: malformed is malformed, at any length.
        overflowed_ = overflowed_ || size_ == capacity;
        if (!overflowed_) {
            text_[size_++] = c;
        }
    }
    text_[size_] = '\0';
    return true;
}

status target_path::check_segments() const noexcept {
    std::string_view rest = path();
    status found = status::ok;
    while (!rest.empty()) {
        const auto slash = rest.find('/');
        const std::string_view segment = rest.substr(0, slash);
        if (segment == "." || segment == "..") {
            return status::bad_request;
        }
        // Packagers write to ".name" or ".name.tmp" and rename: what starts with a dot is not
        // published.
        if (segment.empty() || segment.front() == '.') {
            found = status::not_found;
        }
        rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    }
    return path().ends_with('/') ? status::not_found : found;
}

status target_path::assign(std::string_view target) noexcept {
    const std::string_view escaped = target.substr(0, target.find('?'));
    if (!escaped.starts_with('/') || !decode(escaped.substr(1))) {
        return status::bad_request;
    }
    const status found = check_segments();
    return found == status::ok && overflowed_ ? status::not_found : found;
}

}  // namespace segment_server
