// SPDX-License-Identifier: MIT

// DPDK's mempool with a cache for each thread, beside which core.bench.cpp measures the pool. It
// takes no huge pages and no devices; every thread that uses it becomes an lcore, as only those
// have caches.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "support/core_rows.hpp"
#include "support/cpu.hpp"
#include "support/dpdk.hpp"
#include "support/program.hpp"
#include "support/subjects.hpp"

namespace {

using namespace bench;

/// Whether DPDK's runtime works here; its threads and memory stay until the end.
[[nodiscard]] bool start_dpdk() {
    pin_to(0);  // also notes where this process may run, before DPDK changes it
    cpu_set_t before;
    CPU_ZERO(&before);
    ::sched_getaffinity(0, sizeof before, &before);
    std::vector<std::string> words{"core.bench",
                                   "--no-huge",
                                   "--no-pci",
                                   "--no-shconf",
                                   "--no-telemetry",
                                   "--iova-mode=va",
                                   "--log-level=1",
                                   "-m",
                                   "768",
                                   "--file-prefix=zcpool" + std::to_string(::getpid()),
                                   "--lcores=0@" + std::to_string(::sched_getcpu())};
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    const bool started = ::rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) >= 0;
    ::sched_setaffinity(0, sizeof before, &before);
    return started;
}

/// A handle of two words, since the mempool has to be named when an object goes back.
class object {
public:
    object() noexcept = default;
    explicit object(rte_mempool* from) noexcept : from_(from) {
        if (::rte_mempool_get(from, &memory_) != 0) {
            memory_ = nullptr;
        }
    }
    object(object&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), from_(other.from_) {}
    object& operator=(object&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(from_, other.from_);
        return *this;
    }
    ~object() {
        if (memory_ != nullptr) {
            ::rte_mempool_put(from_, memory_);
        }
    }
    [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(memory_); }

private:
    void* memory_ = nullptr;
    rte_mempool* from_ = nullptr;
};

/// One mempool a class; the caches hold what the bursts take, but no more than a quarter of all.
class mempools {
public:
    using handle = object;

    explicit mempools(const char* operations) {
        for (std::size_t of = 0; of < class_sizes.size(); ++of) {
            const std::string called = operations + std::to_string(of);
            const std::uint32_t cache = std::min(256U, slots_by_class[of] / 4);
            rte_mempool* const made = ::rte_mempool_create_empty(
                called.c_str(), slots_by_class[of], static_cast<unsigned>(class_sizes[of]), cache,
                0, SOCKET_ID_ANY, 0);
            if (made == nullptr || ::rte_mempool_set_ops_byname(made, operations, nullptr) != 0 ||
                ::rte_mempool_populate_default(made) < 0) {
                works_ = false;
                return;
            }
            pools_[of] = made;
        }
    }
    [[nodiscard]] bool works() const noexcept { return works_; }
    [[nodiscard]] handle acquire(std::size_t bytes) const noexcept {
        return handle{pools_[class_for(bytes)]};
    }
    /// Makes the calling thread an lcore for as long as it lives.
    static void prepare(std::size_t) {
        struct lcore {
            lcore() noexcept : is_registered(::rte_thread_register() == 0) {}
            ~lcore() {
                if (is_registered) {
                    ::rte_thread_unregister();
                }
            }
            bool is_registered;
        };
        if (::rte_lcore_id() == LCORE_ID_ANY) {
            static thread_local const lcore mine;
            static_cast<void>(mine);
        }
    }

private:
    std::array<rte_mempool*, class_sizes.size()> pools_{};
    bool works_ = true;
};

/// What the caches are filled from as it comes: a ring, first in first out.
struct mempools_on_rings : mempools {
    static constexpr const char* name = "DPDK rte_mempool";
    mempools_on_rings() : mempools("ring_mp_mc") {}
};
/// The same, last in first out, which large buffers profit from.
struct mempools_on_stacks : mempools {
    static constexpr const char* name = "DPDK rte_mempool on a stack";
    mempools_on_stacks() : mempools("lf_stack") {}
};

template <class Mempools>
void rows_of_mempools() {
    if (const auto pools = std::make_shared<Mempools>(); pools->works()) {
        all_rows(pools);
    } else {
        left_out(Mempools::name, ::rte_strerror(rte_errno));
    }
}

}  // namespace

void bench::register_dpdk() {
    if (!start_dpdk()) {
        left_out(mempools_on_rings::name,
                 (std::string{"rte_eal_init: "} + ::rte_strerror(rte_errno)).c_str());
        return;
    }
    rows_of_mempools<mempools_on_rings>();
    rows_of_mempools<mempools_on_stacks>();
}
