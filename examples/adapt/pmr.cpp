// SPDX-License-Identifier: MIT
// Containers whose memory is a pool's: large ones directly, small objects through a resource
// between.
#include <cstdio>
#include <memory_resource>
#include <unordered_map>
#include <vector>

#include <zcpool/adapt/pmr.hpp>
#include <zcpool/zcpool.hpp>

int main() {
    using namespace zcpool::literals;
    auto pool =
        zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>::create({.slots = {16, 4}}).value();

    zcpool::adapt::pool_resource slots{pool};  // throws std::bad_alloc when the pool is exhausted
    std::pmr::vector<int> samples(10'000, &slots);

    std::pmr::unsynchronized_pool_resource nodes{&slots};
    std::pmr::unordered_map<int, int> index{&nodes};
    index[42] = samples.back();

    std::printf("%llu bytes of the pool are in use\n",
                static_cast<unsigned long long>(slots.stats().pool.bytes));
    return slots.stats().upstream.allocations == 0 ? 0 : 1;
}
