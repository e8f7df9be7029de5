// SPDX-License-Identifier: MIT
#pragma once

// Who of this process waits for a slot without sleeping: event loops and coroutines, each told by a
// callback that a slot may have come back.
//
// The list is intrusive, so a wait allocates nothing, and private: a release in another process
// does not see it. An entry goes from `idle` to `looking` (linked, while its owner looks for a slot
// once more; a notification is only noted), to `armed` (linked; a notification calls), to
// `notified` (taken out, so that the next release finds the next one). That no notification is lost
// between the owner's look and its arming rests on the mutex: the releaser (3) changes the slot
// word, (5) searches the list; the owner (0) links its entry, (2) looks at the slot words. Either
// (5) finds the entry, or the owner's (0) comes after (5), and (2) finds what (3) left. pool/
// waiting.hpp adds how a release knows, with one load, that it need not search.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/sys/futex.hpp>

namespace zcpool {

/// The waits of this process for slots of one pool.
///
/// Concurrency: a mutex, held for a few instructions and never during a callback; any thread of the
/// process that made it. One load while nobody is registered.
class watch_list {
public:
    /// Called in the thread that released a slot, perhaps from inside its thread cache: it may post
    /// to somebody, and must neither acquire nor release a buffer of the pool, nor wait.
    using callback = void (*)(void* context) noexcept;

    /// One wait. Its owner's but for what the list does with it; stays where it is.
    class entry {
    public:
        /// `place` orders those who can use a slot, the highest first; `usable` as in wait_list.
        ///
        /// Expects: `place < places`; what has the same place has the same `usable`.
        entry(std::uint32_t place, std::uint32_t usable, callback call, void* context) noexcept
            : call_(call), context_(context), place_(place), usable_(usable) {}
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;

    private:
        friend class watch_list;
        enum class state : std::uint8_t { idle, looking, armed, notified };

        callback call_;
        void* context_;
        entry* previous_ = nullptr;
        entry* next_ = nullptr;
        std::uint32_t place_;
        std::uint32_t usable_;
        atomic<std::uint32_t> called_;  ///< 1: a callback is running
        state state_ = state::idle;     ///< the mutex's
    };

    static constexpr std::size_t places = 2 * max_classes;

    watch_list() noexcept = default;
    watch_list(const watch_list&) = delete;
    watch_list& operator=(const watch_list&) = delete;

    /// Says that somebody waits from now on. Before the owner's first look.
    void enter() noexcept {
        // sync(watch): seq_cst; as step (1) of waiting.hpp, for releases that saw a sleeper only.
        registered_.fetch_add(1, memory_order_seq_cst);
    }
    /// Ends a stay on the list.
    void leave() noexcept {
        // relaxed: a release that still sees us searches the list for nothing.
        registered_.fetch_sub(1, memory_order_relaxed);
    }

    /// Links an entry, whose owner is about to look for a slot; until arm() a notification is only
    /// noted. Who comes from a notification stays in front of those who had none.
    void begin_look(entry& waiter, bool had_a_turn) noexcept {
        withdraw(waiter);
        const std::scoped_lock lock{mutex_};
        queue& to = queues_[waiter.place_];
        entry* const before = had_a_turn ? nullptr : to.last;
        entry* const after = had_a_turn ? to.first : nullptr;
        waiter.previous_ = before;
        waiter.next_ = after;
        (before == nullptr ? to.first : before->next_) = &waiter;
        (after == nullptr ? to.last : after->previous_) = &waiter;
        waiter.state_ = entry::state::looking;
    }

    /// Ends a look that found nothing: from now on a notification calls, once. A caller that got
    /// true owns the entry no more: the callback may have come already.
    ///
    /// Returns: false when a notification came meanwhile: look again.
    [[nodiscard]] bool arm(entry& waiter) noexcept {
        const std::scoped_lock lock{mutex_};
        if (waiter.state_ != entry::state::looking) {
            return false;
        }
        waiter.state_ = entry::state::armed;
        return true;
    }

    /// Takes an entry out, and waits until a callback that has begun is over.
    void withdraw(entry& waiter) noexcept {
        {
            const std::scoped_lock lock{mutex_};
            unlink(waiter);
            waiter.state_ = entry::state::idle;
        }
        ZCPOOL_ASSERT(current != &waiter, "a callback that does more than post");
        for (int i = 0; was_called(waiter); ++i) {
            if (i >= most_yields) {
                // A thread of a lower priority that a yield would not let run.
                static_cast<void>(sys::futex_wait(
                    waiter.called_, 1, 1, sys::deadline_after(std::chrono::milliseconds{1})));
            } else if (i >= most_looks) {
                sys::provider::yield();
            }
        }
    }

    /// Notifies the first who can use one of `classes`.
    void notify_one(std::uint32_t classes) noexcept {
        // sync(watch): seq_cst; as step (4) of waiting.hpp.
        if (registered_.load(memory_order_seq_cst) == 0) {
            return;
        }
        call(take_out(classes).to_call);
    }

    /// Notifies everybody.
    void notify_all() noexcept {
        for (taken each = take_out(~0U); each.found; each = take_out(~0U)) {
            call(each.to_call);
        }
    }

    /// Notifies this one, if it is linked. For another thread than its owner's that wants its
    /// attention.
    ///
    /// Expects: the entry lives until it returns.
    void notify(entry& waiter) noexcept {
        entry* to_call = nullptr;
        {
            const std::scoped_lock lock{mutex_};
            if (is_linked(waiter)) {
                to_call = mark(waiter);
            }
        }
        call(to_call);
    }

private:
    struct queue {
        entry* first = nullptr;
        entry* last = nullptr;
    };

    static constexpr int most_looks = 100;
    static constexpr int most_yields = 1000;

    [[nodiscard]] static bool is_linked(const entry& waiter) noexcept {
        return waiter.state_ == entry::state::looking || waiter.state_ == entry::state::armed;
    }

    [[nodiscard]] static bool was_called(const entry& waiter) noexcept {
        // sync(called): acquire; the callback and its caller are done with the entry.
        return waiter.called_.load(memory_order_acquire) != 0;
    }

    void unlink(entry& waiter) noexcept {
        if (is_linked(waiter)) {
            queue& from = queues_[waiter.place_];
            (waiter.previous_ == nullptr ? from.first : waiter.previous_->next_) = waiter.next_;
            (waiter.next_ == nullptr ? from.last : waiter.next_->previous_) = waiter.previous_;
        }
    }

    /// Takes an entry out as notified.
    /// Returns: it, if it is to be called.
    [[nodiscard]] entry* mark(entry& waiter) noexcept {
        const bool is_armed = waiter.state_ == entry::state::armed;
        unlink(waiter);
        waiter.state_ = entry::state::notified;
        if (is_armed) {
            // relaxed: the owner comes by the mutex before it looks.
            waiter.called_.store(1, memory_order_relaxed);
        }
        return is_armed ? &waiter : nullptr;
    }

    /// What became of looking for somebody to notify. Who is not to be called may be gone already.
    struct taken {
        bool found = false;
        entry* to_call = nullptr;
    };

    /// Takes the first entry out that can use one of `classes`.
    [[nodiscard]] taken take_out(std::uint32_t classes) noexcept {
        const std::scoped_lock lock{mutex_};
        for (std::size_t place = places; place-- > 0;) {
            entry* const first = queues_[place].first;
            if (first != nullptr && (first->usable_ & classes) != 0) {
                return {true, mark(*first)};
            }
        }
        return {};
    }

    static void call(entry* waiter) noexcept {
        if (waiter == nullptr) {
            return;
        }
        const entry* const outer = current;
        current = waiter;
        waiter->call_(waiter->context_);
        current = outer;
        // sync(called): release; the last use of the entry, which may go now.
        waiter->called_.store(0, memory_order_release);
    }

    /// Whose callback this thread is in.
    inline static constinit thread_local const entry* current = nullptr;

    std::mutex mutex_;
    std::array<queue, places> queues_;
    atomic<std::uint32_t> registered_;
};

}  // namespace zcpool
