// SPDX-License-Identifier: MIT
// One size class with all that it is made of: words, free store, ring, and processes that share
// slots, lend them, renew them and die.
//
// The steps of slab.hpp are repeated here around the real store, ring and word; what only counts is
// left out, and what depends on the budget or on the kernel is chosen at random. The registry of
// processes and the recovery of the dead are the real ones.
#include "harness.hpp"
#include "watched_slot.hpp"

#include <zcpool/pool/class_recovery.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/ring/free_store.hpp>
#include <zcpool/ring/index_ring.hpp>

namespace {

using namespace zcpool_model;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;

inline constexpr unsigned workers = 3;
inline constexpr unsigned recoverer = 3;
inline constexpr holder_set bit(unsigned process) { return holder_set{1} << process; }

struct handle {
    enum class kind : std::uint8_t { none, owner, reader } is = kind::none;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
};

enum class search : std::uint8_t { quick, thorough };

template <std::uint32_t Slots>
class size_class {
public:
    using store = zcpool::basic_bitmap_store<zcpool_model::atomic>;
    using ring = zcpool::basic_index_ring<zcpool_model::atomic>;

    size_class() : hot_(store_words_, Slots), resting_(positions_, cells_) {}

    void begin(bool zeroes) {
        for (std::uint32_t i = 0; i < Slots; ++i) {
            slots[i].begin(0, zeroes);
            hot_.push(i);
        }
    }

    std::optional<handle> take(holder_set me, search how) {
        for (auto i = hot_.pop(); i != zcpool::no_index; i = hot_.pop()) {
            if (const auto generation = slots[i].claim(me)) {
                return owned(i, *generation);
            }
        }
        for (auto i = resting_.pop(); i != zcpool::no_index; i = resting_.pop()) {
            const renewal outcome = clean(i, me);
            if (outcome == renewal::cleaned) {
                return owned(i, slots[i].finish_cleaning(me));
            }
            if (outcome == renewal::over_budget) {
                resting_.push(i);
                break;
            }
        }
        return sweep(me, how);
    }

    void give_back(const handle& that, holder_set me) {
        const drop_outcome outcome = slots[that.slot].drop(that.generation, me);
        if (outcome != drop_outcome::still_held) {
            outcome == drop_outcome::freed ? hot_.push(that.slot)
                                           : static_cast<void>(resting_.push(that.slot));
            came_back();
        }
    }

    void trim(const handle& that, holder_set me) {
        slots[that.slot].trim(that.generation, me);
        resting_.push(that.slot);
        came_back();
    }

    void renew_resting(holder_set me) {
        const auto i = resting_.pop();
        if (i == zcpool::no_index) {
            return;
        }
        const renewal outcome = clean(i, me);
        if (outcome == renewal::over_budget) {
            resting_.push(i);
        } else if (outcome == renewal::cleaned) {
            slots[i].free_cleaned();
            hot_.push(i);
        }
    }

    // What recover_class() asks for.
    std::uint32_t size() const { return Slots; }
    reap_outcome reap(std::uint32_t slot, holder_set dead, holder_set me) {
        return slots[slot].reap(dead, me);
    }
    bool clean(std::uint32_t slot) {
        if (!quiet && any_below(6) == 0) {
            slots[slot].quarantine();
            return false;
        }
        slots[slot].renew();
        slots[slot].free_cleaned();
        return true;
    }
    void push_free(std::uint32_t slot) { hot_.push(slot); }
    void push_resting(std::uint32_t slot) { static_cast<void>(resting_.push(slot)); }
    void rebuild() { hot_.rebuild(); }
    /// Something came back: who found nothing looks again.
    void came_back(std::uint32_t = 1) { released_.fetch_add(1, memory_order_release); }

    watched_slot slots[Slots];
    bool quiet = false;  // renewal always succeeds

private:
    enum class renewal : std::uint8_t { cleaned, lost, over_budget, failed };

    static handle owned(std::uint32_t slot, std::uint32_t generation) {
        return {handle::kind::owner, slot, generation};
    }

    renewal clean(std::uint32_t slot, holder_set me) {
        const unsigned what = quiet ? 3 : any_below(6);
        if (slots[slot].claim_trimmed(me)) {
            if (what == 2) {
                slots[slot].quarantine();
                return renewal::failed;
            }
            slots[slot].renew();
            return renewal::cleaned;
        }
        if (what == 0) {
            return renewal::over_budget;
        }
        if (!slots[slot].claim_resting(me)) {
            return renewal::lost;
        }
        if (what == 1) {
            slots[slot].keep_resting();
            return renewal::over_budget;
        }
        if (what == 2) {
            slots[slot].quarantine();
            return renewal::failed;
        }
        slots[slot].renew();
        return renewal::cleaned;
    }

    std::optional<handle> sweep(holder_set me, search how) {
        const auto count = released_.load(memory_order_acquire);
        if (how == search::quick && all_in_use_.load(memory_order_relaxed) == count + 1) {
            return std::nullopt;
        }
        bool comes_back_otherwise = false;
        for (std::uint32_t i = 0; i < Slots; ++i) {
            const auto now = slots[i].word.was();
            if (now.state == slot_state::free) {
                if (const auto generation = slots[i].claim(me)) {
                    hot_.rebuild();
                    return owned(i, *generation);
                }
            } else if (now.state == slot_state::cleaning) {
                comes_back_otherwise = true;
            } else if (slot_word::is_trimmed(now) || slot_word::is_resting(now)) {
                if (clean(i, me) == renewal::cleaned) {
                    return owned(i, slots[i].finish_cleaning(me));
                }
                comes_back_otherwise = true;
            }
        }
        if (!comes_back_otherwise) {
            all_in_use_.store(count + 1, memory_order_relaxed);
        }
        return std::nullopt;
    }

    store::word store_words_[store::words_for(Slots)];
    store hot_;
    ring::counters positions_;
    ring::cell cells_[ring::cells_for(Slots)];
    ring resting_;
    atomic<std::uint64_t> released_;
    atomic<std::uint64_t> all_in_use_;
};

/// Processes on one size class.
template <std::uint32_t Slots>
struct processes {
    static constexpr unsigned most_handles = 2;

    struct process {
        handle handles[most_handles];
        bool promised = false;  // a share is on its way to it
        bool marked = false;    // as dying
        zcpool::process_seat seat;
    };
    using registry = zcpool::basic_process_registry<zcpool_model::atomic>;

    size_class<Slots> slots;
    process all[workers];
    // A descriptor on its way to each process: slot and generation. It orders nothing.
    atomic<std::uint64_t> box[workers];
    // How many shares of a slot a process has had, and given up; see slot_word.cpp.
    std::uint32_t taken[Slots][workers] = {};
    atomic<std::uint32_t> returned[Slots][workers];
    registry::entry entries[workers + 1];
    registry places{entries};
    zcpool::process_seat recoverer_seat;
    atomic<std::uint32_t> dead[workers];  // what the kernel says

    void begin(bool zeroes = false) {
        slots.begin(zeroes);
        for (unsigned p = 0; p < workers; ++p) {
            all[p].seat = places.join_at(p, {p + 1, 0}).value();
        }
        recoverer_seat = places.join_at(recoverer, {recoverer + 1, 0}).value();
    }

    void work(unsigned p) {
        for (int step = 0; step < 6; ++step) {
            handle& mine = all[p].handles[any_below(most_handles)];
            if (all[p].promised && any_below(2) == 0) {
                receive(p);
            } else if (any_below(8) == 0) {
                slots.renew_resting(bit(p));
            } else {
                use(p, mine);
            }
        }
        give_back_all(p);
    }
    void use(unsigned p, handle& mine) {
        switch (mine.is) {
            case handle::kind::none:
                if (const auto got =
                        slots.take(bit(p), any_below(2) == 0 ? search::quick : search::thorough)) {
                    mine = *got;
                    ++taken[got->slot][p];
                }
                break;
            case handle::kind::owner:
                if (const unsigned what = any_below(8); what < 2) {
                    give_back(p, mine);
                } else if (what == 2) {
                    mine.is = handle::kind::none;
                    slots.trim(mine, bit(p));
                    returned[mine.slot][p].fetch_add(1, memory_order_release);
                } else {
                    slots.slots[mine.slot].publish(mine.generation, bit(p));
                    mine.is = handle::kind::reader;
                }
                break;
            case handle::kind::reader: share(p, mine);
        }
    }
    void share(unsigned p, handle& mine) {
        watched_slot& slot = slots.slots[mine.slot];
        slot.read(mine.generation, bit(p));
        switch (const unsigned what = any_below(5)) {
            case 0: slot.grant(mine.generation, bit(p), kernel_holder); break;
            case 1:
            case 2: send(mine, p, (p + what) % workers); break;
            default: give_back(p, mine);
        }
    }
    void send(const handle& mine, unsigned from, unsigned to) {
        // relaxed is enough: grant() sees the newest word, also where it looks as if the bit stood.
        const auto back = returned[mine.slot][to].load(memory_order_relaxed);
        if (all[to].promised || back != taken[mine.slot][to]) {
            return;
        }
        all[to].promised = true;
        watched_grant word{slots.slots[mine.slot]};
        if (!places.grant(word, mine.generation, all[from].seat, all[to].seat)) {
            return;
        }
        box[to].store(std::uint64_t{mine.generation} << 8 | mine.slot + 1, memory_order_relaxed);
    }
    /// A slot's word as grant() uses it.
    struct watched_grant {
        watched_slot& slot;
        bool grant(std::uint32_t generation, holder_set me, holder_set other) {
            slot.grant(generation, me, other);
            return true;
        }
        drop_outcome drop(std::uint32_t generation, holder_set who) {
            slot.forget(who);
            return slot.word.drop(generation, who);
        }
    };
    void receive(unsigned p) {
        const auto content = box[p].load(memory_order_relaxed);
        if (content == 0) {
            return;
        }
        const handle sent{handle::kind::reader, static_cast<std::uint32_t>(content & 0xFF) - 1,
                          static_cast<std::uint32_t>(content >> 8)};
        handle* const place =
            std::find_if(all[p].handles, all[p].handles + most_handles,
                         [](const handle& each) { return each.is == handle::kind::none; });
        const auto now = slots.slots[sent.slot].word.was();
        if (place != all[p].handles + most_handles && now.generation == sent.generation &&
            (now.holders & bit(p)) != 0) {
            *place = sent;
            box[p].store(0, memory_order_relaxed);
            all[p].promised = false;
            ++taken[sent.slot][p];
            slots.slots[sent.slot].read(sent.generation, bit(p));
        }
    }
    void give_back(unsigned p, handle& mine) {
        const handle that = mine;
        mine.is = handle::kind::none;
        slots.give_back(that, bit(p));
        returned[that.slot][p].fetch_add(1, memory_order_release);
    }
    void give_back_all(unsigned p) {
        for (handle& each : all[p].handles) {
            if (each.is != handle::kind::none) {
                give_back(p, each);
            }
        }
    }

    // ---- recovery

    void recover_the_dead() {
        for (unsigned p = 0; p < workers; ++p) {
            if (!all[p].marked && dead[p].load(memory_order_acquire) != 0) {
                all[p].marked = true;
                RL_ASSERT(places.mark_dying(p, all[p].seat.status));
            }
        }
        places.recover(recoverer_seat, [this](holder_set gone) {
            zcpool::recover_class(slots, gone, recoverer_seat.bit());
        });
    }
    /// When all is quiet: what a living process was granted, and was never told of because the
    /// sender died, is given up.
    void audit(unsigned p) {
        for (std::uint32_t i = 0; i < Slots; ++i) {
            const auto now = newest(slots.slots[i].word);
            if ((now.holders & bit(p)) != 0) {
                slots.give_back({handle::kind::reader, i, now.generation}, bit(p));
            }
        }
    }
    /// When all is quiet and recovered: every slot can be taken.
    void check_nothing_lost(search how) {
        slots.quiet = true;
        for (std::uint32_t i = 0; i < Slots; ++i) {
            RL_ASSERT(slots.take(bit(recoverer), how));
        }
        RL_ASSERT(!slots.take(bit(recoverer), search::thorough));
    }
};

/// Three processes, six steps each; then every slot is there, without a thorough search too.
template <std::uint32_t Slots>
struct mixed : rl::test_suite<mixed<Slots>, workers> {
    processes<Slots> pool;

    void before() { pool.begin(); }
    void thread(unsigned t) { pool.work(t); }
    void after() {
        for (unsigned p = 0; p < workers; ++p) {
            if (pool.all[p].promised) {
                pool.receive(p);
                pool.give_back_all(p);
            }
        }
        pool.check_nothing_lost(search::quick);
    }
};

/// As above, while up to `Deaths` of them die, and a fourth process recovers what they had.
template <std::uint32_t Slots, unsigned Deaths, bool Zeroes = false>
struct with_deaths : rl::test_suite<with_deaths<Slots, Deaths, Zeroes>, workers + 1> {
    processes<Slots> pool;

    void before() { pool.begin(Zeroes); }
    void thread(unsigned t) {
        if (t == recoverer) {
            for (int round = 0; round < 4; ++round) {
                pool.recover_the_dead();
                if (const auto got = pool.slots.take(bit(recoverer), search::thorough)) {
                    pool.slots.give_back(*got, bit(recoverer));
                }
            }
            return;
        }
        const unsigned point = t < Deaths ? 1 + any_below(200) : 0;
        if (!survives(point, [this, t] { pool.work(t); })) {
            pool.dead[t].store(1, memory_order_release);
        }
    }
    void after() {
        pool.recover_the_dead();
        RL_ASSERT(pool.places.those(zcpool::process_state::dying) == 0);
        RL_ASSERT(pool.places.those(zcpool::process_state::swept) == 0);
        for (unsigned p = 0; p < workers; ++p) {
            if (!pool.all[p].marked) {
                pool.receive(p);
                pool.give_back_all(p);
                pool.audit(p);
            }
        }
        pool.check_nothing_lost(search::quick);
    }
};

/// For searches: two processes; whoever takes the last slot gives it back, and it is found again.
struct last_slot : rl::test_suite<last_slot, 2> {
    processes<1> pool;

    void before() {
        pool.begin();
        pool.slots.quiet = true;
    }
    void thread(unsigned t) {
        if (const auto got = pool.slots.take(bit(t), search::quick)) {
            pool.slots.give_back(*got, bit(t));
        }
    }
    void after() { pool.check_nothing_lost(search::quick); }
};

}  // namespace

int main(int argc, char** argv) {
    return run_cases(argc, argv,
                     {
                         random_case<"n1", mixed<1>>(400'000),
                         random_case<"n2", mixed<2>>(400'000),
                         random_case<"n3", mixed<3>>(400'000),
                         random_case<"no_deaths", with_deaths<2, 0>>(400'000),
                         random_case<"one_death_n1", with_deaths<1, 1>>(400'000),
                         random_case<"one_death", with_deaths<2, 1>>(400'000),
                         random_case<"two_deaths", with_deaths<2, 2>>(400'000),
                         random_case<"three_deaths", with_deaths<3, 3>>(400'000),
                         random_case<"zeroing_n1", with_deaths<1, 1, true>>(400'000),
                         random_case<"zeroing", with_deaths<2, 2, true>>(400'000),
                         search_case<"search_last_slot", last_slot>(3),
                     });
}
