// SPDX-License-Identifier: MIT
#pragma once

// What the results of two linked splices mean, one into a pipe and one out of it: how much has
// left, what the pipe holds, and how to go on. Knows neither system nor liburing.
// Source: splice(2), io_uring_enter(2) "IOSQE_IO_LINK".

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace zcpool::sink {

/// How a sink goes on after the results of its last requests.
enum class splice_outlook : std::uint8_t {
    goes_on,     ///< with what the pipe holds, or else with what waits for it
    is_blocked,  ///< the descriptor takes no more now; the pipe holds something
    takes_none,  ///< the pipe, though empty, takes nothing now
    is_broken,   ///< `error` says why
};

/// What came of the last requests.
struct splice_outcome {
    std::size_t sent = 0;  ///< bytes that the descriptor has taken
    splice_outlook outlook = splice_outlook::goes_on;
    int error = 0;  ///< an errno, where it is broken
};

/// The bytes in a pipe that is filled and drained by requests, of which a later one does not begin
/// when an earlier one did less than it was asked for.
///
///     fill -- all --> drain -- all --> the pipe is empty
///                           -- less, an error --> the pipe holds the rest
///          -- less --> drain is cancelled: the pipe holds that
///          -- error --> drain is cancelled: the pipe is as it was
///
/// Nothing may be put into the pipe while it holds something, or the bytes would change places.
/// Sharing: one thread.
class splice_progress {
public:
    /// Bytes that the pipe holds.
    [[nodiscard]] std::size_t in_pipe() const noexcept { return in_pipe_; }

    /// The pipe has been thrown away.
    void drop() noexcept { in_pipe_ = 0; }

    /// Takes in the results, bytes or an errno below 0: of the fill, nothing where the pipe held
    /// the bytes already; and of the drain.
    [[nodiscard]] splice_outcome take_in(std::optional<std::int32_t> filled,
                                         std::int32_t drained) noexcept {
        in_pipe_ += filled && *filled > 0 ? static_cast<std::size_t>(*filled) : 0;
        if (drained > 0) {
            const std::size_t sent = std::min(static_cast<std::size_t>(drained), in_pipe_);
            in_pipe_ -= sent;
            return {.sent = sent};
        }
        if (in_pipe_ != 0) {
            return outcome_of(drained, splice_outlook::is_blocked);
        }
        return outcome_of(filled.value_or(0), splice_outlook::takes_none);
    }

private:
    /// Of a result that moved nothing. 0 would be tried for ever: neither a sealed file nor a
    /// descriptor that takes nothing has an end.
    [[nodiscard]] static splice_outcome outcome_of(std::int32_t result,
                                                   splice_outlook when_full) noexcept {
        switch (-result) {
            case ECANCELED:
            case EINTR: return {};
            case EAGAIN: return {.outlook = when_full};
            default:
                return {.outlook = splice_outlook::is_broken, .error = result == 0 ? EIO : -result};
        }
    }

    std::size_t in_pipe_ = 0;
};

}  // namespace zcpool::sink
