// SPDX-License-Identifier: MIT

// Threads that stamp slots, look again and give them back: as buffers, as slices that are shared,
// as slots that were lent, and by waiting. Nobody may ever find another's stamp.
// Source: the stamping is that of DPDK's mempool autotest.

#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

#include "stamp.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::slice;

using one_class_pool = zcpool::pool<zcpool::size_classes<4_KiB>>;

constexpr std::size_t slot_bytes = 4096;

/// Places where threads leave slices for each other.
class exchange_places {
public:
    /// Leaves a slice and takes what was there.
    slice swap(std::size_t place, slice left) {
        cell& here = cells_[place % cells_.size()];
        const std::lock_guard hold{here.mutex};
        std::swap(here.content, left);
        return left;
    }
    /// Returns: another handle to what is there, which stays there.
    slice look(std::size_t place) {
        cell& here = cells_[place % cells_.size()];
        const std::lock_guard hold{here.mutex};
        return here.content;
    }
    void clear() {
        for (cell& each : cells_) {
            swap(static_cast<std::size_t>(&each - cells_.data()), {});
        }
    }

private:
    struct cell {
        std::mutex mutex;
        slice content;
    };
    std::array<cell, 4> cells_;
};

/// The counts that all threads of a run add to.
struct tally {
    std::atomic<long> mismatches{0};
    std::atomic<long> progress{0};
    std::atomic<long> shared{0};
    std::atomic<long> lent{0};
    std::atomic<long> waited{0};
};

/// One thread's pipe: what was lent to it must read as it was when it was lent.
class lent_page {
public:
    // A pipe that could not be made takes nothing, and the run counts no lending.
    lent_page() { static_cast<void>(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK)); }
    lent_page(const lent_page&) = delete;
    lent_page& operator=(const lent_page&) = delete;
    ~lent_page() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    /// Puts a slice's pages into the pipe. Returns: false when it may not be lent.
    bool send(const slice& from) {
        const auto where = from.lend();
        if (!where) {
            return false;
        }
        auto offset = static_cast<off_t>(where->offset);
        return ::sendfile(ends_[1], where->fd, &offset, from.size()) ==
               static_cast<ssize_t>(from.size());
    }
    /// Takes the page out again. Returns: whether it has the stamp.
    bool holds(std::uint64_t stamp) {
        return ::read(ends_[0], bytes_.data(), bytes_.size()) ==
                   static_cast<ssize_t>(bytes_.size()) &&
               has_stamp(bytes_, stamp);
    }

private:
    int ends_[2] = {-1, -1};
    alignas(8) std::array<std::byte, slot_bytes> bytes_{};
};

/// One thread of a run.
class worker {
public:
    worker(const one_class_pool& pool, exchange_places& places, tally& to, unsigned number)
        : pool_(pool), places_(places), tally_(to), number_(number), random_(number + 17) {}

    void work_until(const std::atomic<bool>& over) {
        for (int n = 0; n < least || !over.load(std::memory_order_relaxed); ++n) {
            const auto chance = random_.below(32);
            if (chance < 20) {
                fill_and_check();
            } else if (chance < 25) {
                share();
            } else if (chance < 28) {
                look();
            } else if (chance < 29) {
                lend();
            } else {
                wait();
            }
        }
    }

private:
    /// What a thread does even when it gets no time before the end.
    static constexpr int least = 300;

    [[nodiscard]] std::uint64_t stamp() noexcept { return make_stamp(number_, ++count_); }

    void verify(bool right) {
        tally_.mismatches += right ? 0 : 1;
        tally_.progress.fetch_add(1, std::memory_order_relaxed);
    }

    /// With the slot in hand: often nothing, at times another thread.
    void dawdle() {
        if (random_.below(16) == 0) {
            std::this_thread::yield();
        }
    }

    void use(buffer held) {
        const auto mine = stamp();
        put_stamp(held.space(), mine);
        dawdle();
        verify(has_stamp(held.space(), mine));
    }

    void fill_and_check() {
        if (buffer held = pool_.try_acquire(slot_bytes)) {
            use(std::move(held));
        }
    }

    void wait() {
        if (auto held = pool_.acquire_for(slot_bytes, std::chrono::microseconds{200})) {
            ++tally_.waited;
            use(std::move(*held));
        }
    }

    [[nodiscard]] slice freeze(std::uint64_t& mine) {
        buffer held = pool_.try_acquire(slot_bytes);
        if (!held) {
            return {};
        }
        mine = stamp();
        put_stamp(held.space(), mine);
        held.commit(slot_bytes);
        return std::move(held).freeze();
    }

    void share() {
        std::uint64_t mine = 0;
        slice frozen = freeze(mine);
        const slice kept = random_.below(2) == 0 ? frozen : slice{};
        const slice other = places_.swap(random_.below(4), std::move(frozen));
        check_frozen(other);
        dawdle();
        if (!kept.empty()) {
            ++tally_.shared;
            verify(has_stamp(kept.bytes(), mine));
        }
    }

    void look() { check_frozen(places_.look(random_.below(4))); }

    /// A frozen slot does not change while it is held.
    void check_frozen(const slice& held) {
        if (!held.empty()) {
            const auto before = stamp_of(held.bytes());
            dawdle();
            verify(has_stamp(held.bytes(), before));
        }
    }

    void lend() {
        std::uint64_t mine = 0;
        slice frozen = freeze(mine);
        if (frozen.empty() || !page_.send(frozen)) {
            return;
        }
        frozen = {};  // the kernel has it now, and nobody else
        fill_and_check();
        dawdle();
        ++tally_.lent;
        verify(page_.holds(mine));
    }

    const one_class_pool& pool_;
    exchange_places& places_;
    tally& tally_;
    unsigned number_;
    dice random_;
    lent_page page_;
    std::uint64_t count_ = 0;
};

void run(unsigned threads, std::uint32_t slots, bool may_lend) {
    auto options = lending_options(slots, 0);
    options.lending = may_lend ? zcpool::lending::cached : zcpool::lending::never;
    const auto pool = make_pool<one_class_pool>(options);
    exchange_places places;
    tally counted;
    std::atomic<bool> over{false};
    const auto length = scaled_time(250);
    auto longest_pause = steady::duration::zero();
    std::thread clock{[&] {
        const auto end = steady::now() + length;
        auto since = steady::now();
        for (long seen = 0; steady::now() < end;) {
            std::this_thread::sleep_for(10ms);
            const auto now = steady::now();
            if (const long progress = counted.progress.load(); progress != seen) {
                seen = progress;
                since = now;
            }
            longest_pause = std::max(longest_pause, now - since);
        }
        over.store(true);
    }};
    run_together(threads,
                 [&](unsigned number) { worker{pool, places, counted, number}.work_until(over); });
    clock.join();
    places.clear();
    CAPTURE(threads, slots, may_lend);
    CHECK(counted.mismatches == 0);
    CHECK(counted.progress > 0);
    CHECK((!may_lend || counted.lent > 0));
    std::printf(
        "%2u threads, %4u slots%s: %ld checked, %ld shared, %ld lent, %ld waited; "
        "longest pause %ld ms\n",
        threads, slots, may_lend ? ", lending" : "", counted.progress.load(), counted.shared.load(),
        counted.lent.load(), counted.waited.load(), static_cast<long>(longest_pause / 1ms));
    if (length >= 2s) {
        CHECK(longest_pause < 1s);
    }
    // None was lost: all are free, and all can be had.
    CHECK(slots_in_use(pool) == 0);
    std::vector<buffer> all(slots + 1);
    CHECK(pool.acquire_many(1, all) == slots);
}

TEST_CASE("pool: threads that stamp slots and look again never find another's stamp", "[slots]") {
    for (const unsigned threads : {2U, 4U, 16U, 64U}) {
        for (const std::uint32_t slots : {1U, 2U, 4U, 64U, 4096U}) {
            run(threads, slots, slots % 4 == 0);
        }
    }
}

TEST_CASE("pool: buffers of several classes stay apart when one class spills into the next",
          "[slots]") {
    using spilling = zcpool::pool<zcpool::size_classes<4_KiB, 8_KiB, 64_KiB>,
                                  zcpool::pool_policy{zcpool::spill_policy::next_class}>;
    const auto pool = make_pool<spilling>({.slots = {3, 2, 4}});
    std::atomic<long> mismatches{0};
    std::atomic<long> had{0};
    run_together(8, [&](unsigned number) {
        dice random{number + 3};
        std::array<buffer, 3> held;
        std::array<std::uint64_t, 3> stamps{};
        for (long n = 0, rounds = scaled(10'000); n < rounds; ++n) {
            const auto which = random.below(3);
            if (buffer& place = held[which]) {
                mismatches += has_stamp(place.space(), stamps[which]) ? 0 : 1;
                place.reset();
                continue;
            }
            const std::size_t bytes = std::array{1UL, 8192UL, 65536UL}[random.below(3)];
            if (buffer& place = held[which] = pool.try_acquire(bytes)) {
                ++had;
                mismatches += place.capacity() >= bytes ? 0 : 1;
                stamps[which] = make_stamp(number, static_cast<std::uint64_t>(n));
                put_stamp(place.space(), stamps[which]);
            }
            if (random.below(8) == 0) {
                std::this_thread::yield();
            }
        }
    });
    CHECK(mismatches == 0);
    CHECK(had > 0);
    CHECK(slots_in_use(pool) == 0);
    std::vector<buffer> all(10);
    CHECK(pool.acquire_many(1, all) == 9);  // the three classes together
}

}  // namespace
