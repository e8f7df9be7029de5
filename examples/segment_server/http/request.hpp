// SPDX-License-Identifier: MIT
#pragma once

// A request as the rest of the server sees it: the fields that matter to an origin of files, as
// views into the connection's input buffer. Valid until that buffer moves.

#include <string_view>

namespace segment_server {

enum class method { get, head };

/// How a connection goes on after a response, and what the response has to say about it.
enum class persistence {
    keep,             ///< HTTP/1.1: nothing need be said
    keep_and_say_so,  ///< HTTP/1.0 with "Connection: keep-alive"
    close,
};

/// A field that says something only when it stands once. Twice, it is as if it were not there: for
/// these fields that is always an answer that the client understands, if not the shortest.
class single_field {
public:
    void add(std::string_view value) noexcept {
        value_ = value;
        ++count_;
    }
    /// Whether it stands exactly once.
    explicit operator bool() const noexcept { return count_ == 1; }
    [[nodiscard]] bool was_repeated() const noexcept { return count_ > 1; }
    [[nodiscard]] std::string_view operator*() const noexcept { return value_; }

private:
    std::string_view value_;
    unsigned count_ = 0;
};

/// One GET or HEAD request without a body.
struct request {
    segment_server::method method = method::get;
    persistence after = persistence::keep;
    std::string_view target;  ///< in origin form, query included; never empty

    single_field range;
    single_field if_match;
    single_field if_none_match;
    single_field if_modified_since;
    single_field if_unmodified_since;
    single_field if_range;
};

}  // namespace segment_server
