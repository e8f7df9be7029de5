// SPDX-License-Identifier: MIT
#pragma once

// Asio over pool memory: buffer sequences of chains and slices, room for what is read, and writes
// that keep their slices. Comes with the CMake target zcpool::asio (standalone Asio 1.22 or later).
// Source: https://think-async.com/Asio/asio-1.22.1/doc/asio/reference.html, ConstBufferSequence,
// AsyncWriteStream.

#include <cstddef>
#include <iterator>
#include <memory>
#include <span>
#include <utility>

#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_state.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/error_code.hpp>

#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/writer.hpp>
#include <zcpool/pool/buffer.hpp>

namespace zcpool::adapt {

/// The slices of a chain as a ConstBufferSequence: a view of 16 bytes.
///
/// Expects: the chain outlives the operation, unchanged and in its place. shared_const_buffers and
/// async_write() keep it themselves.
/// Sharing: any thread, as nothing changes.
class const_buffers {
public:
    using value_type = asio::const_buffer;

    /// A slice as Asio sees it: a pointer to it, which makes buffers as it is dereferenced.
    class const_iterator {
    public:
        using iterator_category = std::bidirectional_iterator_tag;
        using value_type = asio::const_buffer;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = asio::const_buffer;

        const_iterator() noexcept = default;
        /// Expects: a slice of an array, or the end of it.
        explicit const_iterator(const slice* at) noexcept : at_(at) {}
        [[nodiscard]] reference operator*() const noexcept { return {at_->data(), at_->size()}; }
        const_iterator& operator++() noexcept {
            ++at_;
            return *this;
        }
        const_iterator operator++(int) noexcept { return const_iterator{at_++}; }
        const_iterator& operator--() noexcept {
            --at_;
            return *this;
        }
        const_iterator operator--(int) noexcept { return const_iterator{at_--}; }
        friend bool operator==(const_iterator, const_iterator) noexcept = default;

    private:
        const slice* at_ = nullptr;
    };

    const_buffers() noexcept = default;
    /// Of all slices of a chain.
    explicit const_buffers(const chain& of) noexcept : slices_(of.slices()) {}
    explicit const_buffers(const chain&&) = delete;

    [[nodiscard]] const_iterator begin() const noexcept { return const_iterator{slices_.data()}; }
    [[nodiscard]] const_iterator end() const noexcept {
        return const_iterator{slices_.data() + slices_.size()};
    }

private:
    std::span<const slice> slices_;
};

/// A ConstBufferSequence that keeps its slices: for any operation of Asio's, whoever else has them.
///
/// The slots are free when the last copy has gone. An operation of a socket drops its copy before
/// it calls the handler, asio::async_write() when the handler has returned.
/// Sharing: copies share one chain; any thread.
class shared_const_buffers {
public:
    using value_type = asio::const_buffer;
    using const_iterator = const_buffers::const_iterator;

    /// Complexity: one allocation, which may throw std::bad_alloc; copies make none.
    explicit shared_const_buffers(chain&& kept)
        : kept_(std::make_shared<const chain>(std::move(kept))) {}

    [[nodiscard]] const_iterator begin() const noexcept { return const_buffers{*kept_}.begin(); }
    [[nodiscard]] const_iterator end() const noexcept { return const_buffers{*kept_}.end(); }

private:
    std::shared_ptr<const chain> kept_;
};

/// The bytes of a slice. Expects: it, or a copy of it, outlives the operation.
[[nodiscard]] inline asio::const_buffer const_buffer(const slice& of) noexcept {
    return {of.data(), of.size()};
}
asio::const_buffer const_buffer(const slice&&) = delete;

/// What is left to fill of a buffer; commit() what came. Expects: it outlives the operation.
/// Returns: no bytes of a full or empty buffer, which a read takes for done.
[[nodiscard]] inline asio::mutable_buffer mutable_buffer(buffer& into) noexcept {
    const std::span<std::byte> room = into.space();
    return {room.data(), room.size()};
}
asio::mutable_buffer mutable_buffer(buffer&&) = delete;

/// Room for at least `least` bytes at the end of a writer, valid until it is used otherwise;
/// commit() what came.
///
/// Errors: writer::refusal(), where async_read_some() would answer at once that 0 bytes came.
[[nodiscard]] inline result<asio::mutable_buffer> mutable_buffer(writer& into,
                                                                 std::size_t least = 1) noexcept {
    const std::span<std::byte> room = into.space(least);
    if (room.empty()) {
        return fail(into.refusal(least));
    }
    return asio::mutable_buffer{room.data(), room.size()};
}

namespace detail {

/// What remains of a chain, in its place while the operation moves about.
template <class Stream>
struct write_chain {
    Stream& to;
    std::unique_ptr<chain> rest;
    std::size_t written = 0;
    bool has_begun = false;

    template <class Self>
    void operator()(Self& self, asio::error_code error = {}, std::size_t bytes = 0) {
        if (!has_begun) {
            self.reset_cancellation_state(asio::enable_partial_cancellation());
        }
        written += bytes;
        rest->consume(bytes);
        // One that is empty from the beginning is written too, so that the handler is never called
        // from inside async_write().
        if (std::exchange(has_begun, true)) {
            if (!error && !rest->empty() &&
                self.get_cancellation_state().cancelled() != asio::cancellation_type::none) {
                error = asio::error::operation_aborted;
            }
            if (error || rest->empty() || bytes == 0) {
                rest.reset();
                self.complete(error, written);
                return;
            }
        }
        const const_buffers next{*rest};
        to.async_write_some(next, std::move(self));
    }
};

}  // namespace detail

/// Writes all of a chain, as asio::async_write() does, and lets go of each slice as soon as it is
/// out: before the handler is called no slot is held any more, however the operation ended.
///
/// Handler: void(asio::error_code, std::size_t bytes written). Per-operation cancellation: terminal
/// and partial; what had gone out is in the count.
/// Expects: `to`, an AsyncWriteStream, outlives the operation, and nobody else writes to it.
/// Complexity: an allocation, which may throw std::bad_alloc, and those of the operation; at most
/// 64 slices a system call.
template <class Stream, ASIO_COMPLETION_TOKEN_FOR(void(asio::error_code, std::size_t)) Token =
                            asio::default_completion_token_t<typename Stream::executor_type>>
auto async_write(Stream& to, chain&& what, Token&& token = Token{}) {
    return asio::async_compose<Token, void(asio::error_code, std::size_t)>(
        detail::write_chain<Stream>{to, std::make_unique<chain>(std::move(what))}, token, to);
}

}  // namespace zcpool::adapt
