// SPDX-License-Identifier: MIT
#include <segment_server/http/head_scanner.hpp>

#include <array>
#include <cstdint>

#include <segment_server/http/text.hpp>

namespace segment_server {
namespace {

enum octet_class : std::uint8_t { in_token = 1, in_target = 2, in_value = 4 };

// Longer than any method there is.
constexpr std::size_t method_limit = 32;

constexpr std::array<std::uint8_t, 256> make_octet_classes() noexcept {
    std::array<std::uint8_t, 256> classes{};
    const auto add = [&classes](std::string_view octets, octet_class which) {
        for (const char c : octets) {
            classes[static_cast<unsigned char>(c)] |= which;
        }
    };
    for (unsigned c = 0; c < 256; ++c) {
        const char letter = static_cast<char>(c);
        if (is_alpha(letter) || is_digit(letter)) {
            classes[c] = in_token | in_target;
        }
        if (c == '\t' || (c >= 0x20 && c != 0x7f)) {
            classes[c] |= in_value;
        }
    }
    add("!#$%&'*+-.^_`|~", in_token);
    add("-._~:/?[]@!$&'()*+,;=%",
        in_target);  // every character of a URI but '#', which is never sent
    return classes;
}

constexpr auto octet_classes = make_octet_classes();

constexpr bool is(char c, octet_class which) noexcept {
    return (octet_classes[static_cast<unsigned char>(c)] & which) != 0;
}

constexpr std::string_view version_prefix = "HTTP/";

}  // namespace

void head_scanner::reset() noexcept { *this = head_scanner{limits_}; }

head_scanner::outcome head_scanner::scan(std::string_view head) noexcept {
    while (position_ < head.size()) {
        if (position_ == limits_.head) {
            return outcome::head_too_large;
        }
        // Most octets are those of field values and of the target: run through them.
        if (state_ == state::value) {
            while (position_ < head.size() && position_ < limits_.head &&
                   is(head[position_], in_value)) {
                ++position_;
            }
            if (position_ == head.size() || position_ == limits_.head) {
                continue;
            }
        }
        const outcome after = step(head[position_]);
        if (after != outcome::incomplete && after != outcome::complete) {
            return after;
        }
        ++position_;
        if (after == outcome::complete) {
            return after;
        }
    }
    return outcome::incomplete;
}

head_scanner::outcome head_scanner::step(char c) noexcept {
    switch (state_) {
        case state::start:
        case state::start_lf:
        case state::method:
        case state::target: return step_request_line(c);
        case state::version: return step_version(c);
        case state::line_lf:
        case state::value_lf: return expect_lf(c, state::line);
        case state::line:
        case state::name:
        case state::value: return step_field(c);
        case state::end_lf: return c == '\n' ? outcome::complete : outcome::malformed;
    }
    return outcome::malformed;
}

head_scanner::outcome head_scanner::step_request_line(char c) noexcept {
    if (state_ == state::start_lf) {
        begin_ = position_ + 1;
        return expect_lf(c, state::method);
    }
    if (state_ == state::start) {
        // One empty line in front is let through; a second one is found by `method`, which is never
        // empty.
        state_ = c == '\r' ? state::start_lf : state::method;
        return c == '\r' || is(c, in_token) ? outcome::incomplete : outcome::malformed;
    }
    if (state_ == state::method) {
        if (c == ' ' && position_ > begin_) {
            method_end_ = position_;
            state_ = state::target;
            return outcome::incomplete;
        }
        if (position_ - begin_ == method_limit) {
            return outcome::method_too_long;
        }
        return is(c, in_token) ? outcome::incomplete : outcome::malformed;
    }
    if (c == ' ' && position_ > method_end_ + 1) {
        target_end_ = position_;
        state_ = state::version;
        return outcome::incomplete;
    }
    if (!is(c, in_target)) {
        return outcome::malformed;
    }
    return position_ - method_end_ > limits_.target ? outcome::target_too_long
                                                    : outcome::incomplete;
}

head_scanner::outcome head_scanner::step_version(char c) noexcept {
    const std::size_t at = position_ - target_end_ - 1;
    if (at < version_prefix.size()) {
        return c == version_prefix[at] ? outcome::incomplete : outcome::malformed;
    }
    switch (at - version_prefix.size()) {
        case 0:
            version_major_ = static_cast<unsigned>(c - '0');
            return is_digit(c) ? outcome::incomplete : outcome::malformed;
        case 1: return c == '.' ? outcome::incomplete : outcome::malformed;
        case 2:
            version_minor_ = static_cast<unsigned>(c - '0');
            return is_digit(c) ? outcome::incomplete : outcome::malformed;
        default:
            state_ = state::line_lf;
            return c == '\r' ? outcome::incomplete : outcome::malformed;
    }
}

head_scanner::outcome head_scanner::step_field(char c) noexcept {
    if (state_ == state::line) {
        if (c == '\r') {
            state_ = state::end_lf;
            return outcome::incomplete;
        }
        // White space here would continue the line before (obs-fold): it is no token character.
        state_ = state::name;
        if (!is(c, in_token)) {
            return outcome::malformed;
        }
        return ++fields_ > limits_.fields ? outcome::head_too_large : outcome::incomplete;
    }
    if (state_ == state::name) {
        if (c == ':') {
            state_ = state::value;
            return outcome::incomplete;
        }
        return is(c, in_token) ? outcome::incomplete : outcome::malformed;
    }
    if (c == '\r') {
        state_ = state::value_lf;
        return outcome::incomplete;
    }
    return is(c, in_value) ? outcome::incomplete : outcome::malformed;
}

head_scanner::outcome head_scanner::expect_lf(char c, state next) noexcept {
    state_ = next;
    return c == '\n' ? outcome::incomplete : outcome::malformed;
}

}  // namespace segment_server
