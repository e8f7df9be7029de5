// SPDX-License-Identifier: MIT
#pragma once

// Out by reference: sendfile hands the socket the pool's own pages. They stay referenced for as
// long as the peer pleases, whatever the call, the acknowledgements or close() say; so each slot is
// marked as lent first, and its pages are replaced before the next owner writes to it.
// Source: sendfile(2).

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/transfer.hpp>

namespace zcpool::sink {

/// What sink::sendfile may be told.
struct sendfile_options {
    /// Slices below this many bytes are copied by choice: replacing their pages would cost more
    /// than it saves.
    std::size_t copy_below = 16_KiB;

    /// How often a slot's content is copied before it is lent. Replacing its pages once costs
    /// several copies of them (on 4 KiB pages about 16 for 64 KiB, 30 for 1 MiB), so lending pays
    /// for what is sent again and again.
    std::uint32_t copies_first = 0;
};

/// Sends slices of lending pools by reference, and copies the rest: small ones (and a small rest of
/// a large one), adopted memory, pools that never lend, and everything while the pool's lent budget
/// is used up (counted as fallback).
///
/// Expects: a non-blocking stream socket, or a non-blocking pipe. sendfile(2) knows no
/// MSG_NOSIGNAL: the program must ignore SIGPIPE. On a blocking socket flush() blocks: make it
/// non-blocking.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class sendfile : public outbox {
public:
    static constexpr receipt receipts = receipt::none;

    /// A descriptor that is not open shows as error() at once.
    explicit sendfile(int fd, sendfile_options options = {}) noexcept
        : outbox(fd), options_(options) {}

    using outbox::push;
    /// Only what is frozen may be sent without a receipt: the owner of a buffer could write while
    /// the peer reads.
    void push(buffer&&) = delete;
    void push(const buffer&) = delete;

    /// Moves what it can.
    /// Complexity: a system call for each lent slice and for each run of copied ones.
    state flush() noexcept {
        while (!queue_.empty()) {
            const auto sent = wants_lending(queue_.front()) ? send_front() : copy_run(0);
            if (!sent) {
                return would_block(sent.error()) ? state::blocked : give_up(sent.error());
            }
            queue_.consume(*sent);
        }
        return error_ ? state::failed : state::done;
    }

private:
    [[nodiscard]] bool wants_lending(const slice& each) const noexcept {
        return each.size() >= options_.copy_below && can_send_files_ &&
               each.copied_sends() >= options_.copies_first;
    }

    [[nodiscard]] result<std::size_t> send_front() noexcept {
        const slice& front = queue_.front();
        const auto where = front.lend();
        if (!where) {
            return copy_run(front.size());
        }
        auto sent = sys::send_file(fd_, where->fd, where->offset, front.size());
        ++stats_.calls;
        if (!sent) {
            if (sys::is_errno(sent.error(), EINVAL) || sys::is_errno(sent.error(), ENOSYS)) {
                can_send_files_ =
                    false;  // this kind of descriptor does not take pages, now or later
                return copy_run(front.size());
            }
            return sent;
        }
        if (*sent == 0) {
            return fail(
                std::error_code{EIO, std::system_category()});  // a sealed file has no early end
        }
        stats_.lent_bytes += *sent;
        return sent;
    }

    /// Copies the front slice and those behind it that would be copied anyway. `fallback` bytes of
    /// the front slice should have been lent.
    [[nodiscard]] result<std::size_t> copy_run(std::size_t fallback) noexcept {
        std::size_t count = 1;
        while (count < queue_.slice_count() && count < parts_a_call &&
               !wants_lending(queue_.slices()[count])) {
            ++count;
        }
        auto sent = copy_out(fd_, is_socket_, queue_, count);
        ++stats_.calls;
        if (sent) {
            const std::size_t fell_back = *sent < fallback ? *sent : fallback;
            queue_.front().count_copied(fell_back);
            stats_.fallback_bytes += fell_back;
            stats_.copied_bytes += *sent;
            count_copied_sends(count, *sent);
        }
        return sent;
    }

    /// Counts those of the first `count` slices that `sent` bytes brought to their end, where
    /// lending depends on it.
    void count_copied_sends(std::size_t count, std::size_t sent) noexcept {
        if (options_.copies_first == 0) {
            return;
        }
        for (const slice& each : queue_.slices().first(count)) {
            if (each.size() > sent) {
                break;
            }
            sent -= each.size();
            if (each.size() >= options_.copy_below) {
                each.count_copied_send();
            }
        }
    }

    sendfile_options options_;
    bool can_send_files_ = true;
};

static_assert(chain_sink<sendfile>);

}  // namespace zcpool::sink
