// SPDX-License-Identifier: MIT
#include <zcpool_top/table.hpp>

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

namespace top {
namespace {

// In the largest unit that leaves a whole part: eight characters at most, up to TiB.
std::string bytes_text(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    const bool is_whole = value == static_cast<double>(static_cast<std::uint64_t>(value));
    return is_whole ? fmt::format("{} {}", static_cast<std::uint64_t>(value), units[unit])
                    : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string rate_text(const std::optional<double>& rate) {
    return rate ? fmt::format("{:.0f}", *rate) : "-";
}

std::string age_text(const std::optional<double>& age) {
    if (!age) {
        return "-";
    }
    const auto seconds = static_cast<std::uint64_t>(*age);
    if (seconds < 60) {
        return fmt::format("{} s", seconds);
    }
    if (seconds < 3'600) {
        return fmt::format("{} min {} s", seconds / 60, seconds % 60);
    }
    if (seconds < 86'400) {
        return fmt::format("{} h {} min", seconds / 3'600, seconds / 60 % 60);
    }
    return fmt::format("{} d {} h", seconds / 86'400, seconds / 3'600 % 24);
}

std::string name_text(const std::string& name) { return name.empty() ? "?" : printable(name); }

std::string about(const pool_snapshot& pool) {
    std::string text = pool.is_shared ? "shared" : "not shared";
    for (const auto& [is_so, word] : {std::pair{pool.is_checked, "checked"},
                                      {pool.lends, "lends"},
                                      {pool.zeroes, "zeroes"},
                                      {pool.is_closed, "closed"}}) {
        text += is_so ? fmt::format(", {}", word) : "";
    }
    return text;
}

void add_leaks(std::string& text, const pool_snapshot& pool) {
    for (const process_row& each : pool.processes) {
        if (each.leaks) {
            fmt::format_to(std::back_inserter(text),
                           "LEAKED  {} slots, {}, of pid {} ({}), which is dead: a process of the "
                           "pool must reap (ipc::reaper::reap())\n",
                           each.held.all(), bytes_text(each.bytes), each.pid, name_text(each.name));
        }
    }
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out{text};
    std::ranges::replace_if(out, [](char each) { return each < ' ' || each > '~'; }, '?');
    return out;
}

std::string list_of(std::span<const pool_snapshot> pools, std::size_t denied) {
    std::string text =
        fmt::format("{:>10} {:>8} {:>7} {:>9} {:>9} {:>7}  {:<20} {}\n", "INODE", "DATA", "CLASSES",
                    "SLOTS", "IN USE", "LEAKED", "ABOUT", "PROCESSES");
    for (const pool_snapshot& pool : pools) {
        std::uint64_t slots = 0;
        std::uint64_t in_use = 0;
        for (const class_row& each : pool.classes) {
            slots += each.counted.slots;
            in_use += each.counted.in_use;
        }
        fmt::format_to(std::back_inserter(text), "{:>10} {:>8} {:>7} {:>9} {:>9} {:>7}  {:<20}",
                       pool.inode, bytes_text(pool.data_bytes), pool.classes.size(), slots, in_use,
                       pool.leaked_slots, about(pool));
        for (const pid_t pid : pool.pids) {
            const auto facts = look_up(pid);
            fmt::format_to(std::back_inserter(text), " {} ({})", pid,
                           name_text(facts ? facts->name : ""));
        }
        text += '\n';
    }
    if (pools.empty()) {
        text += "no pool found\n";
    }
    if (denied != 0) {
        fmt::format_to(std::back_inserter(text),
                       "{} {} could not be looked at: CAP_SYS_PTRACE is missing, which root has\n",
                       denied, denied == 1 ? "process" : "processes");
    }
    return text;
}

std::string table_of(const pool_snapshot& pool) {
    std::string text =
        fmt::format("pool {}  {}  data {}  control {}  lent outside {} of {}\n", pool.inode,
                    about(pool), bytes_text(pool.data_bytes), bytes_text(pool.control_bytes),
                    bytes_text(pool.lent_detached_bytes), bytes_text(pool.lent_budget_bytes));
    if (!pool.is_shared) {
        text +=
            "in use is an upper bound: what lies in thread caches counts, and what they hand "
            "out does not show in the rates\n";
    }
    fmt::format_to(std::back_inserter(text),
                   "\n{:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} "
                   "{:>11}\n",
                   "CLASS", "SLOTS", "IN USE", "HIGH", "ACQ/s", "REL/s", "EXHAUSTED", "WAITS",
                   "LENT", "RENEWED", "COPIED", "RESTING", "QUARANTINED");
    for (const class_row& each : pool.classes) {
        const zcpool::class_stats& counted = each.counted;
        fmt::format_to(
            std::back_inserter(text),
            "{:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} {:>11}\n",
            bytes_text(counted.slot_bytes), counted.slots, counted.in_use, counted.high_water,
            rate_text(each.acquired_a_second), rate_text(each.released_a_second), counted.exhausted,
            counted.waited, counted.lent, counted.renewed, bytes_text(counted.copied_bytes),
            each.seen.resting, each.seen.quarantined);
    }
    fmt::format_to(std::back_inserter(text), "\n{:>8} {:<15} {:<8} {:>8} {:>9} {:>8} {:>9}  {}\n",
                   "PID", "NAME", "STATE", "OWNED", "PUBLISHED", "CLEANING", "HELD", "AGE");
    for (const process_row& each : pool.processes) {
        fmt::format_to(std::back_inserter(text), "{:>8} {:<15} {:<8} {:>8} {:>9} {:>8} {:>9}  {}\n",
                       each.pid == 0 ? "-" : std::to_string(each.pid), name_text(each.name),
                       each.state, each.held.owned, each.held.published, each.held.cleaning,
                       bytes_text(each.bytes), age_text(each.age));
    }
    add_leaks(text, pool);
    return text;
}

}  // namespace top
