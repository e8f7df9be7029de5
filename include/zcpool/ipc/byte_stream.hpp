// SPDX-License-Identifier: MIT
#pragma once

// A stream of bytes from one process to another, through memory that both have mapped.
//
// The writer writes in place and the reader reads in place, in contiguous ranges, also where the
// ring wraps (ring/byte_ring.hpp). No system call is made but to sleep and to wake one who sleeps.
// There is no lock: either process may be killed at any instruction, and the other one finds out.

#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/stream_end.hpp>
#include <zcpool/ring/byte_ring.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool::ipc {

/// The writing end.
///
/// Errors of all that write: `closed` by either end; `corrupt`, for good; `too_large` for more than
/// the capacity. Of what waits also `timed_out`, `peer_gone`, and the errno of poll. That the
/// reader has died is noticed by who waits for it; before, bytes go where nobody reads them.
class stream_writer : public stream_end {
public:
    stream_writer() noexcept = default;
    stream_writer(stream_writer&& other) noexcept
        : stream_end(static_cast<stream_end&&>(other)),
          ring_(std::exchange(other.ring_, {})),
          is_over_(other.is_over_) {}
    stream_writer& operator=(stream_writer&& other) noexcept {
        if (this != &other) {
            stream_end::operator=(static_cast<stream_end&&>(other));
            ring_ = std::exchange(other.ring_, {});
            is_over_ = other.is_over_;
        }
        return *this;
    }
    ~stream_writer() = default;

    /// As stream_end::close().
    void close() noexcept {
        stream_end::close();
        ring_ = {};
    }

    /// Makes a stream and hands its reading end to the peer of a connected UNIX socket, who calls
    /// stream_reader::receive().
    ///
    /// Errors: as stream_file::create() and stream_handover::offer().
    /// Concurrency: blocks until the peer has answered, or for the time in the options.
    [[nodiscard]] static result<stream_writer> create(int socket,
                                                      const stream_options& options = {}) noexcept {
        return stream_end::create<stream_writer>(socket, stream_side::writer, options);
    }

    /// Takes the writing end from the peer, who calls stream_reader::create().
    ///
    /// Errors: as stream_handover::accept().
    /// Concurrency: as create().
    [[nodiscard]] static result<stream_writer> receive(
        int socket, const stream_options& options = {}) noexcept {
        return stream_end::receive<stream_writer>(socket, stream_side::writer, options);
    }

    /// Bytes that may be written, contiguous, at least `least` of them.
    ///
    /// Returns: empty while there are fewer.
    /// Concurrency: wait-free.
    [[nodiscard]] result<std::span<std::byte>> space(std::size_t least = 1) noexcept {
        const auto found = ring_.space(least);
        if (found.empty() || is_over_) [[unlikely]] {
            return no_space(least);
        }
        return found;
    }

    /// As space(), of a byte at least, and waits for it. Where both ends wait for much, `least` of
    /// the one and of the other should not exceed the capacity together: each would wait for the
    /// other.
    [[nodiscard]] result<std::span<std::byte>> space_until(
        std::size_t least, sys::clock::time_point deadline) noexcept {
        least = larger_of(least, std::size_t{1});
        auto found = space(least);
        if (found && found->empty()) [[unlikely]] {
            const auto done =
                wait([&] { return !ring_.space(least).empty() || ring_.is_corrupt(); }, deadline);
            found = done ? space(least) : fail(done.error());
        }
        return found;
    }
    /// As space(), and waits for so much room; `timed_out` after `timeout`.
    template <class Rep, class Period>
    [[nodiscard]] result<std::span<std::byte>> space_for(
        std::size_t least, std::chrono::duration<Rep, Period> timeout) noexcept {
        return space_until(least, sys::deadline_after(timeout));
    }

    /// Hands the first `bytes` of space() to the reader, and wakes it if it sleeps.
    ///
    /// Expects: no more than space() gave.
    /// Complexity: a system call only when the reader sleeps.
    void commit(std::size_t bytes) noexcept {
        ring_.commit(bytes);
        if (is_open() && theirs().wake(barrier())) [[unlikely]] {
            is_over_ = true;
        }
    }

    /// Writes what there is room for. Returns: how many bytes; 0 while the ring is full.
    [[nodiscard]] result<std::size_t> write_some(std::span<const std::byte> bytes) noexcept {
        look_for(bytes.size());
        return put(space(), bytes);
    }
    /// As write_some(), and waits until there is room for a byte.
    [[nodiscard]] result<std::size_t> write_some(std::span<const std::byte> bytes,
                                                 sys::clock::time_point deadline) noexcept {
        look_for(bytes.size());
        return put(space_until(1, deadline), bytes);
    }

private:
    friend class stream_end;

    stream_writer(stream_memory memory, stream_peer peer, std::chrono::nanoseconds spin) noexcept
        : stream_end(std::move(memory), std::move(peer), stream_side::writer, spin) {
        ring_ = byte_producer{this->memory().header().positions, this->memory().pages.data(),
                              capacity()};
    }

    /// Lets the ring know of as much room as there is, if it knows of less than wanted.
    void look_for(std::size_t bytes) noexcept {
        static_cast<void>(ring_.space(smaller_of(bytes, capacity())));
    }

    /// Why there is no space.
    [[nodiscard]] result<std::span<std::byte>> no_space(std::size_t least) noexcept {
        if (!is_open()) {
            return fail(errc::closed);
        }
        if (ring_.is_corrupt()) {
            return fail(errc::corrupt);
        }
        if (least > capacity()) {
            return fail(errc::too_large);
        }
        if (is_over_ || theirs().was_closed()) {
            return fail(errc::closed);
        }
        return std::span<std::byte>{};
    }

    [[nodiscard]] result<std::size_t> put(const result<std::span<std::byte>>& room,
                                          std::span<const std::byte> bytes) noexcept {
        if (!room) [[unlikely]] {
            return fail(room.error());
        }
        const std::size_t count = smaller_of(room->size(), bytes.size());
        if (count != 0) {
            std::memcpy(room->data(), bytes.data(), count);
            commit(count);
        }
        return count;
    }

    byte_producer ring_;
    bool is_over_ = false;  ///< the reader has closed
};

/// The reading end.
///
/// Errors of all that read: `closed` by the writer, once everything has been read, or by this end;
/// `corrupt`, for good; `too_large` for more than the capacity. Of what waits also `timed_out`, the
/// errno of poll, and `peer_gone`, as `closed`.
class stream_reader : public stream_end {
public:
    stream_reader() noexcept = default;
    stream_reader(stream_reader&& other) noexcept
        : stream_end(static_cast<stream_end&&>(other)), ring_(std::exchange(other.ring_, {})) {}
    stream_reader& operator=(stream_reader&& other) noexcept {
        if (this != &other) {
            stream_end::operator=(static_cast<stream_end&&>(other));
            ring_ = std::exchange(other.ring_, {});
        }
        return *this;
    }
    ~stream_reader() = default;

    /// As stream_end::close().
    void close() noexcept {
        stream_end::close();
        ring_ = {};
    }

    /// Makes a stream and hands its writing end to the peer, who calls stream_writer::receive().
    ///
    /// Errors, Concurrency: as stream_writer::create().
    [[nodiscard]] static result<stream_reader> create(int socket,
                                                      const stream_options& options = {}) noexcept {
        return stream_end::create<stream_reader>(socket, stream_side::reader, options);
    }

    /// Takes the reading end from the peer, who calls stream_writer::create().
    ///
    /// Errors, Concurrency: as stream_writer::receive().
    [[nodiscard]] static result<stream_reader> receive(
        int socket, const stream_options& options = {}) noexcept {
        return stream_end::receive<stream_reader>(socket, stream_side::reader, options);
    }

    /// Bytes that are there, contiguous, at least `least` of them; fewer only where the writer has
    /// closed, or died, and these are the last. They stay until consume(), but a writer that
    /// scribbles can change them: copy what must not change between check and use.
    ///
    /// Returns: empty while there are fewer.
    /// Concurrency: wait-free.
    [[nodiscard]] result<std::span<const std::byte>> readable(std::size_t least = 1) noexcept {
        const auto found = ring_.readable(least);
        if (found.empty()) [[unlikely]] {
            return nothing(least);
        }
        return found;
    }

    /// As readable(), of a byte at least, and waits for it, as space_until() does for room.
    [[nodiscard]] result<std::span<const std::byte>> readable_until(
        std::size_t least, sys::clock::time_point deadline) noexcept {
        least = larger_of(least, std::size_t{1});
        auto found = readable(least);
        if (found && found->empty()) [[unlikely]] {
            const auto done = wait(
                [&] { return !ring_.readable(least).empty() || ring_.is_corrupt(); }, deadline);
            if (done || done.error() == errc::closed) {
                return readable(least);
            }
            if (done.error() == errc::peer_gone) {
                const auto last = ring_.readable();
                return last.empty() ? fail(done.error()) : result<std::span<const std::byte>>{last};
            }
            return fail(done.error());
        }
        return found;
    }
    /// As readable(), and waits for so many bytes; `timed_out` after `timeout`.
    template <class Rep, class Period>
    [[nodiscard]] result<std::span<const std::byte>> readable_for(
        std::size_t least, std::chrono::duration<Rep, Period> timeout) noexcept {
        return readable_until(least, sys::deadline_after(timeout));
    }

    /// Gives the first `bytes` of readable() back to the writer, and wakes it if it sleeps.
    ///
    /// Expects: no more than readable() gave.
    /// Complexity: a system call only when the writer sleeps.
    void consume(std::size_t bytes) noexcept {
        ring_.consume(bytes);
        if (is_open()) [[likely]] {
            static_cast<void>(theirs().wake(barrier()));
        }
    }

    /// Reads what is there. Returns: how many bytes; 0 while there are none.
    [[nodiscard]] result<std::size_t> read_some(std::span<std::byte> into) noexcept {
        look_for(into.size());
        return get(readable(), into);
    }
    /// As read_some(), and waits until there is a byte.
    [[nodiscard]] result<std::size_t> read_some(std::span<std::byte> into,
                                                sys::clock::time_point deadline) noexcept {
        look_for(into.size());
        return get(readable_until(1, deadline), into);
    }

private:
    friend class stream_end;

    stream_reader(stream_memory memory, stream_peer peer, std::chrono::nanoseconds spin) noexcept
        : stream_end(std::move(memory), std::move(peer), stream_side::reader, spin) {
        ring_ = byte_consumer{this->memory().header().positions, this->memory().pages.data(),
                              capacity()};
    }

    /// Lets the ring know of all bytes that are there, if it knows of fewer than wanted.
    void look_for(std::size_t bytes) noexcept {
        static_cast<void>(ring_.readable(smaller_of(bytes, capacity())));
    }

    /// Why there is nothing; or what there is behind the end.
    [[nodiscard]] result<std::span<const std::byte>> nothing(std::size_t least) noexcept {
        if (!is_open()) {
            return fail(errc::closed);
        }
        if (least > capacity()) {
            return fail(errc::too_large);
        }
        const bool is_over = theirs().was_closed();
        // Again: what was committed before it was closed.
        const auto last = is_over ? ring_.readable() : std::span<const std::byte>{};
        if (ring_.is_corrupt()) {
            return fail(errc::corrupt);
        }
        return is_over && last.empty() ? fail(errc::closed)
                                       : result<std::span<const std::byte>>{last};
    }

    [[nodiscard]] result<std::size_t> get(const result<std::span<const std::byte>>& there,
                                          std::span<std::byte> into) noexcept {
        if (!there) [[unlikely]] {
            return fail(there.error());
        }
        const std::size_t count = smaller_of(there->size(), into.size());
        if (count != 0) {
            std::memcpy(into.data(), there->data(), count);
            consume(count);
        }
        return count;
    }

    byte_consumer ring_;
};

}  // namespace zcpool::ipc
