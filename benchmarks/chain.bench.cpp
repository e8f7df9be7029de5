// SPDX-License-Identifier: MIT

// Slices, chains and the writer: what sharing costs beside copying the bytes, and beside the bare
// counter that sharing cannot do without. Rows are named "work | subject".

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zcpool/zcpool.hpp>

#include "support/cpu.hpp"
#include "support/program.hpp"

using namespace zcpool::literals;

namespace {

using chain_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;
using shared_bytes = std::shared_ptr<const std::vector<std::byte>>;

/// Registers a row. `step` is one item.
template <class Step>
void add(const std::string& work, const std::string& subject, Step step) {
    benchmark::RegisterBenchmark((work + " | " + subject).c_str(),
                                 [step](benchmark::State& state) mutable {
                                     bench::pin_to(0);
                                     for (auto _ : state) {
                                         step();
                                         benchmark::ClobberMemory();
                                     }
                                     state.SetItemsProcessed(state.iterations());
                                 });
}

zcpool::slice frozen(const chain_pool& pool, std::size_t bytes) {
    zcpool::buffer fresh = pool.acquire(bytes).value();
    std::memset(fresh.space().data(), 'z', bytes);
    fresh.commit(bytes);
    return std::move(fresh).freeze();
}

void register_copies(const zcpool::slice& whole, const shared_bytes& shared) {
    const std::string work = "slice copy, 64 KiB";
    add(work, "zcpool::slice", [=] {
        zcpool::slice copy = whole;
        benchmark::DoNotOptimize(copy);
    });
    const auto count = std::make_shared<std::atomic<std::uint32_t>>(1);
    add(work, "limit: an atomic count up and down", [=] {
        // relaxed, acq_rel: as any shared owner needs them.
        count->fetch_add(1, std::memory_order_relaxed);
        count->fetch_sub(1, std::memory_order_acq_rel);
    });
    add(work, "std::shared_ptr copy", [=] {
        shared_bytes copy = shared;
        benchmark::DoNotOptimize(copy);
    });
    add(work, "memcpy of the bytes", [=, into = std::vector<std::byte>(64_KiB)]() mutable {
        std::memcpy(into.data(), whole.data(), into.size());
        benchmark::DoNotOptimize(into.data());
    });
}

void register_freeze(const std::shared_ptr<chain_pool>& pool) {
    const std::string work = "acquire, freeze, release, 64 KiB";
    add(work, "zcpool::buffer to zcpool::slice", [=] {
        zcpool::buffer fresh = pool->try_acquire(64_KiB);
        fresh.commit(64_KiB);
        zcpool::slice view = std::move(fresh).freeze();
        benchmark::DoNotOptimize(view);
    });
    add(work, "limit: acquire and release alone", [=] {
        zcpool::buffer fresh = pool->try_acquire(64_KiB);
        benchmark::DoNotOptimize(fresh);
    });
    add(work, "std::make_shared_for_overwrite", [] {
        auto fresh = std::make_shared_for_overwrite<std::byte[]>(64_KiB);
        const std::shared_ptr<const std::byte[]> view = std::move(fresh);
        benchmark::DoNotOptimize(view.get());
    });
    add(work, "malloc/free", [] {
        void* memory = std::malloc(64_KiB);
        benchmark::DoNotOptimize(memory);
        std::free(memory);
    });
}

void register_chains(const zcpool::slice& page, const shared_bytes& shared) {
    constexpr std::size_t parts = 8;
    const std::string append = "chain of 8 shared slices of 4 KiB, built and dropped";
    add(append, "zcpool::chain", [=] {
        zcpool::chain all;
        for (std::size_t i = 0; i < parts; ++i) {
            benchmark::DoNotOptimize(all.append(page));
        }
        benchmark::DoNotOptimize(all);
    });
    add(append, "std::vector of std::shared_ptr", [=] {
        std::vector<shared_bytes> all;
        all.reserve(parts);
        for (std::size_t i = 0; i < parts; ++i) {
            all.push_back(shared);
        }
        benchmark::DoNotOptimize(all.data());
    });
    add(append, "memcpy into one block", [=, into = std::vector<std::byte>(32_KiB)]() mutable {
        for (std::size_t i = 0; i < parts; ++i) {
            std::memcpy(into.data() + i * 4_KiB, page.data(), 4_KiB);
        }
        benchmark::DoNotOptimize(into.data());
    });

    const std::string cut = "subchain of 16 KiB from the middle of 32 KiB";
    const auto whole = std::make_shared<zcpool::chain>();
    for (std::size_t i = 0; i < parts; ++i) {
        static_cast<void>(whole->append(page));
    }
    add(cut, "zcpool::chain::subchain", [=] {
        auto part = whole->subchain(6_KiB, 16_KiB);
        benchmark::DoNotOptimize(part);
    });
    add(cut, "memcpy into a block",
        [=, from = std::vector<std::byte>(32_KiB),
         into = std::vector<std::byte>(16_KiB)]() mutable {
            std::memcpy(into.data(), from.data() + 6_KiB, into.size());
            benchmark::DoNotOptimize(into.data());
        });
}

void register_writer(const std::shared_ptr<chain_pool>& pool) {
    const std::string work = "64 KiB written in pieces of 1 KiB";
    constexpr std::size_t pieces = 64;
    const auto piece = std::make_shared<std::array<std::byte, 1_KiB>>();
    add(work, "zcpool::writer", [=] {
        zcpool::writer out{*pool};
        for (std::size_t i = 0; i < pieces; ++i) {
            benchmark::DoNotOptimize(out.write(*piece));
        }
        zcpool::chain all = out.finish();
        benchmark::DoNotOptimize(all);
    });
    add(work, "limit: memcpy into a block that is there",
        [=, into = std::vector<std::byte>(64_KiB)]() mutable {
            for (std::size_t i = 0; i < pieces; ++i) {
                std::memcpy(into.data() + i * 1_KiB, piece->data(), 1_KiB);
            }
            benchmark::DoNotOptimize(into.data());
        });
    add(work, "std::vector that grows", [=] {
        std::vector<std::byte> into;
        for (std::size_t i = 0; i < pieces; ++i) {
            into.insert(into.end(), piece->begin(), piece->end());
        }
        benchmark::DoNotOptimize(into.data());
    });
}

}  // namespace

void bench::register_benchmarks() {
    const auto pool = std::make_shared<chain_pool>(chain_pool::create({.slots = {64, 64}}).value());
    const auto shared = std::make_shared<const std::vector<std::byte>>(64_KiB);
    register_copies(frozen(*pool, 64_KiB), shared);
    register_freeze(pool);
    register_chains(frozen(*pool, 4_KiB), shared);
    register_writer(pool);
}
