// SPDX-License-Identifier: MIT
#pragma once

// std::ostream into a writer and std::istream out of a reader, without a copy of their own: the put
// area lies in the writer's buffer, the get area in the reader's slice.
// Source: [streambuf.reqts] of the C++ standard.

#include <cstddef>
#include <istream>
#include <limits>
#include <ostream>
#include <system_error>

#include <zcpool/adapt/stream_area.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/reader.hpp>
#include <zcpool/chain/writer.hpp>

namespace zcpool::adapt {

/// The put area of a writer. What was put is the writer's when the area is full, and at a flush.
///
/// Errors: without room overflow() fails (badbit of a stream) and error() says why, as
/// writer::refusal() does; what was put before stays. It goes on after std::ios::clear() when there
/// is room again.
/// Sharing: as the writer, which must outlive it, and which others may use after a flush only.
class writer_buffer : public put_area {
public:
    /// Takes no buffer before something is put.
    explicit writer_buffer(writer& to) noexcept : to_(&to) {}
    /// Leaves with the writer what was put.
    ~writer_buffer() override { commit(); }

    /// Hands out the writer's chain, with all that was put, and begins an empty one.
    [[nodiscard]] chain finish() noexcept {
        commit();
        setp(nullptr, nullptr);
        return to_->finish();
    }

protected:
    int_type overflow(int_type next) override {
        commit();
        const auto room = to_->growing_space();
        return room.empty() ? stop(to_->refusal()) : go_on(room, next);
    }

    /// From here on the writer may be used otherwise: the area is its again.
    int sync() override {
        commit();
        setp(nullptr, nullptr);
        return 0;
    }

    /// Only says where it is, in bytes of the writer.
    pos_type seekoff(off_type offset, std::ios_base::seekdir from,
                     std::ios_base::openmode which) override {
        if (offset != 0 || from != std::ios_base::cur || (which & std::ios_base::out) == 0) {
            return pos_type(off_type(-1));
        }
        return pos_type(static_cast<off_type>(to_->size() + put()));
    }

private:
    void commit() noexcept {
        if (const std::size_t put = take_put(); put != 0) {
            to_->commit(put);
        }
    }

    writer* to_;
};

/// The get area of a reader, a slice at a time. What was got is behind the reader's position when
/// the next slice is needed, and after a sync.
///
/// It may go anywhere from where the reader stood when this was made.
/// Sharing: as the reader, which must outlive it, as must the chain; others may use the reader
/// after std::istream::sync() only.
class reader_buffer : public get_area {
public:
    /// Begins where the reader stands.
    explicit reader_buffer(reader& from) noexcept : from_(&from), begin_(from) {}
    /// Leaves the reader behind what was got.
    ~reader_buffer() override { advance(); }

protected:
    int_type underflow() override {
        advance();
        get_from(from_->contiguous());
        return gptr() == egptr() ? traits_type::eof() : traits_type::to_int_type(*gptr());
    }

    /// Called when the get area is empty: what follows without a gap, and -1 at the end.
    std::streamsize showmanyc() override {
        underflow();
        return gptr() == egptr() ? -1 : egptr() - gptr();
    }

    /// Called at the beginning of the area, or where another character is put back than was read.
    int_type pbackfail(int_type last) override {
        const std::size_t here = from_->position() + got();
        if (here == begin_.position()) {
            return traits_type::eof();
        }
        reader back = begin_;
        static_cast<void>(back.skip(here - 1 - begin_.position()));
        const char there = static_cast<char>(back.contiguous().front());
        if (!traits_type::eq_int_type(last, traits_type::eof()) &&
            !traits_type::eq(traits_type::to_char_type(last), there)) {
            return traits_type::eof();  // the bytes do not change
        }
        setg(nullptr, nullptr, nullptr);
        *from_ = back;
        get_from(from_->contiguous());
        return traits_type::to_int_type(there);
    }

    int sync() override {
        advance();
        return 0;
    }

    /// Complexity: O(slices); what follows in the present slice O(1).
    pos_type seekoff(off_type offset, std::ios_base::seekdir from,
                     std::ios_base::openmode which) override {
        std::size_t base = 0;
        if (from == std::ios_base::cur) {
            base = from_->position() + got();
        } else if (from == std::ios_base::end) {
            base = from_->position() + from_->remaining();
        }
        const auto begin = static_cast<off_type>(base);
        if (offset > std::numeric_limits<off_type>::max() - begin) {
            return pos_type(off_type(-1));
        }
        return seekpos(pos_type(begin + offset), which);
    }

    pos_type seekpos(pos_type to, std::ios_base::openmode which) override {
        const auto wanted = static_cast<off_type>(to);
        const auto first = static_cast<off_type>(begin_.position());
        const auto end = static_cast<off_type>(from_->position() + from_->remaining());
        if ((which & std::ios_base::in) == 0 || wanted < first || wanted > end) {
            return pos_type(off_type(-1));
        }
        advance();
        const auto position = static_cast<std::size_t>(wanted);
        if (position < from_->position()) {
            *from_ = begin_;
        }
        static_cast<void>(from_->skip(position - from_->position()));
        return to;
    }

private:
    void advance() noexcept { static_cast<void>(from_->skip(take_got())); }

    reader* from_;
    reader begin_;
};

/// A std::ostream into a writer.
///
///     adapt::writer_ostream out{writer};
///     out << "HTTP/1.1 200 OK\r\nContent-Length: " << size << "\r\n\r\n" << std::flush;
class writer_ostream : private detail::owned_buffer<writer_buffer>, public std::ostream {
public:
    /// Writes to the end of a writer.
    explicit writer_ostream(writer& to) : owned_buffer(to), std::ostream(&buffer_) {}

    /// As writer_buffer::finish() and error().
    [[nodiscard]] chain finish() noexcept { return buffer_.finish(); }
    [[nodiscard]] std::error_code error() const noexcept { return buffer_.error(); }
};

/// A std::istream out of a reader. It ends, with eofbit, where the chain does.
class reader_istream : private detail::owned_buffer<reader_buffer>, public std::istream {
public:
    /// Reads from where a reader stands.
    explicit reader_istream(reader& from) : owned_buffer(from), std::istream(&buffer_) {}
};

}  // namespace zcpool::adapt
