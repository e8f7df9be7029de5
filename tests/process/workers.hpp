// SPDX-License-Identifier: MIT
#pragma once

// Processes that work on one pool, and may be killed anywhere.
//
// A worker is forked, attaches for itself, and marks every slot that it holds with a number of its
// own at both ends; what it finds changed there it counts in a page that all share.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/pools.hpp>
#include <support/scale.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/reaper.hpp>
#include <zcpool/zcpool.hpp>

namespace zcpool_test {

/// What workers count, in memory that all processes share.
struct tally_page {
    std::atomic<std::uint64_t> tickets;     // numbers for marks, each once
    std::atomic<std::uint64_t> steps[8];    // acquires and releases of each worker
    std::atomic<std::uint64_t> mismatches;  // marks that somebody else overwrote
    std::atomic<std::uint64_t> timeouts;    // waits of many seconds without a slot
    std::atomic<std::uint64_t> refused;     // attaching or sharing failed
    std::atomic<std::uint64_t> ready;       // workers that are at work

    [[nodiscard]] static tally_page& make() {
        void* const page = ::mmap(nullptr, sizeof(tally_page), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(page != MAP_FAILED);
        return *new (page) tally_page{};
    }
};

/// Attaches to the pool whose descriptors were inherited; ends the process when that fails.
inline zcpool::ipc::attached_pool attach_in_child(const zcpool::pool_descriptors& files,
                                                  tally_page& tally) {
    auto attached = zcpool::ipc::attached_pool::attach(
        zcpool::sys::unique_fd{::dup(files.data)}, zcpool::sys::unique_fd{::dup(files.control)});
    if (!attached) {
        tally.refused.fetch_add(1);
        ::_exit(3);
    }
    return std::move(*attached);
}

/// A slot that is held, and its mark.
class marked {
public:
    marked(zcpool::buffer held, std::uint64_t mark) : held_(std::move(held)), mark_(mark) {
        std::memcpy(held_.data(), &mark_, sizeof mark_);
        std::memcpy(last(), &mark_, sizeof mark_);
        held_.commit(held_.capacity());
    }
    [[nodiscard]] bool is_whole() {
        return std::memcmp(held_.data(), &mark_, sizeof mark_) == 0 &&
               std::memcmp(last(), &mark_, sizeof mark_) == 0;
    }
    [[nodiscard]] zcpool::buffer& buffer() { return held_; }

private:
    [[nodiscard]] std::byte* last() { return held_.data() + (held_.capacity() - sizeof mark_); }
    zcpool::buffer held_;
    std::uint64_t mark_;
};

/// Acquires, marks, checks, lends, trims and releases until it is killed, or `limit` steps.
inline void work(zcpool::pool_view pool, std::size_t most_held, std::uint64_t seed, unsigned index,
                 tally_page& tally, std::uint64_t limit = UINT64_MAX) {
    std::mt19937_64 random{seed};
    std::vector<marked> held;
    held.reserve(most_held + 1);
    for (std::uint64_t step = 0; step < limit; ++step) {
        tally.steps[index].fetch_add(1, std::memory_order_relaxed);
        if (held.size() < most_held && random() % 2 == 0) {
            const std::size_t bytes = pool.slot_bytes(random() % pool.class_count());
            auto got = pool.acquire_for(bytes, std::chrono::seconds{20});
            if (!got) {
                tally.timeouts.fetch_add(1);
                continue;
            }
            held.emplace_back(std::move(*got), tally.tickets.fetch_add(1) + 1);
        } else if (!held.empty()) {
            const std::size_t which = random() % held.size();
            std::swap(held[which], held.back());
            if (!held.back().is_whole()) {
                tally.mismatches.fetch_add(1);
            }
            if (random() % 8 == 0) {
                // As a sink without a receipt would: the slot rests, and gets new pages.
                const zcpool::slice lent = std::move(held.back().buffer()).freeze();
                static_cast<void>(lent.lend());
            }
            held.pop_back();
        } else if (random() % 512 == 0) {
            static_cast<void>(pool.trim(pool.class_count() * 4));
        }
        if (random() % 256 == 0) {
            static_cast<void>(pool.renew_resting(2));
        }
    }
}

/// A process at work on a pool.
class worker {
public:
    worker(const zcpool::pool_descriptors& files, std::size_t most_held, std::uint64_t seed,
           unsigned index, tally_page& tally)
        : process_(std::make_unique<child>([&, files] {
              const auto attached = attach_in_child(files, tally);
              tally.ready.fetch_add(1);
              work(attached, most_held, seed, index, tally);
              return 0;
          })) {}

    [[nodiscard]] pid_t pid() const { return process_->pid(); }
    void kill() {
        ::kill(process_->pid(), SIGKILL);
        static_cast<void>(process_->status());
    }

private:
    std::unique_ptr<child> process_;
};

/// A while of up to `most` microseconds.
inline void pause(std::mt19937_64& random, unsigned most) {
    ::usleep(static_cast<useconds_t>(random() % most));
}

/// Checks that everything has come back, by the words and by taking it.
inline void check_all_there(zcpool::pool_view pool) {
    const auto audit = zcpool::ipc::audit(pool);
    std::vector<zcpool::buffer> all;
    for (std::size_t index = 0; index < audit.class_count; ++index) {
        const zcpool::class_audit& each = audit.classes[index];
        INFO("class " << index << ": free " << each.free << ", resting " << each.resting
                      << ", trimmed " << each.trimmed << ", quarantined " << each.quarantined);
        CHECK(each.damaged == 0);
        const std::uint32_t slots = pool.stats()[index].slots;
        CHECK(each.available() == slots);
        for (std::uint32_t i = 0; i < slots; ++i) {
            all.push_back(pool.try_acquire(pool.slot_bytes(index)));
            REQUIRE(all.back());
        }
    }
    CHECK_FALSE(pool.try_acquire(1));
}

/// Places that somebody has.
inline std::size_t places_taken(zcpool::pool_view pool) {
    const auto audit = zcpool::ipc::audit(pool);
    return static_cast<std::size_t>(
        std::count_if(audit.processes.begin(), audit.processes.end(),
                      [](const auto& each) { return each.state != zcpool::process_state::free; }));
}

}  // namespace zcpool_test
