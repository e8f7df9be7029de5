// SPDX-License-Identifier: MIT
#pragma once

// What the sinks without a receipt have in common: which slices they lend, and how the others are
// copied and counted.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sink {

/// When a sink without a receipt lends.
struct lending_options {
    /// Slices below this many bytes are copied by choice: replacing their pages would cost more
    /// than it saves.
    std::size_t copy_below = 16_KiB;

    /// How often a slot's content is copied before it is lent. Replacing its pages once costs
    /// several copies of them (on 4 KiB pages about 16 for 64 KiB, 30 for 1 MiB), so lending pays
    /// for what is sent again and again. Slots in arenas are lent from the first send on, as
    /// renewing them costs about one.
    std::uint32_t copies_first = 0;
};

/// An outbox whose slices may be lent. Base of the sinks without a receipt; use those.
class lending_outbox : public outbox {
public:
    static constexpr receipt receipts = receipt::none;

    using outbox::push;
    /// Only what is frozen may be sent without a receipt: the owner of a buffer could write while
    /// the peer reads.
    void push(buffer&&) = delete;
    void push(const buffer&) = delete;

protected:
    /// A descriptor that is not open shows as error() at once.
    lending_outbox(int fd, lending_options options) noexcept : outbox(fd), options_(options) {}

    /// Whether a slice is to be lent, as far as size, copies and descriptor go.
    [[nodiscard]] bool wants_lending(const slice& each) const noexcept {
        return each.size() >= options_.copy_below && takes_pages_ &&
               (options_.copies_first == 0 || each.lends_by_arena() ||
                each.copied_sends() >= options_.copies_first);
    }

    /// Whether a small slice may leave with one that is lent: its arena is renewed at no more cost
    /// for that, and a call is saved.
    [[nodiscard]] bool goes_along(const slice& each) const noexcept {
        return takes_pages_ && each.lends_by_arena();
    }

    /// Whether an error means that this kind of descriptor takes no pages, now or later; from then
    /// on everything is copied.
    [[nodiscard]] bool takes_no_pages(const std::error_code& error) noexcept {
        const bool never = sys::is_errno(error, EINVAL) || sys::is_errno(error, ENOSYS);
        takes_pages_ = takes_pages_ && !never;
        return never;
    }

    /// Copies the front slice and those behind it that would be copied anyway. `fallback` bytes of
    /// the front slice should have been lent.
    [[nodiscard]] result<std::size_t> copy_run(std::size_t fallback) noexcept {
        return copy(run_length(queue_, [this](const slice& each) { return wants_lending(each); }),
                    fallback);
    }

    /// Copies the first `count` slices; `fallback` as in copy_run().
    [[nodiscard]] result<std::size_t> copy(std::size_t count, std::size_t fallback) noexcept {
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

private:
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

    lending_options options_;
    bool takes_pages_ = true;
};

}  // namespace zcpool::sink
