// SPDX-License-Identifier: MIT
#include <zcpool_top/snapshot.hpp>

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

namespace top {
namespace {

using zcpool::process_state;
using zcpool::ipc::observed_process;
using zcpool::ipc::process_life;

// What it is doing, from the registry and the system: the more telling of the two.
std::string state_of(const observed_process& process, const process_facts& facts) {
    if (process.life == process_life::ended) {
        return "dead";
    }
    switch (process.state) {
        case process_state::free: return "nobody";
        case process_state::joining: return "joining";
        case process_state::dying: return "leaving";
        case process_state::swept: return "gone";
        case process_state::live: break;
    }
    switch (process.life == process_life::alive ? facts.state : '?') {
        case 'R': return "running";
        case 'S':
        case 'I': return "sleeping";
        case 'D': return "waiting";
        case 'T':
        case 't': return "stopped";
        case 'Z': return "ending";  // its first thread has ended, others go on
        default: return "unknown";
    }
}

void add(zcpool::class_audit::share& to, const zcpool::class_audit::share& more) {
    to.owned += more.owned;
    to.published += more.published;
    to.cleaning += more.cleaning;
}

// What a place holds.
void add_shares(process_row& row, std::size_t place, std::span<const class_row> classes) {
    for (const class_row& each : classes) {
        const auto& share = each.seen.of_process[place];
        row.of_class.push_back(share);
        add(row.held, share);
        row.bytes += share.all() * std::uint64_t{each.counted.slot_bytes};
    }
}

}  // namespace

watched_pool::watched_pool(zcpool::ipc::pool_observer observer, std::uint64_t inode,
                           std::vector<pid_t> pids)
    : observer_(std::move(observer)), inode_(inode) {
    for (const pid_t pid : pids) {
        if (const auto facts = look_up(pid)) {
            openers_.push_back({pid, facts->start});
        }
    }
}

pool_snapshot watched_pool::look(process_book& book) {
    pool_snapshot now;
    now.inode = inode_;
    for (const opener& each : openers_) {
        now.pids.push_back(each.pid);
    }
    now.is_shared = observer_.is_shared();
    now.is_checked = observer_.is_checked();
    now.lends = observer_.lends();
    now.zeroes = observer_.zeroes();
    now.is_closed = observer_.is_closed();
    now.data_bytes = observer_.layout().data_bytes;
    now.control_bytes = observer_.layout().control_bytes;
    // In this order: who is dead now holds what the words say afterwards, or less.
    places processes = observer_.processes();
    const zcpool::ipc::pool_audit audit = observer_.audit();
    for (std::size_t place = 0; place < processes.size(); ++place) {
        observed_process& each = processes[place];
        const auto& later = audit.processes[place];
        if (later.state != each.state || later.who.pid != each.who.pid ||
            later.who.start_time != each.who.start_time) {
            each = {later.state, later.who, process_life::unknown};  // it is another's by now
        }
    }
    add_classes(now, audit);
    add_processes(now, processes, book);
    add_leaks(now, processes);
    now.is_over = is_over(now);
    return now;
}

void watched_pool::add_classes(pool_snapshot& to, const zcpool::ipc::pool_audit& audit) {
    const auto at = std::chrono::steady_clock::now();
    const zcpool::pool_stats stats = observer_.stats();
    to.lent_detached_bytes = stats.lent_detached_bytes;
    to.lent_budget_bytes = stats.lent_budget_bytes;
    if (before_) {
        to.interval = std::chrono::duration<double>(at - then_).count();
    }
    for (std::size_t i = 0; i < stats.size(); ++i) {
        class_row row{stats[i], audit.classes[i], 0, {}, {}};
        if (to.interval && *to.interval > 0) {
            const auto rate = [&](std::uint64_t later, std::uint64_t earlier) {
                // What wrapped, or was written by somebody else, is no rate.
                return later < earlier ? 0 : static_cast<double>(later - earlier) / *to.interval;
            };
            row.acquired_a_second = rate(stats[i].acquired, (*before_)[i].acquired);
            row.released_a_second = rate(stats[i].released, (*before_)[i].released);
        }
        to.classes.push_back(std::move(row));
    }
    before_ = stats;
    then_ = at;
}

void watched_pool::add_processes(pool_snapshot& to, const places& processes,
                                 process_book& book) const {
    for (std::uint32_t place = 0; place < processes.size(); ++place) {
        const observed_process& process = processes[place];
        process_row row;
        add_shares(row, place, to.classes);
        if (process.state == process_state::free && row.held.all() == 0) {
            continue;
        }
        observed_process seen = process;
        if (to.is_shared) {
            row.place = place;
        } else if (place == 0 && !openers_.empty()) {
            // It was never shared, so the bit is its maker's: who was there before the others.
            const auto maker = std::ranges::min_element(openers_, {}, &opener::start);
            seen = {process_state::live,
                    {static_cast<std::uint32_t>(maker->pid), maker->start},
                    process_life::alive};
        }
        row.pid = static_cast<pid_t>(seen.who.pid);
        row.life = seen.life;
        if (row.pid != 0) {
            const process_facts facts = book.find(row.pid, seen.who.start_time);
            row.name = facts.name;
            row.age = age_of(seen.who.start_time);
            row.state = state_of(seen, facts);
        } else {
            row.state = state_of(seen, {});
        }
        row.leaks = seen.leaks() && row.held.all() != 0;
        to.processes.push_back(std::move(row));
    }
    std::ranges::sort(to.processes, [](const process_row& a, const process_row& b) {
        return std::tuple{b.bytes, b.held.all(), a.pid} < std::tuple{a.bytes, a.held.all(), b.pid};
    });
}

void watched_pool::add_leaks(pool_snapshot& to, const places& processes) {
    for (class_row& each : to.classes) {
        for (std::uint32_t place = 0; place < processes.size(); ++place) {
            each.leaked += processes[place].leaks() ? each.seen.of_process[place].all() : 0;
        }
        to.leaked_slots += each.leaked;
        to.leaked_bytes += each.leaked * std::uint64_t{each.counted.slot_bytes};
    }
}

// A pool that has no process is kept by us alone.
bool watched_pool::is_over(const pool_snapshot& now) const {
    const bool has_opener = std::ranges::any_of(openers_, [](const opener& each) {
        const auto facts = look_up(each.pid);
        return facts && facts->start == each.start && facts->state != 'Z' && facts->state != 'X';
    });
    const bool has_process =
        now.is_shared && std::ranges::any_of(now.processes, [](const process_row& each) {
            return each.pid != 0 && each.life != process_life::ended && each.state != "gone" &&
                   each.state != "leaving";
        });
    return !has_opener && !has_process;
}

}  // namespace top
