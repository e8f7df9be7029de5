// SPDX-License-Identifier: MIT
#pragma once

// Waiting for a slot without blocking a thread: a callback says that one may have come back.
//
// What event loops and coroutines are made of; see slot_event.hpp and async_acquire.hpp.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include <zcpool/base/bounds.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/pool/watch_list.hpp>

namespace zcpool {

/// A wish for a buffer of so many bytes that is told when it is worth another try.
///
///     slot_watch watch{pool, 48'000, [](void* loop) noexcept { post_retry(loop); }, &loop};
///     auto frame = watch.try_again();   // exhausted: post_retry() comes when one may be there
///
/// While it waits it counts as a waiter of its classes, and the pool works without thread caches;
/// so who does not want the buffer any more says cancel(). It keeps the memory of a pool that was
/// destroyed, until it goes itself.
///
/// Limits: a release in another process does not notify, and slots that rest come back without a
/// release: both are what retry_after() is for. A notification is for one: who got it and neither
/// tries again nor cancels keeps it from the others. There is no queue to jump, either: a caller
/// that does not wait may be faster.
/// Sharing: one thread at a time. Stays where it is: the pool knows its address.
/// Not for: a forked child, in which it does nothing and answers `closed`.
class slot_watch {
public:
    /// Called once after each try that answered `exhausted`: when a slot may have come back, and
    /// when the pool is closed. In the thread that released, perhaps before that try has returned:
    /// it may only post. It must neither acquire nor release a buffer of this pool, nor wait for
    /// one who does.
    using callback = watch_list::callback;

    /// Does not wait yet.
    ///
    /// Expects: `context` is good until the watch has gone.
    slot_watch(pool_view pool, std::size_t bytes, callback call, void* context,
               priority who = priority::normal) noexcept
        : slot_watch(*pool.core_, pool.core_->class_for(bytes), call, context, who) {}
    slot_watch(const slot_watch&) = delete;
    slot_watch& operator=(const slot_watch&) = delete;
    /// As cancel().
    ~slot_watch() {
        if (core_.in_creator()) {
            end();
            core_.unpin();
        }
    }

    /// Takes a slot, or waits for one from now on.
    ///
    /// Errors: `exhausted`, after which the callback comes; `closed`; `too_large`.
    /// Complexity: as acquire(); when it waits, as acquire_until() before it sleeps.
    /// Concurrency: lock-free while a slot is at hand; else a mutex, and the end of a callback that
    /// has begun.
    [[nodiscard]] result<buffer> try_again(
        std::source_location where = std::source_location::current()) noexcept {
        for (;;) {
            auto taken = look(where);
            // Who has armed it must not touch it again, if the callback's receiver may.
            if (taken || taken.error() != errc::exhausted || arm()) {
                return taken;
            }
        }
    }

    /// Waits no longer. What it was notified of goes to somebody else.
    ///
    /// Ensures: no callback is running, and none comes before the next try.
    /// Concurrency: waits for a callback that has begun. Not from inside it.
    void cancel() noexcept {
        if (core_.in_creator()) {
            end();
        }
    }

    /// Whether it waits; a notification does not end that.
    [[nodiscard]] bool is_waiting() const noexcept { return is_waiting_; }

    /// After how long to try again although nobody notified: slots rest over the budget or are
    /// being renewed, or other processes may release some. 0: there is no need to. Of the last try;
    /// an event loop's time-out.
    [[nodiscard]] std::chrono::milliseconds retry_after() const noexcept { return retry_after_; }

    /// Notifies one waiter of each class of a pool to look again, as if slots had come back: for
    /// whoever keeps the time for many.
    static void retry_waiting(pool_view pool) noexcept { pool.core_->retry_waiting(); }

private:
    friend class slot_event;
    template <class Scheduler>
    friend class async_acquire;

    slot_watch(pool_core& core, std::size_t wanted, callback call, void* context,
               priority who) noexcept
        : core_(core),
          wanted_(wanted),
          who_(who),
          entry_(place_of(wanted, who), wanted == core.class_count() ? 0 : core.usable(wanted, who),
                 call, context) {
        if (core_.in_creator()) {
            core_.pin();
        }
    }

    /// Those for larger classes first, as the others have their own; urgent ones before normal.
    [[nodiscard]] static std::uint32_t place_of(std::size_t wanted, priority who) noexcept {
        return static_cast<std::uint32_t>(2 * (wanted % max_classes)) +
               (who == priority::urgent ? 1U : 0U);
    }

    /// Takes a slot, or waits for one with notifications noted until arm(); `exhausted` then.
    [[nodiscard]] result<buffer> look(std::source_location where) noexcept {
        retry_after_ = std::chrono::milliseconds{0};
        if (!core_.in_creator()) {
            return fail(errc::closed);
        }
        if (wanted_ == core_.class_count()) {
            return fail(errc::too_large);
        }
        if (!is_waiting_) {
            auto taken = core_.take(wanted_, who_);
            if (taken || taken.error() != errc::exhausted) {
                return pool_view{&core_}.wrap(taken, where);
            }
        }
        // On the list before it is counted, counted before the look.
        core_.watches().begin_look(entry_, is_waiting_);
        if (!is_waiting_) {
            is_waiting_ = true;
            core_.watches().enter();
            core_.begin_wait(wanted_);
        }
        if (core_.is_closed()) {
            end();
            return fail(errc::closed);
        }
        const taken_slot found = core_.look(wanted_, who_);
        if (found.record == nullptr) {
            retry_after_ = core_.is_shared() ? in_a_while(found.retry_after) : found.retry_after;
            return fail(errc::exhausted);
        }
        end();
        return pool_view{&core_}.wrap(found.record, where);
    }

    /// Lets notifications call from now on. From true on somebody else may have the watch.
    [[nodiscard]] bool arm() noexcept { return core_.watches().arm(entry_); }

    /// No callback comes before the next look, and none is running; it still waits.
    void hold_callbacks() noexcept {
        if (is_waiting_) {
            core_.watches().withdraw(entry_);
        }
    }

    /// Calls back if it is armed; any thread, while the watch lives.
    void interrupt() noexcept {
        if (core_.in_creator()) {
            core_.watches().notify(entry_);
        }
    }

    /// No process is told of what another one releases.
    [[nodiscard]] static std::chrono::milliseconds in_a_while(
        std::chrono::milliseconds after) noexcept {
        constexpr std::chrono::milliseconds longest{10};
        return after.count() == 0 ? longest : smaller_of(after, longest);
    }

    void end() noexcept {
        if (is_waiting_) {
            core_.watches().withdraw(entry_);
            is_waiting_ = false;
            core_.watches().leave();
            core_.end_wait(wanted_);
        }
    }

    pool_core& core_;
    std::size_t wanted_;
    priority who_;
    bool is_waiting_ = false;
    std::chrono::milliseconds retry_after_{0};
    watch_list::entry entry_;
};

}  // namespace zcpool
