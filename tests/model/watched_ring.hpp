// SPDX-License-Identifier: MIT
#pragma once

// A ring of bytes, each of which Relacy watches for races. What is written is counted up, so that
// the reader knows what has to come.

#include "harness.hpp"

#include <zcpool/ring/byte_ring.hpp>

namespace zcpool_model {

/// The ring itself only computes with addresses: the bytes are beside it.
template <std::size_t Capacity, std::uint64_t Begin = 0>
struct watched_ring {
    using producer = zcpool::basic_byte_producer<zcpool_model::atomic>;
    using consumer = zcpool::basic_byte_consumer<zcpool_model::atomic>;

    watched_ring()
        : writer(shared, memory, Capacity, Begin), reader(shared, memory, Capacity, Begin) {
        shared.consumed.store(Begin, std::memory_order_relaxed);
        shared.committed.store(Begin, std::memory_order_relaxed);
        for (auto& place : places) {
            place($) = 0;
        }
    }

    /// Writes up to `most` bytes, at least `least`. Returns: how many; 0 when there was no room.
    unsigned write(unsigned least, unsigned most) {
        const auto room = writer.space(least);
        RL_ASSERT(room.empty() || room.size() >= least);
        RL_ASSERT(!writer.is_corrupt());
        const auto count = static_cast<unsigned>(std::min<std::size_t>(room.size(), most));
        for (unsigned i = 0; i < count; ++i) {
            place_of(room.data() + i)($) = ++written;
        }
        if (count != 0) {
            writer.commit(count);
        }
        return count;
    }
    unsigned read(unsigned least, unsigned most) {
        const auto there = reader.readable(least);
        RL_ASSERT(there.empty() || there.size() >= least);
        RL_ASSERT(!reader.is_corrupt());
        const auto count = static_cast<unsigned>(std::min<std::size_t>(there.size(), most));
        for (unsigned i = 0; i < count; ++i) {
            ++was_read;
            RL_ASSERT(place_of(there.data() + i)($) == was_read);
        }
        if (count != 0) {
            reader.consume(count);
        }
        return count;
    }
    rl::var<int>& place_of(const std::byte* at) {
        RL_ASSERT(at >= memory && at < memory + 2 * Capacity);
        return places[static_cast<std::size_t>(at - memory) % Capacity];
    }

    std::byte memory[2 * Capacity];  // of which only the addresses are used
    rl::var<int> places[Capacity];
    zcpool::basic_byte_positions<zcpool_model::atomic> shared;
    producer writer;
    consumer reader;
    int written = 0;   // the writer's
    int was_read = 0;  // the reader's
};

}  // namespace zcpool_model
