// SPDX-License-Identifier: MIT
#pragma once

// What to tell a client when a file cannot be had.

#include <cerrno>
#include <system_error>

#include <segment_server/http/status.hpp>

namespace segment_server {

/// The status for an error of opening or reading.
[[nodiscard]] inline status status_of(const std::error_code& error) noexcept {
    if (error.category() != std::system_category()) {
        return status::unavailable;  // The pool has no room.
    }
    switch (error.value()) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ENXIO:  // a socket
        case ELOOP:  // a symbolic link
        case EXDEV:  // beyond the root
        case ENAMETOOLONG: return status::not_found;
        case EACCES:
        case EPERM: return status::forbidden;
        case EBUSY:  // being written
        case EMFILE:
        case ENFILE:
        case ENOMEM: return status::unavailable;
        default: return status::internal_error;
    }
}

}  // namespace segment_server
