// SPDX-License-Identifier: MIT
#pragma once

// The way out that chooses for each slice: copies what is small or seldom sent, lends what was sent
// often enough to pay for new pages, and refers, with a receipt, where the way to the peer does not
// copy after all. What it learns of a connection stays with the connection.

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/sink/gather.hpp>
#include <zcpool/sink/linger_list.hpp>
#include <zcpool/sink/path_probe.hpp>
#include <zcpool/sink/piped.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/zerocopy_session.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sink {

/// What sink::automatic may be told. The defaults are break-even points measured on one machine;
/// examples/calibrate prints those of another.
struct automatic_options {
    /// Slices below this many bytes are copied.
    std::size_t copy_below = 16_KiB;

    /// How often a slot's content is copied before it is lent: as many copies as replacing its
    /// pages costs.
    std::uint32_t lend_after = 16;

    /// Slices from this many bytes on that are not lent are tried by reference. SIZE_MAX: never.
    std::size_t refer_from = 32_KiB;

    /// As in pipe_options.
    pipe_pool* pipes = nullptr;
    /// As in pipe_options.
    std::size_t pipe_bytes = usual_pipe_bytes;
    /// As in zerocopy_options.
    std::chrono::milliseconds linger = std::chrono::seconds{30};
};

/// A way out of three.
enum class route : std::uint8_t {
    copy,   ///< by a call that copies
    lend,   ///< by a call without a receipt; the slot's pages are replaced later
    refer,  ///< by MSG_ZEROCOPY, kept until the kernel has confirmed it
};

/// What sink::automatic does on a connection, and why.
struct automatic_report {
    route last = route::copy;             ///< what it chose last
    peer_path path = peer_path::unknown;  ///< what it learnt of the way to the peer
    std::uint32_t pause_left = 0;         ///< large sends until it tries that again
    std::uint64_t referred_bytes = 0;     ///< of stats().lent_bytes: those with a receipt
    std::error_code refer_refusal;        ///< why it does not try at all; empty: it does
    zerocopy_counts referred;             ///< sends with a receipt, and what became of them
};

/// Sends each slice the way that is cheapest, as far as it can know:
///
/// | slice | way |
/// | --- | --- |
/// | below `copy_below`, or adopted and small | copy; in an arena along with a larger one, lend |
/// | in an arena; of another pool that lends, sent `lend_after` times | lend, as sink::vmsplice |
/// | from `refer_from` on, over TCP, and the way does not copy | refer, as sink::zerocopy |
/// | all others | copy |
///
/// Whether the way copies is learnt from the first large send, which is tried, and tried again
/// after 64 of them, 128, and so on; what was refused for want of memory is copied, and pauses
/// likewise.
///
/// flush() and interest() are those of sink::zerocopy, and so is what becomes of sends in flight
/// when the sink ends. Expects: what sink::vmsplice and sink::zerocopy expect.
/// Sharing: one thread at a time. Does not own the descriptor, which must outlive it.
class automatic : public piped_outbox {
public:
    /// A descriptor that is not open shows as error() at once.
    explicit automatic(int fd, const automatic_options& options = {}) noexcept
        : piped_outbox(fd, {.copy_below = options.copy_below,
                            .copies_first = options.lend_after,
                            .pipes = options.pipes,
                            .pipe_bytes = options.pipe_bytes}),
          refer_from_(options.refer_from),
          linger_(options.linger) {}

    /// Moves what it can, and lets go of what the kernel has done with.
    /// Complexity: as sink::vmsplice and sink::zerocopy, whichever a slice goes by.
    state flush() noexcept {
        learn();
        const state moved = flush_through([this] { return lend(); }, [this] { return otherwise(); },
                                          [this] { return leads_to_lending(); });
        if (moved == state::failed) {
            learn();  // what broke the connection may have set memory free
        }
        return moved == state::done && in_flight() != 0 ? state::pending : moved;
    }

    /// What to wait for; the error queue also after a failure, while memory is in flight.
    [[nodiscard]] sink::interest interest() const noexcept {
        return session_.interest_after(outbox::interest());
    }

    /// Sends with a receipt that the kernel has not confirmed.
    [[nodiscard]] std::size_t in_flight() const noexcept { return session_.in_flight(); }
    [[nodiscard]] automatic_report report() const noexcept {
        automatic_report now = report_;
        now.path = probe_.path();
        now.pause_left = probe_.pause_left();
        now.referred = session_.counts();
        return now;
    }

private:
    [[nodiscard]] result<std::size_t> lend() noexcept {
        report_.last = route::lend;
        return fill_from_addresses();
    }

    [[nodiscard]] result<std::size_t> otherwise() noexcept {
        if (wants_reference(queue_.front())) {
            report_.refer_refusal = session_.open(fd_, linger_);
            if (!report_.refer_refusal) {
                return refer();
            }
        }
        const std::size_t count = run_length(queue_, [this](const slice& each) {
            return wants_lending(each) || wants_reference(each);
        });
        for (const slice& each : queue_.slices().first(count)) {
            if (each.size() >= refer_from_) {
                probe_.passed_over();
            }
        }
        report_.last = route::copy;
        return copy(count, 0);
    }

    [[nodiscard]] bool wants_reference(const slice& each) const noexcept {
        return each.size() >= refer_from_ && !report_.refer_refusal && probe_.wants_reference();
    }

    [[nodiscard]] result<std::size_t> refer() noexcept {
        // A trial is of one slice.
        const std::size_t count =
            probe_.path() != peer_path::refers ? 1 : run_length(queue_, [this](const slice& each) {
                return !wants_reference(each) || wants_lending(each);
            });
        auto sent = session_->send(queue_, count);
        ++stats_.calls;
        if (sent) {
            probe_.referred();
            report_.last = route::refer;
            stats_.lent_bytes += *sent;
            report_.referred_bytes += *sent;
        } else if (sys::is_errno(sent.error(), ENOBUFS) || sys::is_errno(sent.error(), ENOMEM)) {
            session_->count_refused();
            probe_.refused();
            report_.last = route::copy;
            return copy(1, queue_.front().size());
        } else if (sys::takes_no_reference(sent.error())) {
            report_.refer_refusal = sent.error();
            report_.last = route::copy;
            return copy(1, queue_.front().size());
        }
        return sent;
    }

    void learn() noexcept {
        if (in_flight() == 0) {
            return;
        }
        const zerocopy_counts before = session_.counts();
        session_.reap();
        if (session_.counts().confirmed != before.confirmed) {
            probe_.confirmed(session_.counts().copied != before.copied);
        }
    }

    std::size_t refer_from_;
    std::chrono::milliseconds linger_;
    path_probe probe_;
    automatic_report report_;
    lingering_session session_;
};

static_assert(chain_sink<automatic>);

}  // namespace zcpool::sink
