// SPDX-License-Identifier: MIT
#pragma once

// What requests to an io_uring refer to, until the ring says that it is done with it. Knows neither
// system nor liburing: completions are numbers handed in.
// Source: io_uring_enter(2), IORING_OP_SEND_ZC; liburing issue 1462.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace zcpool::sink {

/// Flags of a completion, as the kernel has them (IORING_CQE_F_MORE, IORING_CQE_F_NOTIF), whose
/// header cannot stand beside liburing's copy of it.
inline constexpr std::uint32_t cqe_more = 1U << 1;
inline constexpr std::uint32_t cqe_notification = 1U << 3;

/// What a completion meant.
struct request_progress {
    std::optional<std::int32_t> result;  ///< bytes, or an errno below zero: said once a request
    bool is_over = false;                ///< what it kept has been let go: said once a request
};

/// Keeps what each request refers to until its last completion.
///
/// A request has a completion with its result. When that has cqe_more, a second one follows, with
/// cqe_notification, and only then has the kernel done with the memory, whatever the result was,
/// an error or a cancellation included. When it has not, none follows. The order in which the two
/// are seen does not matter; nothing else ends a request.
///
///     begin() -> waits -- result without more --------------------> over
///                      -- result with more -> lent -- notification -> over
///                      -- notification -> told -- result -----------> over
///
/// Held: movable; a default one keeps nothing.
/// Sharing: one thread at a time.
template <class Held>
class ring_requests {
public:
    ring_requests() noexcept = default;
    ring_requests(const ring_requests&) = delete;
    ring_requests& operator=(const ring_requests&) = delete;

    /// Begins a request that refers to `what`.
    ///
    /// Returns: its name, for the user_data of the request, below 2^63 - 1, so that others may use
    /// the ring with names from 2^63 on; nothing, with `what` as it was, when there was no memory.
    /// Complexity: an allocation at most when more are in flight than ever.
    [[nodiscard]] std::optional<std::uint64_t> begin(Held&& what) noexcept {
        if (free_ == none && !grow()) {
            return std::nullopt;
        }
        const std::uint32_t index = free_;
        entry& fresh = entries_[index];
        free_ = fresh.next_free;
        fresh.kept = std::move(what);
        fresh.now = state::waits;
        ++size_;
        return name_of(index, fresh.generation);
    }

    /// Takes back a request that was never handed to the ring.
    ///
    /// Returns: what it referred to.
    [[nodiscard]] Held withdraw(std::uint64_t name) noexcept {
        entry* const found = find(name);
        if (found == nullptr || found->now != state::waits) {
            return Held{};
        }
        Held what = std::move(found->kept);
        end(*found);
        return what;
    }

    /// What a request refers to; null when there is no such request, or it is over.
    [[nodiscard]] const Held* look(std::uint64_t name) noexcept {
        const entry* const found = find(name);
        return found == nullptr ? nullptr : &found->kept;
    }

    /// Records a completion, in whatever order they come. One that makes no sense is counted and
    /// changes nothing: a duplicate, or of a request that is over or never was.
    request_progress complete(std::uint64_t name, std::int32_t result,
                              std::uint32_t flags) noexcept {
        request_progress told;
        entry* const found = find(name);
        const bool notifies = (flags & cqe_notification) != 0;
        if (found == nullptr ||
            (notifies ? found->now == state::told : found->now == state::lent)) {
            ++unexpected_;
            return told;
        }
        if (!notifies) {
            told.result = result;
        }
        if (notifies && found->now == state::waits) {
            found->now = state::told;
        } else if (!notifies && found->now == state::waits && (flags & cqe_more) != 0) {
            found->now = state::lent;
        } else {
            end(*found);
            told.is_over = true;
        }
        return told;
    }

    /// Requests that are not over.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Completions that made no sense.
    [[nodiscard]] std::uint64_t unexpected() const noexcept { return unexpected_; }

private:
    enum class state : std::uint8_t {
        free,
        waits,  ///< neither has come
        lent,   ///< the result has come, and announced the notification
        told,   ///< the notification has come, and not the result
    };
    struct entry {
        Held kept{};
        std::uint32_t generation = 0;
        std::uint32_t next_free = 0;
        state now = state::free;
    };

    static constexpr std::uint32_t none = UINT32_MAX;
    static constexpr std::uint32_t smallest = 16;

    [[nodiscard]] static std::uint64_t name_of(std::uint32_t index,
                                               std::uint32_t generation) noexcept {
        return std::uint64_t{generation} << 32 | index;
    }

    [[nodiscard]] entry* find(std::uint64_t name) noexcept {
        const auto index = static_cast<std::uint32_t>(name);
        if (index >= capacity_) {
            return nullptr;
        }
        entry& named = entries_[index];
        const bool is_it =
            named.now != state::free && named.generation == static_cast<std::uint32_t>(name >> 32);
        return is_it ? &named : nullptr;
    }

    void end(entry& over) noexcept {
        over.kept = Held{};
        over.now = state::free;
        // A late completion of this name finds nobody.
        over.generation = (over.generation + 1) & INT32_MAX;
        over.next_free = free_;
        free_ = static_cast<std::uint32_t>(&over - entries_.get());
        --size_;
    }

    [[nodiscard]] bool grow() noexcept {
        const std::uint32_t larger = capacity_ == 0 ? smallest : 2 * capacity_;
        std::unique_ptr<entry[]> fresh{larger > capacity_ ? new (std::nothrow) entry[larger]
                                                          : nullptr};
        if (!fresh) {
            return false;
        }
        for (std::uint32_t i = 0; i < capacity_; ++i) {
            fresh[i] = std::move(entries_[i]);
        }
        for (std::uint32_t i = capacity_; i < larger; ++i) {
            fresh[i].next_free = i + 1 < larger ? i + 1 : none;
        }
        free_ = capacity_;
        entries_ = std::move(fresh);
        capacity_ = larger;
        return true;
    }

    std::unique_ptr<entry[]> entries_;
    std::uint32_t capacity_ = 0;
    std::uint32_t free_ = none;
    std::size_t size_ = 0;
    std::uint64_t unexpected_ = 0;
};

}  // namespace zcpool::sink
