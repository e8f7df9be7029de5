// SPDX-License-Identifier: MIT
#pragma once

// From a socket to another, or to a file, without the bytes entering the process: splice moves the
// pages of the one into a pipe, and out of it to the other. What looks at the bytes uses
// source::read.
// Source: splice(2), pipe(7) "Pipe capacity".

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/pipe.hpp>
#include <zcpool/sys/pipe_pool.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::source {

/// What becomes of the output when the input has ended.
enum class at_end : std::uint8_t {
    passes_on,  ///< a socket's peer is told, too, that no more comes (half-close)
    leaves,     ///< nothing
};

/// A side of source::splice.
enum class side : std::uint8_t { none, input, output };

/// What source::splice may be told.
struct splice_options {
    /// Bytes after which pull() leaves the turn to others.
    std::size_t most_a_pull = 1_MiB;

    source::at_end at_end = at_end::passes_on;

    /// Where pipes come from and go back to when they are empty; null: a pipe of its own, made at
    /// the first pull that finds something.
    sys::pipe_pool* pipes = nullptr;

    /// What a pipe of its own should hold.
    std::size_t pipe_bytes = sys::usual_pipe_bytes;
};

/// Moves what comes from one descriptor to another, one direction.
///
///     from -> | pipe: in_pipe() bytes | -> to
///
/// It takes from the input only when the pipe is empty: so what it holds is a pipe full at most,
/// and an output that takes no more stops the reading. What came before the input ended or failed
/// has gone out by then. When the output fails, what is left in the pipe is counted by in_pipe()
/// and to be had from read_rest().
///
/// Expects: non-blocking stream sockets or pipes; `to` may be a file (not opened to append). An
/// input that splice(2) cannot do (EINVAL) fails at the first pull, with nothing taken. splice(2)
/// knows no MSG_NOSIGNAL: the program must ignore SIGPIPE.
/// Sharing: one thread at a time. Does not own the descriptors, which must outlive it.
class splice {
public:
    /// Moves what comes from one descriptor to the other.
    splice(int from, int to, const splice_options& options = {}) noexcept
        : options_(options), from_(from), to_(to) {}
    /// Leaves `other` without descriptors: it fails when it is pulled.
    splice(splice&& other) noexcept { take_over(other); }
    splice& operator=(splice&& other) noexcept {
        if (this != &other) {
            give_back();
            take_over(other);
        }
        return *this;
    }
    ~splice() { give_back(); }

    /// Moves what it can. `data` means that there may be more: pull again when others had their
    /// turn. `exhausted` means that no pipe was to be had: pipe_room() says why, the bytes stay in
    /// the input, and another pull tries again.
    ///
    /// Complexity: two system calls for a pipe full.
    state pull() noexcept {
        state now = state::data;
        for (std::size_t moved = 0; now == state::data && moved < options_.most_a_pull;) {
            if (in_pipe_ == 0) {
                now = fill();
            }
            if (in_pipe_ != 0) {
                now = drain(moved);
            }
        }
        give_back();
        waits_for_ = now == state::data      ? source::interest::readable
                     : now != state::blocked ? source::interest::none
                     : in_pipe_ != 0         ? source::interest::writable
                                             : source::interest::readable;
        return now;
    }

    /// What to wait for: `readable` of the input, or `writable` of the output.
    [[nodiscard]] source::interest interest() const noexcept { return waits_for_; }

    /// Bytes that came in and are not out.
    [[nodiscard]] std::size_t in_pipe() const noexcept { return in_pipe_; }
    /// Bytes that went out.
    [[nodiscard]] std::uint64_t moved() const noexcept { return stats_.bytes - in_pipe_; }
    /// Why it failed; empty while it works.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    /// Which side failed.
    [[nodiscard]] side failed_side() const noexcept { return failed_; }
    [[nodiscard]] const source::stats& stats() const noexcept { return stats_; }
    /// What the pipe that was used last holds, and why it is less than was asked for or why there
    /// was none; all zero before.
    [[nodiscard]] const sys::pipe_room& pipe_room() const noexcept { return room_; }

    /// Copies out what did not get to the output, so that it can be sent another way.
    ///
    /// Returns: bytes copied; 0 when there are none.
    /// Errors: the errno of read.
    [[nodiscard]] result<std::size_t> read_rest(std::span<std::byte> into) noexcept {
        if (in_pipe_ == 0 || into.empty()) {
            return 0;
        }
        auto got = pipe_.ends.read(into.data(), into.size());
        if (got) {
            in_pipe_ -= *got;
            stats_.bytes -= *got;  // they were not moved, and are not here any more
        }
        return got;
    }

private:
    /// Takes from the input.
    [[nodiscard]] state fill() noexcept {
        if (error_) {
            return state::failed;
        }
        if (has_ended_) {
            return state::ended;
        }
        if (!sys::get_pipe(pipe_, options_.pipes, options_.pipe_bytes, room_)) {
            ++stats_.exhausted;
            return state::exhausted;
        }
        const auto came = pipe_.ends.fill_from(from_, room_.bytes);
        ++stats_.calls;
        if (!came) {
            return sys::would_block(came.error()) ? state::blocked
                                                  : give_up(side::input, came.error());
        }
        if (*came == 0) {
            return end();
        }
        in_pipe_ = *came;
        stats_.bytes += *came;
        return state::data;
    }

    /// Gives to the output.
    [[nodiscard]] state drain(std::size_t& moved) noexcept {
        if (error_) {
            return state::failed;
        }
        // Whether more follows is not known, and a peer should not wait for it.
        const auto sent = pipe_.ends.drain_into(to_, in_pipe_, false);
        ++stats_.calls;
        if (!sent) {
            return sys::would_block(sent.error()) ? state::blocked
                                                  : give_up(side::output, sent.error());
        }
        if (*sent == 0) {  // would be tried for ever
            return give_up(side::output, std::error_code{EIO, std::system_category()});
        }
        in_pipe_ -= *sent;
        moved += *sent;
        return state::data;
    }

    [[nodiscard]] state end() noexcept {
        has_ended_ = true;
        if (options_.at_end == at_end::passes_on && sys::is_socket(to_).value_or(false)) {
            if (auto told = sys::shutdown_writing(to_); !told) {
                return give_up(side::output, told.error());
            }
        }
        return state::ended;
    }

    [[nodiscard]] state give_up(side where, std::error_code why) noexcept {
        failed_ = where;
        error_ = why;
        return state::failed;
    }

    /// Gives an empty pipe back; one that holds something is closed in the end.
    void give_back() noexcept {
        if (options_.pipes != nullptr && in_pipe_ == 0 && pipe_) {
            options_.pipes->give_back(std::move(pipe_));
        }
    }

    void take_over(splice& other) noexcept {
        options_ = other.options_;
        from_ = std::exchange(other.from_, -1);
        to_ = std::exchange(other.to_, -1);
        pipe_ = std::move(other.pipe_);
        room_ = other.room_;
        in_pipe_ = std::exchange(other.in_pipe_, 0);
        has_ended_ = other.has_ended_;
        waits_for_ = other.waits_for_;
        failed_ = other.failed_;
        error_ = other.error_;
        stats_ = other.stats_;
    }

    splice_options options_;
    int from_ = -1;
    int to_ = -1;
    sys::sized_pipe pipe_;
    sys::pipe_room room_;
    std::size_t in_pipe_ = 0;
    bool has_ended_ = false;
    source::interest waits_for_ = source::interest::readable;
    side failed_ = side::none;
    std::error_code error_;
    source::stats stats_;
};

}  // namespace zcpool::source
