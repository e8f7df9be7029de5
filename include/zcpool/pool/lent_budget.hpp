// SPDX-License-Identifier: MIT
#pragma once

// How much memory outside the pool lending may cost.
//
// Replacing the pages of a lent slot leaves the old ones to the kernel until the peer has read
// them. No system call tells when that is. The account therefore assumes that pages are held for
// `settle` after the slot was last sent, a time that the user chooses as the one after which a
// connection without progress is reset. It is an account of memory: whether a slot may be reused
// never depends on it.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool {

/// Detached bytes by the time at which they are expected back; shared between processes, zero when
/// new.
///
/// A bucket is one word: [ period : 32 ][ pages : 32 ], replaced as a whole, so that no step can be
/// half done.
struct lent_account {
    static constexpr std::size_t buckets = 16;
    std::array<atomic<std::uint64_t>, buckets> cells;
};

/// Coarse time for the account: milliseconds of CLOCK_MONOTONIC.
using lent_stamp = std::uint64_t;

/// The time for lent_budget's functions, which take it as an argument so that tests need not sleep.
/// Coarse, a few milliseconds late at most: a send that asks for it costs a tenth of what the exact
/// clock would.
[[nodiscard]] inline lent_stamp lent_now() noexcept {
    timespec now{};
    static_cast<void>(sys::provider::clock_gettime(CLOCK_MONOTONIC_COARSE, &now));
    return static_cast<lent_stamp>(now.tv_sec) * 1000 +
           static_cast<lent_stamp>(now.tv_nsec) / 1'000'000;
}

/// Decides whether a lent slot's pages may be replaced now. A view over an account.
///
/// Concurrency: lock-free; any thread or process. A death inside leaves at most one slot's bytes
/// counted until they expire.
class lent_budget {
public:
    lent_budget() noexcept = default;

    /// `limit` in bytes; `settle` of zero keeps no account and allows everything.
    lent_budget(lent_account& account, std::size_t limit, std::chrono::milliseconds settle) noexcept
        : account_(&account),
          limit_(limit),
          settle_(static_cast<std::uint64_t>(settle.count())),
          period_((settle_ + periods_a_settle - 1) / periods_a_settle) {}

    /// Counts `bytes` of a slot last sent at `last_sent` as detached from `now` on.
    ///
    /// Returns: false, and counts nothing, when that would exceed the limit.
    [[nodiscard]] bool try_detach(lent_stamp now, lent_stamp last_sent,
                                  std::size_t bytes) noexcept {
        if (settle_ == 0 || now >= last_sent + settle_) {
            return true;  // given back by now, by the user's own assumption
        }
        const std::uint32_t expires = period_at(last_sent + settle_);
        add(expires, pages_of(bytes));
        if (detached_bytes(now) <= limit_) {
            return true;
        }
        subtract(expires, pages_of(bytes));
        return false;
    }

    /// Whether try_detach() would allow it, as far as can be told without counting.
    [[nodiscard]] bool may_detach(lent_stamp now, lent_stamp last_sent,
                                  std::size_t bytes) const noexcept {
        return now >= last_sent + settle_ || has_room(now, bytes);
    }

    /// Whether a slot of `bytes` could be lent and its pages replaced at once without exceeding the
    /// limit.
    [[nodiscard]] bool has_room(lent_stamp now, std::size_t bytes) const noexcept {
        return settle_ == 0 || detached_bytes(now) + bytes <= limit_;
    }

    /// Bytes that were detached and may still be held, by the assumption above; at most the limit,
    /// but for what several threads add in the same moment before they take it back.
    [[nodiscard]] std::size_t detached_bytes(lent_stamp now) const noexcept {
        if (settle_ == 0) {
            return 0;
        }
        const std::uint32_t period = period_at(now);
        std::size_t pages = 0;
        for (const auto& cell : account_->cells) {
            // relaxed: an account, which orders nothing.
            const std::uint64_t bucket = cell.load(memory_order_relaxed);
            if (is_current(period_of(bucket), period)) {
                pages += static_cast<std::uint32_t>(bucket);
            }
        }
        return pages * page_size;
    }

    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

    /// How long a caller that was refused should wait before it is worth asking again.
    [[nodiscard]] std::chrono::milliseconds period() const noexcept {
        return std::chrono::milliseconds{period_};
    }

private:
    // Expiry lies at most periods_a_settle + 1 periods ahead, so that two live periods never share
    // a bucket.
    static constexpr std::uint64_t periods_a_settle = 8;
    static_assert(periods_a_settle + 2 <= lent_account::buckets);
    // Whatever is more is not ahead, but from before the numbers started over.
    static constexpr std::uint32_t far_ahead = 1U << 30;

    [[nodiscard]] std::uint32_t period_at(lent_stamp time) const noexcept {
        return static_cast<std::uint32_t>(time / period_);
    }
    [[nodiscard]] static std::uint64_t pages_of(std::size_t bytes) noexcept {
        return bytes / page_size;
    }
    [[nodiscard]] static std::uint32_t period_of(std::uint64_t bucket) noexcept {
        return static_cast<std::uint32_t>(bucket >> 32);
    }
    /// Whether a bucket's period has not passed; modulo 2^32, so that period numbers may start
    /// over.
    [[nodiscard]] static bool is_current(std::uint32_t bucket, std::uint32_t now) noexcept {
        return bucket - now < lent_account::buckets;
    }

    void add(std::uint32_t period, std::uint64_t pages) noexcept {
        auto& cell = account_->cells[period % lent_account::buckets];
        // relaxed: an account, which orders nothing.
        std::uint64_t found = cell.load(memory_order_relaxed);
        std::uint64_t wanted = 0;
        do {
            if (const std::uint32_t ahead = period_of(found) - period;
                ahead != 0 && ahead < far_ahead) {
                return;  // this thread was held up: what it adds has expired
            }
            const std::uint64_t held = period_of(found) == period ? found & 0xFFFF'FFFF : 0;
            wanted = std::uint64_t{period} << 32 | (held + pages);
            // relaxed: as above.
        } while (
            !cell.compare_exchange_weak(found, wanted, memory_order_relaxed, memory_order_relaxed));
    }

    void subtract(std::uint32_t period, std::uint64_t pages) noexcept {
        auto& cell = account_->cells[period % lent_account::buckets];
        // relaxed: an account, which orders nothing.
        std::uint64_t found = cell.load(memory_order_relaxed);
        while (period_of(found) == period && (found & 0xFFFF'FFFF) >= pages) {
            // relaxed: as above.
            if (cell.compare_exchange_weak(found, found - pages, memory_order_relaxed,
                                           memory_order_relaxed)) {
                return;
            }
        }
    }

    lent_account* account_ = nullptr;
    std::size_t limit_ = 0;
    std::uint64_t settle_ = 0;
    std::uint64_t period_ = 1;
};

}  // namespace zcpool
