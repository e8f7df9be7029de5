// SPDX-License-Identifier: MIT

// Linearizability of what three threads do to a pool, a free store and a ring, 20 operations each.
// The sequential models, and why they are what the headers promise, stand in linearizability.hpp
// and in README.md.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

#include "history.hpp"
#include "linearizability.hpp"
#include "recorder.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::bitmap_store;
using zcpool::buffer;
using zcpool::index_ring;
using zcpool::no_index;

long overlapping(history all) {
    mark_overlaps(all);
    return std::count_if(all.begin(), all.end(), [](const auto& one) { return one.beside != 0; });
}

/// How much of what was recorded could go wrong at all.
struct coverage {
    long histories = 0;
    long operations = 0;
    long beside = 0;

    void add(const history& all) {
        ++histories;
        operations += static_cast<long>(all.size());
        beside += overlapping(all);
    }
    void print(const char* of) const {
        std::printf("%s: %ld histories, %ld operations, %ld of them beside another\n", of,
                    histories, operations, beside);
        // Operations that never met would show nothing.
        CHECK((!can_step || beside * 5 > operations));
    }
};

void print(history all) {
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
    for (const operation& one : all) {
        std::printf("  %lu..%lu what %d value %u\n", one.begin - all.front().begin,
                    one.end - all.front().begin, static_cast<int>(one.what), one.value);
    }
}

/// Records histories of a pool. `give_back` releases a buffer in the way that is tested.
void check_pool(std::uint32_t slots, const zcpool::pool_options& options, long histories,
                void (*give_back)(buffer, dice&)) {
    const auto pool = make_pool(options);
    std::vector<buffer> all(slots);
    REQUIRE(pool.acquire_many(1, all) == slots);
    const std::byte* first = all[0].data();
    for (const buffer& each : all) {
        first = std::min(first, each.data());
    }
    all.clear();
    const auto slot_of = [first](const buffer& held) {
        return static_cast<std::uint32_t>((held.data() - first) / 4096);
    };
    recorder threads{[&](recorder& self, unsigned number) {
        dice& random = self.random(number);
        std::array<buffer, 2> held;
        for (int n = 0; n < operations_each; ++n) {
            buffer& place = held[random.below(2)];
            self.operate(number, [&](operation& done) {
                if (place) {
                    done.what = act::release;
                    done.value = slot_of(place);
                    give_back(std::move(place), random);
                } else {
                    place = pool.try_acquire(1);
                    done.what = place ? act::acquire : act::was_full;
                    done.value = place ? slot_of(place) : 0;
                }
            });
        }
        for (buffer& each : held) {
            if (each) {
                self.operate(number, [&](operation& done) {
                    done.what = act::release;
                    done.value = slot_of(each);
                    give_back(std::move(each), random);
                });
            }
        }
    }};
    coverage seen;
    for (long n = 0; n < histories; ++n) {
        const history one = threads.run();
        const bool accepted = is_linearizable_pool(slots, one);
        if (!accepted) {
            print(one);
        }
        REQUIRE(accepted);
        seen.add(one);
    }
    seen.print("pool");
    CHECK(slots_in_use(pool) == 0);
}

TEST_CASE("pool: acquire and release are linearizable slot by slot", "[histories]") {
    for (const std::uint32_t slots : {1U, 2U, 3U, 5U}) {
        check_pool(slots, {.slots = {slots, 1}}, scaled(50),
                   [](buffer held, dice&) { held.reset(); });
    }
}

TEST_CASE("pool: acquire and release are linearizable with slots that rest", "[histories]") {
    for (const std::uint32_t slots : {1U, 2U, 3U}) {
        check_pool(slots, lending_options(slots, 1), scaled(20), [](buffer held, dice& random) {
            held.commit(1);
            const zcpool::slice frozen = std::move(held).freeze();
            if (random.below(2) == 0) {
                static_cast<void>(frozen.lend());
            }
        });
    }
}

TEST_CASE("free_store: push and pop are linearizable as a set", "[histories]") {
    coverage seen;
    for (const std::uint32_t capacity : {3U, 64U, 200U}) {
        const std::uint32_t stride = capacity / 3;
        std::vector<bitmap_store::word> memory(bitmap_store::words_for(capacity));
        bitmap_store store{memory, capacity};
        recorder threads{[&](recorder& self, unsigned number) {
            dice& random = self.random(number);
            for (int n = 0; n < operations_each; ++n) {
                self.operate(number, [&](operation& done) {
                    if (random.below(2) == 0) {
                        done.what = act::push;
                        done.value = random.below(3) * stride + random.below(stride > 1 ? 2 : 1);
                        store.push(done.value);
                    } else {
                        const auto got = store.pop();
                        done.what = got == no_index ? act::pop_none : act::pop;
                        done.value = got == no_index ? 0 : got;
                    }
                });
            }
        }};
        for (long n = 0; n < scaled(70); ++n) {
            history one = threads.run();
            seen.add(one);
            // Taken out at the end, alone: nothing is lost, and the lowest comes first.
            do {
                record(one, [&](operation& done) {
                    const auto got = store.pop();
                    done.what = got == no_index ? act::pop_none : act::pop;
                    done.value = got == no_index ? 0 : got;
                });
            } while (one.back().what == act::pop);
            const bool accepted = is_linearizable(set_model{}, one);
            if (!accepted) {
                print(one);
            }
            REQUIRE(accepted);
        }
    }
    seen.print("free_store");
}

/// A ring with memory of its own, whose counters begin anywhere.
struct owned_ring {
    owned_ring(std::uint32_t capacity, std::uint64_t begin)
        : cells(index_ring::cells_for(capacity)), ring(counters, cells) {
        // A reader goes through the lap before, and leaves the cells ready.
        counters.head.store(begin - cells.size(), std::memory_order_relaxed);
        counters.tail.store(begin, std::memory_order_relaxed);
        REQUIRE(ring.pop() == no_index);
    }
    [[nodiscard]] std::vector<std::uint32_t> left_in_cells() const {
        std::vector<std::uint32_t> left;
        for (const auto& cell : cells) {
            const auto content = static_cast<std::uint32_t>(cell.load(std::memory_order_relaxed));
            if (content != 0) {
                left.push_back(content - 1);
            }
        }
        return left;
    }
    index_ring::counters counters;
    std::vector<index_ring::cell> cells;
    index_ring ring;
};

/// What one thread does to a ring: values of its own, each pushed once.
void use_ring(index_ring& ring, recorder& self, unsigned number) {
    dice& random = self.random(number);
    for (std::uint32_t n = 0; n < operations_each; ++n) {
        self.operate(number, [&](operation& done) {
            if (random.below(2) == 0) {
                done.value = number * 1'000 + n;
                done.what = ring.push(done.value) ? act::push : act::refused;
            } else {
                const auto got = ring.pop();
                done.what = got == no_index ? act::pop_none : act::pop;
                done.value = got == no_index ? 0 : got;
            }
        });
    }
}

/// Empties a ring, alone.
void drain(index_ring& ring, history& into) {
    do {
        record(into, [&](operation& done) {
            const auto got = ring.pop();
            done.what = got == no_index ? act::pop_none : act::pop;
            done.value = got == no_index ? 0 : got;
        });
    } while (into.back().what == act::pop);
}

TEST_CASE("index_ring: without a lap it is a queue that may pass late writers by", "[histories]") {
    coverage seen;
    long passed_by = 0;
    std::unique_ptr<owned_ring> owned;
    dice begins{7};
    recorder threads{[&](recorder& self, unsigned number) { use_ring(owned->ring, self, number); }};
    for (long n = 0; n < scaled(200); ++n) {
        // 60 pushes at most and 64 cells: no cell is used twice. Some begin near the counters' end.
        owned = std::make_unique<owned_ring>(
            64U, n % 4 == 0 ? ~std::uint64_t{0} - begins.below(40) : begins());
        history one = threads.run();
        seen.add(one);
        drain(owned->ring, one);
        const auto late = owned->left_in_cells();
        for (operation& each : one) {
            if (each.what == act::push &&
                std::find(late.begin(), late.end(), each.value) != late.end()) {
                each.what = act::push_lost;
                ++passed_by;
            }
        }
        const bool accepted = is_linearizable(queue_model{64}, one);
        if (!accepted) {
            print(one);
        }
        REQUIRE(accepted);
    }
    seen.print("index_ring");
    std::printf("index_ring: %ld hints passed by\n", passed_by);
}

TEST_CASE("index_ring: over many laps it makes nothing up and gives nothing twice", "[histories]") {
    long dropped = 0;
    long pushed = 0;
    for (const std::uint32_t capacity : {1U, 2U, 4U, 16U}) {
        owned_ring owned{capacity, 0};
        recorder threads{
            [&](recorder& self, unsigned number) { use_ring(owned.ring, self, number); }};
        for (long n = 0; n < scaled(25); ++n) {
            history one = threads.run();
            // Laps find what late writers left, so that nothing remains for the next history.
            drain(owned.ring, one);
            auto left = owned.left_in_cells();
            for (auto& cell : owned.cells) {
                cell.store(0, std::memory_order_relaxed);
            }
            std::vector<std::uint32_t> in;
            std::vector<std::uint32_t> out = left;
            for (const operation& each : one) {
                if (each.what == act::push) {
                    in.push_back(each.value);
                } else if (each.what == act::pop) {
                    out.push_back(each.value);
                }
            }
            std::sort(in.begin(), in.end());
            std::sort(out.begin(), out.end());
            // Never twice, and never one that was not pushed, or was refused.
            REQUIRE(std::adjacent_find(out.begin(), out.end()) == out.end());
            REQUIRE(std::includes(in.begin(), in.end(), out.begin(), out.end()));
            // Nor before it was pushed.
            for (const operation& taken : one) {
                if (taken.what == act::pop) {
                    REQUIRE(std::any_of(one.begin(), one.end(), [&](const operation& put) {
                        return put.what == act::push && put.value == taken.value &&
                               put.begin <= taken.end;
                    }));
                }
            }
            pushed += static_cast<long>(in.size());
            dropped += static_cast<long>(in.size() - out.size());
        }
    }
    std::printf("index_ring over laps: %ld pushed, %ld dropped for want of room\n", pushed,
                dropped);
}

}  // namespace
