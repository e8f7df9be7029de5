// SPDX-License-Identifier: MIT
#pragma once

// A slot with its word and its bytes, and who may touch the bytes: each step of the word is checked
// against the rule that one writer, or any number of readers, or one cleaner has a slot, and that
// nobody writes to pages that the kernel may still read.
//
// The bytes are a variable whose races Relacy reports, so that a missing order between two holders
// shows although the words were in order. Each process is a thread here.

#include "harness.hpp"

#include <zcpool/pool/slot_word.hpp>

namespace zcpool_model {

using zcpool::drop_outcome;
using zcpool::holder_set;
using zcpool::kernel_holder;
using zcpool::reap_outcome;
using zcpool::slot_state;
using slot_word = zcpool::basic_slot_word<zcpool_model::atomic>;

/// The atomic inside a word, for what its interface does not give: an initial value.
inline atomic<std::uint64_t>& raw(slot_word& word) {
    static_assert(sizeof(slot_word) == sizeof(atomic<std::uint64_t>));
    return reinterpret_cast<atomic<std::uint64_t>&>(word);
}

/// The newest state of a word, without a step of the model.
inline zcpool::slot_status newest(slot_word& word) { return zcpool::decode(raw(word).newest()); }

class watched_slot {
public:
    /// Begins free, at this generation. `zeroes`: whoever owns it finds what its last holder, or
    /// new pages, left: zeroes.
    void begin(std::uint32_t generation, bool zeroes = false) {
        zeroes_ = zeroes;
        raw(word).store(zcpool::encode({generation, slot_state::free, 0}),
                        std::memory_order_relaxed);
        bytes_($) = zeroed;
        generation_ = zcpool::generation_limit;  // none yet
    }

    // Each of these is a step of the word, with what it means.

    /// Returns: the generation, which never is the last one again.
    std::optional<std::uint32_t> claim(holder_set me) {
        const auto generation = word.claim(me);
        if (generation) {
            RL_ASSERT(!lent_);
            own(*generation, me);
        }
        return generation;
    }
    void publish(std::uint32_t generation, holder_set me) {
        RL_ASSERT(writer_ == me);
        bytes_($) = stamp(generation);  // the owner's last touch
        writer_ = 0;
        readers_ |= me;
        RL_ASSERT(word.publish(generation, me));
    }
    void grant(std::uint32_t generation, holder_set me, holder_set other) {
        RL_ASSERT(word.grant(generation, me, other));
        (other == kernel_holder ? lent_ : readers_) |= other;
    }
    void read(std::uint32_t generation, holder_set me) {
        RL_ASSERT((readers_ & me) != 0 && writer_ == 0 && cleaner_ == 0);
        RL_ASSERT(bytes_($) == stamp(generation));
    }
    drop_outcome drop(std::uint32_t generation, holder_set me) {
        forget(me);
        if (zeroes_) {
            return drop_zeroed(generation, me);
        }
        const drop_outcome outcome = word.drop(generation, me);
        RL_ASSERT(outcome != drop_outcome::not_held);
        RL_ASSERT(outcome != drop_outcome::freed || !lent_);
        check_stale(generation, me);  // nobody may grant to a process before it has said so
        return outcome;
    }
    /// Gives it up as page_renewer::drop() does where the pool zeroes.
    drop_outcome drop_zeroed(std::uint32_t generation, holder_set me) {
        const drop_outcome outcome = word.drop_to_clean(generation, me);
        RL_ASSERT(outcome != drop_outcome::not_held && outcome != drop_outcome::freed);
        check_stale(generation, me);
        if (outcome != drop_outcome::cleaning) {
            return outcome;
        }
        RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0 && !lent_);
        cleaner_ = me;
        bytes_($) = zeroed;
        free_cleaned();
        return drop_outcome::freed;
    }
    /// What a recovery does; a slot that was taken over is then renewed and freed.
    reap_outcome reap(holder_set dead, holder_set me) {
        forget(dead);
        const reap_outcome outcome = word.reap(dead, me);
        if (outcome == reap_outcome::still_held || outcome == reap_outcome::resting) {
            lent_ |= kernel_holder;  // sends of the dead may be under way
        }
        if (outcome == reap_outcome::taken_over) {
            RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0);
            cleaner_ = me;
        }
        return outcome;
    }
    bool claim_resting(holder_set me) {
        if (!word.claim_resting(me)) {
            return false;
        }
        RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0);
        cleaner_ = me;
        return true;
    }
    /// Gives the owner's pages back to the system.
    void trim(std::uint32_t generation, holder_set me) {
        RL_ASSERT(writer_ == me);
        bytes_($) = trimmed;
        has_pages_ = false;
        writer_ = 0;
        word.trim(generation);
        check_stale(generation, me);
    }
    bool claim_trimmed(holder_set me) {
        if (!word.claim_trimmed(me)) {
            return false;
        }
        RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0 && !lent_);
        cleaner_ = me;
        return true;
    }
    void keep_resting() {
        static_cast<void>(static_cast<int>(bytes_($)));  // a cleaner may look
        cleaner_ = 0;
        word.keep_resting();
    }
    /// Replaces the pages, which then are nobody's but the pool's.
    void renew() {
        bytes_($) = renewed;
        lent_ = 0;
        has_pages_ = true;
    }
    /// Some of the pages may be new, and some may still be the kernel's.
    void quarantine() {
        bytes_($) = renewed;
        cleaner_ = 0;
        word.quarantine();
    }
    std::uint32_t finish_cleaning(holder_set me) {
        const auto generation = word.finish_cleaning(me);
        cleaner_ = 0;
        own(generation, me);
        return generation;
    }
    void free_cleaned() {
        cleaner_ = 0;
        word.free_cleaned();
    }

    /// Misuse: a handle that was given up is good for nothing, whoever has the slot now.
    void check_stale(std::uint32_t generation, holder_set me) {
        RL_ASSERT(word.drop(generation, me) == drop_outcome::not_held);
        RL_ASSERT(!zeroes_ || word.drop_to_clean(generation, me) == drop_outcome::not_held);
        RL_ASSERT(!word.publish(generation, me));
        RL_ASSERT(!word.grant(generation, me, kernel_holder));
    }
    /// Whether a handle of this generation is stale for good.
    bool was_owned_since(std::uint32_t generation) const { return generation_ != generation; }

    /// What this process had is gone: it gave it up, or died.
    void forget(holder_set who) {
        writer_ &= ~who;
        readers_ &= ~who;
        cleaner_ &= ~who;
    }

    /// When all is quiet: nobody has the slot, and it can be taken.
    void check_available(holder_set me) {
        const auto now = newest(word);
        RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0);
        if (now.state == slot_state::free) {
            while (!claim(me)) {  // may fail for no reason
            }
        } else {
            RL_ASSERT(slot_word::is_resting(now) || slot_word::is_trimmed(now));
            while (!claim_resting(me) && !claim_trimmed(me)) {
            }
            renew();
            finish_cleaning(me);
        }
    }

    slot_word word;

private:
    static constexpr int renewed = -1;
    static constexpr int trimmed = -2;
    static constexpr int zeroed = -3;
    static int stamp(std::uint32_t generation) { return static_cast<int>(generation); }

    void own(std::uint32_t generation, holder_set me) {
        RL_ASSERT(writer_ == 0 && readers_ == 0 && cleaner_ == 0);
        RL_ASSERT(generation != generation_);
        RL_ASSERT(has_pages_);
        generation_ = generation;
        writer_ = me;
        if (zeroes_) {
            const int found = bytes_($);
            RL_ASSERT(found == zeroed || found == renewed);
        }
        bytes_($) = 0;
    }

    rl::var<int> bytes_;
    holder_set writer_ = 0;
    holder_set readers_ = 0;
    holder_set cleaner_ = 0;
    holder_set lent_ = 0;  // the kernel, as long as it may read these pages
    bool has_pages_ = true;
    bool zeroes_ = false;
    std::uint32_t generation_ = 0;
};

}  // namespace zcpool_model
