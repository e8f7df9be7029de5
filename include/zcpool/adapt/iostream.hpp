// SPDX-License-Identifier: MIT
#pragma once

// std::ostream and std::istream over the two ends of a byte stream, without a copy of their own:
// the put area and the get area lie in the ring. chain_iostream.hpp has those over chains.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <istream>
#include <ostream>
#include <system_error>
#include <utility>

#include <zcpool/adapt/stream_area.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/ipc/byte_stream.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::adapt {

/// Waits as long as it takes; a peer that closes or dies still ends it.
inline constexpr auto no_timeout = std::chrono::nanoseconds::max();

/// The put area of a stream. What was put is the reader's when the area is full, and at a flush.
///
/// Errors: failures end the stream (badbit there); error() says why.
/// Sharing: as the end, which it has.
class output_buffer : public put_area {
public:
    /// `timeout`: for each wait for room.
    explicit output_buffer(ipc::stream_writer to,
                           std::chrono::nanoseconds timeout = no_timeout) noexcept
        : end_(std::move(to)), timeout_(timeout) {}
    /// Hands over what was put, and closes the stream.
    ~output_buffer() override { hand_over(); }

    /// Hands over what was put, and closes the stream.
    void close() noexcept {
        hand_over();
        setp(nullptr, nullptr);
        end_.close();
    }

    /// The end that it writes to.
    [[nodiscard]] ipc::stream_writer& stream() noexcept { return end_; }

protected:
    int_type overflow(int_type next) override {
        hand_over();
        const auto room = end_.space_until(1, sys::deadline_after(timeout_));
        if (!room) {
            return stop(room.error());
        }
        // Not all of it: the reader should have something to do meanwhile.
        const std::size_t most =
            std::min(longest_area, std::max<std::size_t>(end_.capacity() / 4, 1));
        return go_on(room->first(std::min(room->size(), most)), next);
    }

    int sync() override {
        hand_over();
        const auto room = end_.space();
        error_ = room ? std::error_code{} : room.error();
        return room ? 0 : -1;
    }

private:
    static constexpr std::size_t longest_area = 64_KiB;

    void hand_over() noexcept {
        if (const std::size_t put = take_put(); put != 0) {
            end_.commit(put);
        }
    }

    ipc::stream_writer end_;
    std::chrono::nanoseconds timeout_;
};

/// The get area of a stream. What was got is the writer's again when the next bytes are needed.
///
/// Errors: the end of the stream (eofbit there), whether it was closed or not; error() says why.
/// Sharing: as the end, which it has.
class input_buffer : public get_area {
public:
    /// `timeout`: for each wait for bytes.
    explicit input_buffer(ipc::stream_reader from,
                          std::chrono::nanoseconds timeout = no_timeout) noexcept
        : end_(std::move(from)), timeout_(timeout) {}

    /// Why there was nothing when it was last needed: `closed` at a proper end; none where there
    /// was.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    /// The end that it reads from.
    [[nodiscard]] ipc::stream_reader& stream() noexcept { return end_; }

protected:
    int_type underflow() override {
        give_back();
        const auto there = end_.readable_until(1, sys::deadline_after(timeout_));
        if (!there) {
            error_ = there.error();
            return traits_type::eof();
        }
        error_ = {};
        get_from(*there);
        return traits_type::to_int_type(*gptr());
    }

    /// Called when the get area is empty.
    std::streamsize showmanyc() override {
        give_back();
        const auto there = end_.readable();
        if (!there) {
            error_ = there.error();
            return -1;
        }
        get_from(*there);
        return egptr() - gptr();
    }

private:
    void give_back() noexcept {
        if (const std::size_t got = take_got(); got != 0) {
            end_.consume(got);
        }
    }

    ipc::stream_reader end_;
    std::chrono::nanoseconds timeout_;
    std::error_code error_;
};

/// A std::ostream into a byte stream. `std::flush` hands over what was written.
class ostream : private detail::owned_buffer<output_buffer>, public std::ostream {
public:
    /// Writes to a stream; a wait for its reader ends after `timeout`.
    explicit ostream(ipc::stream_writer to, std::chrono::nanoseconds timeout = no_timeout)
        : owned_buffer(std::move(to), timeout), std::ostream(&buffer_) {}

    /// As output_buffer::close() and error().
    void close() noexcept { buffer_.close(); }
    [[nodiscard]] std::error_code error() const noexcept { return buffer_.error(); }
    /// As output_buffer::stream().
    [[nodiscard]] ipc::stream_writer& stream() noexcept { return buffer_.stream(); }
};

/// A std::istream out of a byte stream.
class istream : private detail::owned_buffer<input_buffer>, public std::istream {
public:
    /// Reads from a stream; a wait for its writer ends after `timeout`.
    explicit istream(ipc::stream_reader from, std::chrono::nanoseconds timeout = no_timeout)
        : owned_buffer(std::move(from), timeout), std::istream(&buffer_) {}

    /// As input_buffer::error().
    [[nodiscard]] std::error_code error() const noexcept { return buffer_.error(); }
    /// As input_buffer::stream().
    [[nodiscard]] ipc::stream_reader& stream() noexcept { return buffer_.stream(); }
};

}  // namespace zcpool::adapt
