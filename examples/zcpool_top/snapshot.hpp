// SPDX-License-Identifier: MIT
#pragma once

// What one look at a pool found, ready to be shown: plain values.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/observer.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/pool/slab_recovery.hpp>
#include <zcpool/pool/stats.hpp>

#include <zcpool_top/process_book.hpp>

namespace top {

/// A size class.
struct class_row {
    zcpool::class_stats counted;
    zcpool::class_audit seen;
    std::uint32_t leaked = 0;  ///< slots that the dead hold; for each of them
    std::optional<double> acquired_a_second;
    std::optional<double> released_a_second;
};

/// A process that has a place in the pool, or that made it and never shared it.
struct process_row {
    std::optional<std::uint32_t> place;
    pid_t pid = 0;      ///< 0: words name a place that nobody has
    std::string name;   ///< empty: not known
    std::string state;  ///< see README.md
    zcpool::ipc::process_life life = zcpool::ipc::process_life::unknown;
    std::optional<double> age;  ///< seconds
    zcpool::class_audit::share held;
    std::vector<zcpool::class_audit::share> of_class;
    std::uint64_t bytes = 0;  ///< of the slots that it holds
    bool leaks = false;
};

/// A pool.
struct pool_snapshot {
    std::uint64_t inode = 0;
    std::vector<pid_t> pids;  ///< who was found to have it open
    bool is_shared = false;
    bool is_checked = false;
    bool lends = false;
    bool zeroes = false;
    bool is_closed = false;
    std::size_t data_bytes = 0;
    std::size_t control_bytes = 0;
    std::size_t lent_detached_bytes = 0;
    std::size_t lent_budget_bytes = 0;
    std::optional<double> interval;  ///< seconds since the look before
    std::vector<class_row> classes;
    std::vector<process_row> processes;  ///< who holds most bytes comes first
    std::uint64_t leaked_slots = 0;
    std::uint64_t leaked_bytes = 0;
    bool is_over = false;  ///< none of its processes lives
};

/// A pool that is looked at again and again.
class watched_pool {
public:
    watched_pool(zcpool::ipc::pool_observer observer, std::uint64_t inode, std::vector<pid_t> pids);

    [[nodiscard]] pool_snapshot look(process_book& book);

    [[nodiscard]] const zcpool::ipc::pool_observer& observer() const { return observer_; }

private:
    struct opener {
        pid_t pid = 0;
        std::uint64_t start = 0;
    };

    using places = std::array<zcpool::ipc::observed_process, zcpool::max_processes>;

    void add_classes(pool_snapshot& to, const zcpool::ipc::pool_audit& audit);
    void add_processes(pool_snapshot& to, const places& processes, process_book& book) const;
    static void add_leaks(pool_snapshot& to, const places& processes);
    [[nodiscard]] bool is_over(const pool_snapshot& now) const;

    zcpool::ipc::pool_observer observer_;
    std::uint64_t inode_;
    std::vector<opener> openers_;
    std::optional<zcpool::pool_stats> before_;
    std::chrono::steady_clock::time_point then_;
};

}  // namespace top
