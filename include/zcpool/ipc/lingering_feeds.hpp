// SPDX-License-Identifier: MIT
#pragma once

// Feeds that have ended while their readers still have frames: those stay what they are until they
// are given back, or the reader is gone.

#include <cstddef>
#include <mutex>
#include <utility>

#include <zcpool/base/unique_object.hpp>
#include <zcpool/ipc/feed_session.hpp>
#include <zcpool/sys/process_local.hpp>

namespace zcpool::ipc {

/// Nothing here has a thread: somebody must call poll() now and then. Each feed that is opened or
/// ends does.
/// Concurrency: a mutex, which no reader can hold; any thread.
class lingering_feeds {
public:
    /// The one that all feeds of the process use. It is not destroyed at the end of the program.
    [[nodiscard]] static lingering_feeds& common() noexcept {
        return sys::process_local<lingering_feeds>::get();
    }

    lingering_feeds() noexcept = default;
    lingering_feeds(const lingering_feeds&) = delete;
    lingering_feeds& operator=(const lingering_feeds&) = delete;

    /// Closes a feed, and keeps it while the reader has frames.
    void adopt(unique_object<feed_session> ending) noexcept {
        if (!ending->in_creator()) {
            return;
        }
        ending->close();
        static_cast<void>(ending->is_reader_gone());
        if (ending->outstanding() != 0) {
            const std::lock_guard lock{mutex_};
            ending->next_ = std::move(first_);
            first_ = std::move(ending);
        }
        poll();
    }

    /// Lets go of what came back, and of those whose readers are gone.
    ///
    /// Returns: feeds whose readers still have frames.
    /// Complexity: a system call for each.
    std::size_t poll() noexcept {
        const std::lock_guard lock{mutex_};
        return look();
    }

    /// Likewise, if no other thread is at it.
    void try_poll() noexcept {
        const std::unique_lock lock{mutex_, std::try_to_lock};
        if (lock) {
            look();
        }
    }

private:
    std::size_t look() noexcept {
        std::size_t left = 0;
        for (auto* at = &first_; *at != nullptr;) {
            feed_session& each = **at;
            static_cast<void>(each.collect());
            static_cast<void>(each.is_reader_gone());
            if (each.outstanding() == 0) {
                *at = std::move(each.next_);
            } else {
                at = &each.next_;
                ++left;
            }
        }
        return left;
    }

    std::mutex mutex_;
    unique_object<feed_session> first_;
};

}  // namespace zcpool::ipc
