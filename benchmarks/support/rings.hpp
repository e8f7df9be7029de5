// SPDX-License-Identifier: MIT
#pragma once

// Our stores and rings, and those of others that are written out here, each as push(index) and
// pop(), where pop() answers `none` when it found nothing. All hold up to 1,024 indices.
// ring_peers.hpp has those of libraries.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include <zcpool/zcpool.hpp>

namespace bench {

inline constexpr std::uint32_t ring_capacity = 1024;
inline constexpr std::uint32_t none = zcpool::no_index;

/// zcpool's hot store, in memory of its own.
class own_store {
public:
    static constexpr const char* name = "zcpool::bitmap_store";
    void push(std::uint32_t index) noexcept { store_.push(index); }
    [[nodiscard]] std::uint32_t pop() noexcept { return store_.pop(zcpool::thread_start()); }

private:
    alignas(64) std::array<zcpool::bitmap_store::word,
                           zcpool::bitmap_store::words_for(ring_capacity)> memory_;
    zcpool::bitmap_store store_{memory_, ring_capacity};
};

/// The other candidate for the hot store, which hands over magazines: a tagged stack. Slots could
/// not wait in it, as sweeps claim them behind its back.
class own_stack {
public:
    static constexpr const char* name = "zcpool::index_stack";
    void push(std::uint32_t index) noexcept { stack_.push(index); }
    [[nodiscard]] std::uint32_t pop() noexcept { return stack_.pop(); }

private:
    alignas(64) zcpool::index_stack::top_word top_;
    alignas(64) std::array<zcpool::index_stack::link, ring_capacity> links_;
    zcpool::index_stack stack_{top_, links_};
};

/// zcpool's ring, in memory of its own.
class own_ring {
public:
    static constexpr const char* name = "zcpool::index_ring";
    void push(std::uint32_t index) noexcept { ring_.push(index); }
    [[nodiscard]] std::uint32_t pop() noexcept { return ring_.pop(); }

private:
    zcpool::index_ring::counters counters_;
    alignas(64)
        std::array<zcpool::index_ring::cell, zcpool::index_ring::cells_for(ring_capacity)> cells_;
    zcpool::index_ring ring_{counters_, cells_};
};

/// The limit: an array, for one thread.
class bare_array {
public:
    static constexpr const char* name = "limit: array for one thread";
    void push(std::uint32_t index) noexcept { free_[count_++] = index; }
    [[nodiscard]] std::uint32_t pop() noexcept { return count_ == 0 ? none : free_[--count_]; }

private:
    std::array<std::uint32_t, ring_capacity> free_{};
    std::uint32_t count_ = 0;
};

/// What everybody writes first: a stack under a lock.
class mutex_vector {
public:
    static constexpr const char* name = "std::mutex and std::vector";
    mutex_vector() { free_.reserve(ring_capacity); }
    void push(std::uint32_t index) {
        const std::lock_guard lock{mutex_};
        free_.push_back(index);
    }
    [[nodiscard]] std::uint32_t pop() {
        const std::lock_guard lock{mutex_};
        if (free_.empty()) {
            return none;
        }
        const std::uint32_t index = free_.back();
        free_.pop_back();
        return index;
    }

private:
    std::mutex mutex_;
    std::vector<std::uint32_t> free_;
};

/// The same, first in first out.
class mutex_deque {
public:
    static constexpr const char* name = "std::mutex and std::deque";
    void push(std::uint32_t index) {
        const std::lock_guard lock{mutex_};
        free_.push_back(index);
    }
    [[nodiscard]] std::uint32_t pop() {
        const std::lock_guard lock{mutex_};
        if (free_.empty()) {
            return none;
        }
        const std::uint32_t index = free_.front();
        free_.pop_front();
        return index;
    }

private:
    std::mutex mutex_;
    std::deque<std::uint32_t> free_;
};

/// Vyukov's bounded queue with a sequence number a cell: the fastest for one thread, but a thread
/// that stops between its two steps stops those that reach its cell.
/// Source: Dmitry Vyukov, "Bounded MPMC queue" (1024cores.net).
class vyukov_queue {
public:
    static constexpr const char* name = "Vyukov's queue (blocks)";
    vyukov_queue() noexcept {
        for (std::size_t i = 0; i < cells_.size(); ++i) {
            cells_[i].sequence.store(i, std::memory_order_relaxed);
        }
    }
    void push(std::uint32_t index) noexcept {
        std::uint64_t position = tail_.load(std::memory_order_relaxed);
        for (;;) {
            cell& here = cells_[position % ring_capacity];
            const std::uint64_t sequence = here.sequence.load(std::memory_order_acquire);
            if (sequence == position) {
                if (tail_.compare_exchange_weak(position, position + 1,
                                                std::memory_order_relaxed)) {
                    here.index = index;
                    here.sequence.store(position + 1, std::memory_order_release);
                    return;
                }
            } else {
                position = tail_.load(std::memory_order_relaxed);
            }
        }
    }
    [[nodiscard]] std::uint32_t pop() noexcept {
        std::uint64_t position = head_.load(std::memory_order_relaxed);
        for (;;) {
            cell& here = cells_[position % ring_capacity];
            const std::uint64_t sequence = here.sequence.load(std::memory_order_acquire);
            if (sequence == position + 1) {
                if (head_.compare_exchange_weak(position, position + 1,
                                                std::memory_order_relaxed)) {
                    const std::uint32_t index = here.index;
                    here.sequence.store(position + ring_capacity, std::memory_order_release);
                    return index;
                }
            } else if (sequence == position) {
                return none;
            } else {
                position = head_.load(std::memory_order_relaxed);
            }
        }
    }

private:
    struct cell {
        std::atomic<std::uint64_t> sequence;
        std::uint32_t index = 0;
    };
    alignas(64) std::atomic<std::uint64_t> tail_{0};
    alignas(64) std::atomic<std::uint64_t> head_{0};
    alignas(64) std::array<cell, ring_capacity> cells_;
};

/// The scalable circular queue: lock-free, and the fastest of those that are.
/// Source: Ruslan Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue"
/// (arXiv:1908.04511), figure 8.
class scq {
public:
    static constexpr const char* name = "SCQ";
    scq() noexcept {
        for (auto& each : entries_) {
            each.store(pack(0, true, empty), std::memory_order_relaxed);
        }
    }
    void push(std::uint32_t index) noexcept {
        for (;;) {
            const std::uint64_t tail = tail_.fetch_add(1, std::memory_order_acq_rel);
            const std::uint64_t cycle = tail / size;
            auto& entry = entries_[place_of(tail)];
            std::uint64_t found = entry.load(std::memory_order_acquire);
            while (cycle_of(found) < cycle && index_of(found) == empty &&
                   (is_safe(found) || head_.load(std::memory_order_acquire) <= tail)) {
                if (entry.compare_exchange_weak(found, pack(cycle, true, index),
                                                std::memory_order_acq_rel,
                                                std::memory_order_acquire)) {
                    if (threshold_.load(std::memory_order_acquire) != full_threshold) {
                        threshold_.store(full_threshold, std::memory_order_release);
                    }
                    return;
                }
            }
        }
    }
    [[nodiscard]] std::uint32_t pop() noexcept {
        if (threshold_.load(std::memory_order_acquire) < 0) {
            return none;
        }
        for (;;) {
            const std::uint64_t head = head_.fetch_add(1, std::memory_order_acq_rel);
            const std::uint64_t cycle = head / size;
            auto& entry = entries_[place_of(head)];
            std::uint64_t found = entry.load(std::memory_order_acquire);
            for (;;) {
                if (cycle_of(found) == cycle) {
                    entry.fetch_or(empty, std::memory_order_acq_rel);
                    return static_cast<std::uint32_t>(index_of(found));
                }
                const std::uint64_t wanted = index_of(found) == empty
                                                 ? pack(cycle, is_safe(found), empty)
                                                 : pack(cycle_of(found), false, index_of(found));
                if (cycle_of(found) >= cycle ||
                    entry.compare_exchange_weak(found, wanted, std::memory_order_acq_rel,
                                                std::memory_order_acquire)) {
                    break;
                }
            }
            const std::uint64_t tail = tail_.load(std::memory_order_acquire);
            if (tail <= head + 1) {
                catch_up(tail, head + 1);
                threshold_.fetch_sub(1, std::memory_order_acq_rel);
                return none;
            }
            if (threshold_.fetch_sub(1, std::memory_order_acq_rel) <= 0) {
                return none;
            }
        }
    }

private:
    static constexpr std::uint64_t size = 2 * ring_capacity;
    static constexpr std::uint64_t empty = size - 1;
    static constexpr std::int64_t full_threshold = 3 * ring_capacity - 1;

    // An entry: [ cycle | safe : 1 | index : 11 ], with all bits of the index set when empty.
    static constexpr std::uint64_t pack(std::uint64_t cycle, bool safe, std::uint64_t index) {
        return cycle * 2 * size | (safe ? size : 0) | index;
    }
    static constexpr std::uint64_t cycle_of(std::uint64_t entry) { return entry / (2 * size); }
    static constexpr bool is_safe(std::uint64_t entry) { return (entry & size) != 0; }
    static constexpr std::uint64_t index_of(std::uint64_t entry) { return entry & empty; }

    /// Spreads neighbours over cache lines of eight entries.
    static constexpr std::size_t place_of(std::uint64_t position) {
        const std::uint64_t at = position % size;
        return (at % (size / 8)) * 8 + at / (size / 8);
    }

    void catch_up(std::uint64_t tail, std::uint64_t head) noexcept {
        while (!tail_.compare_exchange_weak(tail, head, std::memory_order_acq_rel,
                                            std::memory_order_acquire)) {
            head = head_.load(std::memory_order_acquire);
            tail = tail_.load(std::memory_order_acquire);
            if (tail >= head) {
                return;
            }
        }
    }

    // Positions start in cycle 1, so that the entries, of cycle 0, are older.
    alignas(64) std::atomic<std::uint64_t> tail_{size};
    alignas(64) std::atomic<std::uint64_t> head_{size};
    alignas(64) std::atomic<std::int64_t> threshold_{-1};
    alignas(64) std::array<std::atomic<std::uint64_t>, size> entries_;
};

}  // namespace bench
