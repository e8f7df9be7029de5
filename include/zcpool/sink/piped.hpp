// SPDX-License-Identifier: MIT
#pragma once

// Out through a pipe: page references go into the pipe, and from there to the descriptor. What the
// sinks that do so have in common; they differ in how references get into the pipe.

#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/array_view.hpp>
#include <zcpool/base/bounds.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/pipe.hpp>
#include <zcpool/sys/pipe_pool.hpp>

namespace zcpool::sink {

using sys::pipe_pool;
using sys::sized_pipe;
using sys::usual_pipe_bytes;

/// What a sink with a pipe may be told.
struct pipe_options {
    std::size_t copy_below = 16_KiB;  ///< as in lending_options
    std::uint32_t copies_first = 0;   ///< as in lending_options

    /// Where pipes come from and go back to when they are empty; null: a pipe of its own, made at
    /// the first slice that is lent.
    pipe_pool* pipes = nullptr;

    /// What a pipe of its own should hold.
    std::size_t pipe_bytes = usual_pipe_bytes;
};

/// An outbox with a pipe between it and its descriptor. Base of the sinks that have one; use those.
///
///     queue_: | in the pipe: in_pipe_ bytes | waits |
///
/// What is in the pipe stays in the queue until the descriptor has taken it. So queued() counts it,
/// and a pipe can be thrown away at any time without loss.
class piped_outbox : public lending_outbox {
public:
    /// What the pipe that was used last holds, and why it is less than was asked for or why there
    /// was none; all zero before anything was lent.
    [[nodiscard]] const sys::pipe_room& pipe_room() const noexcept { return room_; }

protected:
    /// The pipe comes when the first slice is lent.
    piped_outbox(int fd, const pipe_options& options) noexcept
        : lending_outbox(fd, {options.copy_below, options.copies_first}),
          pipes_(options.pipes),
          pipe_bytes_(options.pipe_bytes) {}
    piped_outbox(piped_outbox&& other) noexcept
        : lending_outbox(static_cast<lending_outbox&&>(other)),
          pipes_(other.pipes_),
          pipe_bytes_(other.pipe_bytes_),
          pipe_(std::move(other.pipe_)),
          room_(other.room_),
          in_pipe_(std::exchange(other.in_pipe_, 0)) {}
    piped_outbox& operator=(piped_outbox&& other) noexcept {
        if (this != &other) {
            lending_outbox::operator=(static_cast<lending_outbox&&>(other));
            pipes_ = other.pipes_;
            pipe_bytes_ = other.pipe_bytes_;
            pipe_ = std::move(other.pipe_);
            room_ = other.room_;
            in_pipe_ = std::exchange(other.in_pipe_, 0);
        }
        return *this;
    }
    /// Closes the pipe with what it holds: whoever else has the pages keeps them.
    ~piped_outbox() = default;

    /// Moves what it can. `fill` puts references to the first slices into the pipe, as many as fit,
    /// and returns their bytes: 0 when the front slice may not be lent. `otherwise` moves the front
    /// slice when `lends_front` says that it is not to be lent.
    template <class Fill, class Otherwise, class Predicate>
    state flush_through(Fill&& fill, Otherwise&& otherwise, Predicate&& lends_front) noexcept {
        state answer = state::done;
        while (!queue_.empty() && answer == state::done) {
            const bool by_pipe = in_pipe_ != 0 || lends_front();
            const auto sent = by_pipe ? move_some(fill) : otherwise();
            if (sent) {
                queue_.consume(*sent);
            } else {
                answer = would_block(sent.error()) ? state::blocked : give_up(sent.error());
            }
        }
        if (error_) {
            answer = state::failed;
            drop_pipe();
        } else if (pipes_ != nullptr && in_pipe_ == 0 && pipe_) {
            pipes_->give_back(std::move(pipe_));
        }
        return answer;
    }

    /// Whether the front slice is lent for its own sake, or goes along with one behind it: by
    /// address many leave with a call.
    [[nodiscard]] bool leads_to_lending() const noexcept {
        // The head of a response and a little more; further ones would be looked at again and
        // again.
        constexpr std::size_t most_looks = 4;
        for (const slice& each :
             queue_.slices().first(smaller_of(queue_.slice_count(), most_looks))) {
            if (wants_lending(each)) {
                return true;
            }
            if (!goes_along(each)) {
                return false;
            }
        }
        return false;
    }

    /// Puts references to the first slices, taken from their addresses, into the pipe with one
    /// call. Returns: their bytes, 0 when the front slice may not be lent.
    [[nodiscard]] result<std::size_t> fill_from_addresses() noexcept {
        std::array<iovec, parts_a_call> parts;
        std::size_t count = 0;
        std::size_t pages_left = room_in_pages();
        for (const slice& each : queue_.slices()) {
            if (count == parts.size() || pages_left == 0 ||
                !(wants_lending(each) || goes_along(each)) || !each.lend_memory()) {
                break;
            }
            parts[count++] = {const_cast<std::byte*>(each.data()), each.size()};
            const std::size_t pages = pages_of(each);
            pages_left -= pages < pages_left ? pages : pages_left;
        }
        if (count == 0) {
            return 0;
        }
        auto filled = pipe().fill_from(array_view{parts}.first(count));
        ++stats_.calls;
        if (!filled && would_block(filled.error())) {
            return 0;
        }
        return filled;
    }

    /// Pages that the empty pipe holds references to.
    [[nodiscard]] std::size_t room_in_pages() const noexcept { return room_.bytes / page_size; }
    /// Pages in which a slice lies.
    [[nodiscard]] static std::size_t pages_of(const slice& each) noexcept {
        const auto begin = reinterpret_cast<std::uintptr_t>(each.data()) / page_size;
        const auto last = (reinterpret_cast<std::uintptr_t>(each.data()) + each.size() - 1);
        return last / page_size - begin + 1;
    }

    /// The pipe, which must be open.
    [[nodiscard]] sys::pipe& pipe() noexcept { return pipe_.ends; }

private:
    template <class Fill>
    [[nodiscard]] result<std::size_t> move_some(Fill& fill) noexcept {
        if (in_pipe_ == 0) {
            if (!has_pipe()) {
                return copy_run(queue_.front().size());
            }
            const result<std::size_t> filled = fill();
            if (!filled) {
                return fail(filled.error());
            }
            if (*filled == 0) {
                return copy_run(queue_.front().size());
            }
            in_pipe_ = *filled;
        }
        auto sent = pipe().drain_into(fd_, in_pipe_, in_pipe_ < queue_.size());
        ++stats_.calls;
        if (!sent) {
            if (takes_no_pages(sent.error())) {
                drop_pipe();
                return copy_run(queue_.front().size());
            }
            return sent;
        }
        if (*sent == 0) {
            return fail(std::error_code{EIO, std::system_category()});  // would be tried for ever
        }
        in_pipe_ -= *sent;
        stats_.lent_bytes += *sent;
        return sent;
    }

    [[nodiscard]] bool has_pipe() noexcept {
        return sys::get_pipe(pipe_, pipes_, pipe_bytes_, room_);
    }

    void drop_pipe() noexcept {
        pipe_ = sized_pipe{};
        in_pipe_ = 0;
    }

    pipe_pool* pipes_;
    std::size_t pipe_bytes_;
    sized_pipe pipe_;
    sys::pipe_room room_;
    std::size_t in_pipe_ = 0;
};

}  // namespace zcpool::sink
