// SPDX-License-Identifier: MIT

// What undefined.sh must refuse: an atomic of 16 bytes calls libatomic.

#include <atomic>
#include <cstdint>

namespace {

struct wide {
    std::uint64_t low;
    std::uint64_t high;
};

std::atomic<wide> shared;

}  // namespace

std::uint64_t read_wide() { return shared.load(std::memory_order_relaxed).low; }
