// SPDX-License-Identifier: MIT
#include <segment_server/http/request_parser.hpp>

#include <algorithm>
#include <array>

#include <segment_server/http/text.hpp>

namespace segment_server {
namespace {

// The methods that have a meaning which this server does not offer: 405. Any other token is 501.
bool is_known_method(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 14> known{
        "GET",   "HEAD",     "POST",    "PUT",   "DELETE", "CONNECT", "TRACE",
        "PATCH", "PROPFIND", "OPTIONS", "MKCOL", "COPY",   "MOVE",    "LOCK"};
    return std::find(known.begin(), known.end(), name) != known.end();
}

// reg-name, IPv4 or bracketed IPv6, then an optional port. No user information.
bool is_authority(std::string_view text) noexcept {
    const auto is_host_octet = [](char c) {
        return is_alpha(c) || is_digit(c) ||
               std::string_view{"-._~!$&'()*+,;=%"}.find(c) != std::string_view::npos;
    };
    const auto is_address_octet = [](char c) {
        return is_alpha(c) || is_digit(c) || c == ':' || c == '.';
    };
    std::size_t end = 0;
    if (text.starts_with('[')) {
        end = text.find(']');
        if (end == std::string_view::npos || end < 3 ||
            !std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(end),
                         is_address_octet)) {
            return false;
        }
        ++end;
    } else {
        end = std::min(text.find(':'), text.size());
        if (end == 0 || !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end),
                                     is_host_octet)) {
            return false;
        }
    }
    const std::string_view port = text.substr(end);
    return port.empty() || (port.size() <= 6 && port.starts_with(':') &&
                            std::all_of(port.begin() + 1, port.end(), is_digit));
}

}  // namespace

request_parser::request_parser(const head_limits& limits) noexcept : scanner_(limits) {}

request_parser::outcome request_parser::refuse(status why) noexcept {
    refusal_ = why;
    return outcome::refused;
}

request_parser::outcome request_parser::parse(std::string_view input) noexcept {
    switch (scanner_.scan(input)) {
        case head_scanner::outcome::incomplete: return outcome::incomplete;
        case head_scanner::outcome::complete: return parse_head(input.substr(0, scanner_.size()));
        case head_scanner::outcome::malformed: return refuse(status::bad_request);
        case head_scanner::outcome::method_too_long: return refuse(status::not_implemented);
        case head_scanner::outcome::target_too_long: return refuse(status::uri_too_long);
        case head_scanner::outcome::head_too_large: return refuse(status::header_fields_too_large);
    }
    return refuse(status::bad_request);
}

request_parser::outcome request_parser::parse_head(std::string_view head) noexcept {
    const std::string_view method_name = scanner_.method(head);
    if (scanner_.version_major() != 1 || scanner_.version_minor() > 1) {
        return refuse(status::version_not_supported);
    }
    if (!is_known_method(method_name)) {
        return refuse(status::not_implemented);
    }
    request_ = {};
    if (!read_fields(head.substr(scanner_.begin()))) {
        return refuse(status::bad_request);
    }
    const bool is_old = scanner_.version_minor() == 0;
    const bool host_is_bad =
        hosts_ > 1 || (hosts_ == 0 && !is_old) || (hosts_ == 1 && !is_authority(host_));
    // A transfer coding in HTTP/1.0 is faulty framing: an intermediary may have read the body
    // otherwise.
    if (host_is_bad || (is_old && has_transfer_coding_)) {
        return refuse(status::bad_request);
    }
    if (method_name != "GET" && method_name != "HEAD") {
        return refuse(status::method_not_allowed);
    }
    if (has_body_ || has_transfer_coding_) {
        return refuse(status::content_too_large);
    }
    if (unknown_expectation_) {
        return refuse(status::expectation_failed);
    }
    if (!read_target(scanner_.target(head))) {
        return refuse(status::bad_request);
    }
    request_.method = method_name == "GET" ? method::get : method::head;
    request_.after = !keep_alive_ ? persistence::close
                     : is_old     ? persistence::keep_and_say_so
                                  : persistence::keep;
    return outcome::complete;
}

const llhttp_settings_t& request_parser::settings() noexcept {
    static const llhttp_settings_t instance = [] {
        llhttp_settings_t s;
        llhttp_settings_init(&s);
        s.on_header_field = on_field;
        s.on_header_value = on_value;
        s.on_header_value_complete = on_value_complete;
        s.on_headers_complete = on_headers_complete;
        return s;
    }();
    return instance;
}

bool request_parser::read_fields(std::string_view head) noexcept {
    name_ = value_ = host_ = {};
    hosts_ = 0;
    unknown_expectation_ = has_transfer_coding_ = has_body_ = keep_alive_ = false;
    llhttp_init(&parser_, HTTP_REQUEST, &settings());
    parser_.data = this;
    const auto error = llhttp_execute(&parser_, head.data(), head.size());
    // An offer to upgrade is ignored, as the protocol allows; CONNECT is refused further on.
    return error == HPE_OK || error == HPE_PAUSED_UPGRADE;
}

int request_parser::on_field(llhttp_t* parser, const char* at, std::size_t length) noexcept {
    auto& self = *static_cast<request_parser*>(parser->data);
    self.name_ = self.name_.empty()
                     ? std::string_view{at, length}
                     : std::string_view{self.name_.data(), self.name_.size() + length};
    return 0;
}

int request_parser::on_value(llhttp_t* parser, const char* at, std::size_t length) noexcept {
    auto& self = *static_cast<request_parser*>(parser->data);
    // Spans of one value touch each other in the buffer: from the first one's start to the last
    // one's end.
    self.value_ =
        self.value_.data() == nullptr
            ? std::string_view{at, length}
            : std::string_view{self.value_.data(),
                               static_cast<std::size_t>(at - self.value_.data()) + length};
    return 0;
}

int request_parser::on_value_complete(llhttp_t* parser) noexcept {
    auto& self = *static_cast<request_parser*>(parser->data);
    self.take_field(self.name_, trim(self.value_));
    self.name_ = self.value_ = {};
    return 0;
}

int request_parser::on_headers_complete(llhttp_t* parser) noexcept {
    auto& self = *static_cast<request_parser*>(parser->data);
    self.has_body_ = (parser->flags & F_CHUNKED) != 0 || parser->content_length > 0;
    self.keep_alive_ = llhttp_should_keep_alive(parser) != 0;
    return 0;
}

void request_parser::take_field(std::string_view name, std::string_view value) noexcept {
    struct row {
        std::string_view name;
        single_field segment_server::request::* field;
    };
    constexpr std::array rows{
        row{"range", &segment_server::request::range},
        row{"if-match", &segment_server::request::if_match},
        row{"if-none-match", &segment_server::request::if_none_match},
        row{"if-modified-since", &segment_server::request::if_modified_since},
        row{"if-unmodified-since", &segment_server::request::if_unmodified_since},
        row{"if-range", &segment_server::request::if_range},
    };
    if (equals_ignoring_case(name, "host")) {
        host_ = value;
        ++hosts_;
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
        has_transfer_coding_ = true;
    } else if (equals_ignoring_case(name, "expect")) {
        unknown_expectation_ = unknown_expectation_ || !equals_ignoring_case(value, "100-continue");
    } else {
        for (const auto& candidate : rows) {
            if (equals_ignoring_case(name, candidate.name)) {
                (request_.*candidate.field).add(value);
            }
        }
    }
}

bool request_parser::read_target(std::string_view target) noexcept {
    constexpr std::string_view scheme = "http://";
    if (target.starts_with('/')) {
        request_.target = target;
        return true;
    }
    if (target.size() <= scheme.size() ||
        !equals_ignoring_case(target.substr(0, scheme.size()), scheme)) {
        return false;  // "*" and an authority alone belong to OPTIONS and CONNECT.
    }
    target.remove_prefix(scheme.size());
    const auto end = std::min(target.find_first_of("/?"), target.size());
    if (!is_authority(target.substr(0, end))) {
        return false;
    }
    target.remove_prefix(end);
    request_.target = target.starts_with('/') ? target : std::string_view{"/"};
    return true;
}

}  // namespace segment_server
