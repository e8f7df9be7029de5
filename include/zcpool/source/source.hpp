// SPDX-License-Identifier: MIT
#pragma once

// What every way in has in common: the words of its answers, its counters, and the concept.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <zcpool/chain/chain.hpp>

namespace zcpool::source {

/// What pull() came to. Whatever it is, what had come before stays to be taken.
enum class [[nodiscard]] state : std::uint8_t {
    data,       ///< bytes came: take() them; there may be more
    blocked,    ///< nothing is there now: wait for interest(), then pull again
    exhausted,  ///< the pool has no slot: wait for one, then pull again; nothing is lost
    full,       ///< it holds as much as it may: take() first
    ended,      ///< the peer sends no more
    failed,     ///< error() says why
};

/// What to wait for before the next pull().
enum class interest : std::uint8_t {
    none,        ///< nothing: take what came, or it is over
    readable,    ///< the descriptor has something (EPOLLIN)
    writable,    ///< the descriptor that it moves to can take more (EPOLLOUT)
    slot,        ///< the pool has a slot again (slot_event, slot_watch)
    completion,  ///< the ring that it receives through: its descriptor is readable (EPOLLIN)
};

/// What a source did.
struct stats {
    std::uint64_t calls = 0;      ///< system calls or requests that brought bytes or were refused
    std::uint64_t bytes = 0;      ///< that came in
    std::uint64_t exhausted = 0;  ///< times that the pool had no slot
};

/// What came and was not taken yet, and how things stand. Base of sources that keep both
/// themselves; use those.
class inbox {
public:
    /// Bytes that came and were not taken yet.
    [[nodiscard]] std::size_t available() const noexcept { return came_.size(); }
    /// Why the source failed; empty while it works.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    [[nodiscard]] const source::stats& stats() const noexcept { return stats_; }

protected:
    inbox() noexcept = default;
    inbox(inbox&&) noexcept = default;
    inbox& operator=(inbox&&) noexcept = default;
    ~inbox() = default;

    /// What the last pull() came to, when it brought nothing.
    [[nodiscard]] state remember(state last) noexcept {
        last_ = last;
        return last;
    }
    [[nodiscard]] state last() const noexcept { return last_; }

    chain came_;
    std::error_code error_;
    source::stats stats_;

private:
    state last_ = state::blocked;
};

}  // namespace zcpool::source

namespace zcpool {

/// One way in for one connection: fills pool memory when asked, and never blocks.
template <class Source>
concept chain_source = std::movable<Source> && requires(Source in, const Source observed) {
    { in.pull() } noexcept -> std::same_as<source::state>;
    { in.take() } noexcept -> std::same_as<chain>;
    { observed.available() } noexcept -> std::same_as<std::size_t>;
    { observed.error() } noexcept -> std::same_as<std::error_code>;
    { observed.interest() } noexcept -> std::same_as<source::interest>;
    { observed.stats() } noexcept -> std::convertible_to<source::stats>;
};

}  // namespace zcpool
