// SPDX-License-Identifier: MIT
#pragma once

// From octets to a request or to the status that refuses it. llhttp reads the fields and decides
// about framing and persistence; the scanner has found the end of the head before; here are the
// rules of an origin server about what it has read: version, method, Host, body, form of the
// target. Source: RFC 9112, sections 3 and 6; RFC 9110, sections 7.2 and 10.1.1.

#include <cstddef>
#include <string_view>

#include <llhttp.h>

#include <segment_server/http/head_scanner.hpp>
#include <segment_server/http/request.hpp>
#include <segment_server/http/status.hpp>

namespace segment_server {

/// Reads requests one after the other from the front of a growing buffer.
///
/// Not for: bodies. A request that has one is refused, and its connection closed.
class request_parser {
public:
    enum class outcome { incomplete, complete, refused };

    explicit request_parser(const head_limits& limits) noexcept;
    request_parser(const request_parser&) = delete;
    request_parser& operator=(const request_parser&) = delete;

    /// Reads on in `input`, which starts with the first octet of the present request.
    ///
    /// Ensures: `complete` fills request(), `refused` fills refusal(); both stay until the next
    /// call.
    [[nodiscard]] outcome parse(std::string_view input) noexcept;

    [[nodiscard]] const segment_server::request& request() const noexcept { return request_; }
    [[nodiscard]] status refusal() const noexcept { return refusal_; }
    /// How many octets the head took. Expects: the last outcome was `complete`.
    [[nodiscard]] std::size_t size() const noexcept { return scanner_.size(); }

    /// Forgets the present request and waits for the next.
    void next() noexcept { scanner_.reset(); }

private:
    static int on_field(llhttp_t* parser, const char* at, std::size_t length) noexcept;
    static int on_value(llhttp_t* parser, const char* at, std::size_t length) noexcept;
    static int on_value_complete(llhttp_t* parser) noexcept;
    static int on_headers_complete(llhttp_t* parser) noexcept;
    static const llhttp_settings_t& settings() noexcept;

    [[nodiscard]] outcome refuse(status why) noexcept;
    [[nodiscard]] outcome parse_head(std::string_view head) noexcept;
    [[nodiscard]] bool read_fields(std::string_view head) noexcept;
    [[nodiscard]] bool read_target(std::string_view target) noexcept;
    void take_field(std::string_view name, std::string_view value) noexcept;

    head_scanner scanner_;
    llhttp_t parser_{};
    segment_server::request request_;
    status refusal_ = status::bad_request;

    // What is known while llhttp reads the fields of one head.
    std::string_view name_;
    std::string_view value_;
    std::string_view host_;
    std::size_t hosts_ = 0;
    bool unknown_expectation_ = false;
    bool has_transfer_coding_ = false;
    bool has_body_ = false;
    bool keep_alive_ = false;
};

}  // namespace segment_server
