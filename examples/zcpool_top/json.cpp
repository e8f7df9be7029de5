// SPDX-License-Identifier: MIT
#include <zcpool_top/json.hpp>

#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace top {
namespace {

using zcpool::ipc::process_life;

// A process may call itself anything, so what is not plain ASCII is escaped byte by byte.
std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') {
            out += '\\';
        }
        if (each < ' ' || each > '~') {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(each));
        } else {
            out += each;
        }
    }
    return out + '"';
}

std::string number_or_null(const std::optional<double>& value) {
    return value ? fmt::format("{:.3f}", *value) : "null";
}

template <class Range, class Text>
std::string array_of(const Range& range, Text text) {
    std::string out = "[";
    for (const auto& each : range) {
        out += out.size() > 1 ? "," : "";
        out += text(each);
    }
    return out + ']';
}

std::string class_text(const class_row& row) {
    const zcpool::class_stats& counted = row.counted;
    return fmt::format(
        R"({{"slot_bytes":{},"slots":{},"in_use":{},"high_water":{},"acquired":{},"released":{},)"
        R"("acquired_per_second":{},"released_per_second":{},"exhausted":{},"waited":{},)"
        R"("spilled":{},"lent":{},"renewed":{},"renewals_failed":{},"copied_bytes":{},)"
        R"("free":{},"trimmed":{},"resting":{},"quarantined":{},"damaged":{},"leaked":{}}})",
        counted.slot_bytes, counted.slots, counted.in_use, counted.high_water, counted.acquired,
        counted.released, number_or_null(row.acquired_a_second),
        number_or_null(row.released_a_second), counted.exhausted, counted.waited, counted.spilled,
        counted.lent, counted.renewed, counted.quarantined, counted.copied_bytes, row.seen.free,
        row.seen.trimmed, row.seen.resting, row.seen.quarantined, row.seen.damaged, row.leaked);
}

std::string share_text(const zcpool::class_audit::share& share) {
    return fmt::format(R"({{"owned":{},"published":{},"cleaning":{}}})", share.owned,
                       share.published, share.cleaning);
}

std::string process_text(const process_row& row) {
    return fmt::format(
        R"({{"place":{},"pid":{},"name":{},"state":"{}","alive":{},"age_seconds":{},"owned":{},)"
        R"("published":{},"cleaning":{},"held_bytes":{},"leaked":{},"classes":{}}})",
        row.place ? std::to_string(*row.place) : "null",
        row.pid == 0 ? "null" : std::to_string(row.pid),
        row.name.empty() ? "null" : json_string(row.name), row.state,
        row.life == process_life::alive   ? "true"
        : row.life == process_life::ended ? "false"
                                          : "null",
        number_or_null(row.age), row.held.owned, row.held.published, row.held.cleaning, row.bytes,
        row.leaks, array_of(row.of_class, share_text));
}

std::string pool_text(const pool_snapshot& pool) {
    return fmt::format(
        R"({{"inode":{},"pids":{},"shared":{},"checked":{},"lends":{},"zeroes":{},"closed":{},)"
        R"("data_bytes":{},"control_bytes":{},"lent_detached_bytes":{},"lent_budget_bytes":{},)"
        R"("leaked_slots":{},"leaked_bytes":{},"interval_seconds":{},)"
        R"("classes":{},"processes":{}}})",
        pool.inode, array_of(pool.pids, [](pid_t pid) { return std::to_string(pid); }),
        pool.is_shared, pool.is_checked, pool.lends, pool.zeroes, pool.is_closed, pool.data_bytes,
        pool.control_bytes, pool.lent_detached_bytes, pool.lent_budget_bytes, pool.leaked_slots,
        pool.leaked_bytes, number_or_null(pool.interval), array_of(pool.classes, class_text),
        array_of(pool.processes, process_text));
}

}  // namespace

std::string json_of(std::span<const pool_snapshot> pools, std::size_t denied) {
    return fmt::format(R"({{"pools":{},"denied_processes":{}}})", array_of(pools, pool_text),
                       denied);
}

}  // namespace top
