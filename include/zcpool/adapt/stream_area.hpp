// SPDX-License-Identifier: MIT
#pragma once

// What all stream buffers over memory of this library share: put and get areas that are that
// memory, and the reason of the last failure.
// Source: [streambuf.reqts] of the C++ standard.

#include <cstddef>
#include <span>
#include <streambuf>
#include <system_error>
#include <utility>

namespace zcpool::adapt {

/// The base of a stream buffer that writes. Its put area is the memory that it writes to.
class put_area : public std::streambuf {
public:
    put_area(const put_area&) = delete;
    put_area& operator=(const put_area&) = delete;

    /// Why there was no room when it was last needed; none where there was.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }

protected:
    put_area() = default;
    ~put_area() override = default;

    /// How many bytes were put since the last call. What remains of the area stays the area.
    [[nodiscard]] std::size_t take_put() noexcept {
        const auto put = pptr() - pbase();
        setp(pptr(), epptr());
        return static_cast<std::size_t>(put);
    }

    /// Bytes that were put and not taken.
    [[nodiscard]] std::size_t put() const noexcept {
        return static_cast<std::size_t>(pptr() - pbase());
    }

    /// Goes on in another area, and puts `next` there; what overflow() returns.
    /// Expects: `room` is not empty.
    int_type go_on(std::span<std::byte> room, int_type next) noexcept {
        error_ = {};
        char* const begin = reinterpret_cast<char*>(room.data());
        setp(begin, begin + room.size());
        if (!traits_type::eq_int_type(next, traits_type::eof())) {
            *pptr() = traits_type::to_char_type(next);
            pbump(1);
        }
        return traits_type::not_eof(next);
    }

    /// Has no area any more; what overflow() returns.
    int_type stop(std::error_code why) noexcept {
        setp(nullptr, nullptr);
        error_ = why;
        return traits_type::eof();
    }

    std::error_code error_;
};

/// The base of a stream buffer that reads. Its get area is the memory that it reads from.
class get_area : public std::streambuf {
public:
    get_area(const get_area&) = delete;
    get_area& operator=(const get_area&) = delete;

protected:
    get_area() = default;
    ~get_area() override = default;

    /// How many bytes were got. There is no area any more.
    [[nodiscard]] std::size_t take_got() noexcept {
        const auto got = gptr() - eback();
        setg(nullptr, nullptr, nullptr);
        return static_cast<std::size_t>(got);
    }

    /// Bytes of the area that were got.
    [[nodiscard]] std::size_t got() const noexcept {
        return static_cast<std::size_t>(gptr() - eback());
    }

    /// Makes the bytes the area.
    void get_from(std::span<const std::byte> area) noexcept {
        // A streambuf writes into its get area only where a derived class lets it (pbackfail).
        char* const begin = const_cast<char*>(reinterpret_cast<const char*>(area.data()));
        setg(begin, begin, begin + area.size());
    }
};

namespace detail {

/// A base that has a buffer, made before the stream over it.
template <class Buffer>
struct owned_buffer {
    template <class... Arguments>
    explicit owned_buffer(Arguments&&... arguments) noexcept
        : buffer_(std::forward<Arguments>(arguments)...) {}
    Buffer buffer_;
};

}  // namespace detail

}  // namespace zcpool::adapt
