// SPDX-License-Identifier: MIT
// Source: the text exposition format of Prometheus, version 0.0.4.

#include <sys/resource.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <segment_server/observe/alloc_counter.hpp>
#include <segment_server/observe/pages.hpp>

namespace segment_server {
namespace {

constexpr std::string_view prefix = "segment_server_";

// One metric after the other, each introduced once.
class exposition {
public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        fmt::format_to(std::back_inserter(text_), "# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n", prefix,
                       name, help, type);
    }
    template <class Number>
    void sample(std::string_view labels, Number value) {
        fmt::format_to(std::back_inserter(text_), "{}{}{} {}\n", prefix, name_, labels, value);
    }
    template <class Number>
    void single(std::string_view name, std::string_view type, std::string_view help, Number value) {
        family(name, type, help);
        sample("", value);
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    std::string text_;
    std::string_view name_;
};

std::string_view name_of(zcpool::lending how) {
    switch (how) {
        case zcpool::lending::never: return "never";
        case zcpool::lending::cached: return "slot";
        case zcpool::lending::arena: return "arena";
    }
    return "";
}

template <class Read>
std::uint64_t sum(const server_report& report, Read&& read) {
    std::uint64_t total = 0;
    for (const worker_counters& each : *report.workers) {
        total += read(each);
    }
    return total;
}

struct summed_row {
    std::string_view name;
    std::string_view help;
    counter worker_counters::* counted;
};

constexpr summed_row connection_rows[] = {
    {"connections_accepted_total", "Connections accepted.", &worker_counters::connections_accepted},
    {"connections_closed_total", "Connections closed again.", &worker_counters::connections_closed},
    {"connections_refused_total", "Connections above the limit.",
     &worker_counters::connections_refused},
    {"accept_failures_total", "Times that accepting had to rest.",
     &worker_counters::accept_failures},
    {"header_timeouts_total", "Requests that took too long to arrive.",
     &worker_counters::header_timeouts},
    {"idle_timeouts_total", "Connections closed for silence.", &worker_counters::idle_timeouts},
    {"send_timeouts_total", "Connections reset for not reading.", &worker_counters::send_timeouts},
    {"aborted_total", "Connections that broke with output queued.", &worker_counters::aborted},
    {"cache_hits_total", "Requests for files that were in the pool.", &worker_counters::cache_hits},
    {"cache_misses_total", "Requests for files that had to be read.",
     &worker_counters::cache_misses},
    {"receive_calls_total", "System calls or requests for what clients send.",
     &worker_counters::receive_calls},
    {"receive_slots_lacked_total", "Times that there was no slot for what a client sends.",
     &worker_counters::receive_slots_lacked},
    {"queued_bytes_total", "Bytes of responses, heads included.", &worker_counters::queued_bytes},
    {"sent_bytes_total", "Bytes that sockets took.", &worker_counters::sent_bytes},
    {"sink_copied_bytes_total", "Bytes sent by calls that copy.",
     &worker_counters::sink_copied_bytes},
    {"sink_lent_bytes_total", "Bytes sent by reference.", &worker_counters::sink_lent_bytes},
};

void write_server(exposition& out, const server_report& report) {
    out.family("info", "gauge", "How this server was started.");
    out.sample(fmt::format("{{mode=\"{}\",sink=\"{}\",loop=\"{}\",threads=\"{}\"}}", report.mode,
                           report.sink, report.loop, report.workers->size()),
               1);
    if (report.pool) {
        out.family("pool_lending", "gauge", "How slots that are sent by reference are renewed.");
        out.sample(fmt::format("{{how=\"{}\"}}", name_of(report.pool->report().lending)), 1);
    }
    if (report.pool && report.pool->report().lending == zcpool::lending::arena) {
        out.single("pool_huge_bytes", "gauge", "Bytes of the pool that lie in huge pages.",
                   report.pool->huge_bytes().value_or(0));
    }
    if (!report.substitutions.empty()) {
        out.family("substitutions", "gauge", "Options that could not be had, and what serves.");
        for (const auto& each : report.substitutions) {
            out.sample(fmt::format("{{option=\"{}\",asked=\"{}\",used=\"{}\",reason=\"{}\"}}",
                                   each.option, each.asked, each.used, each.reason),
                       1);
        }
    }
    if (report.inputs) {
        const auto stats = report.inputs->stats();
        out.single("receive_slots", "gauge", "Slots for what clients send.", stats.begin()->slots);
        out.single("receive_slots_in_use", "gauge", "Those that are filled, or with the kernel.",
                   stats.begin()->in_use);
    }
    out.single("connections", "gauge", "Connections that are open.", report.quota->open());
    out.single("connections_limit", "gauge", "How many there may be.", report.quota->limit());
    out.family("responses_total", "counter", "Responses by status.");
    for (const auto& row : status_table) {
        out.sample(fmt::format("{{code=\"{}\"}}", row.code), sum(report, [&](const auto& each) {
                       return each.responses[index_of(row.value)].value();
                   }));
    }
    for (const auto& row : connection_rows) {
        out.single(row.name, "counter", row.help,
                   sum(report, [&](const auto& each) { return (each.*row.counted).value(); }));
    }
}

void write_process(exposition& out) {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    out.single("cpu_seconds_total", "counter", "Processor time of the process.",
               seconds(usage.ru_utime) + seconds(usage.ru_stime));
    out.single("minor_faults_total", "counter", "Page faults without I/O.", usage.ru_minflt);
    out.single("major_faults_total", "counter", "Page faults with I/O.", usage.ru_majflt);
    out.single("allocations_total", "counter", "Heap allocations of the process.",
               allocations_so_far());
}

void write_pool(exposition& out, const zcpool::pool_stats& stats) {
    struct row {
        std::string_view name;
        std::string_view type;
        std::string_view help;
        std::uint64_t zcpool::class_stats::* value;
    };
    constexpr row rows[] = {
        {"pool_slots_in_use", "gauge", "Slots held by a buffer or slice.",
         &zcpool::class_stats::in_use},
        {"pool_high_water", "gauge", "Most slots in use at a time.",
         &zcpool::class_stats::high_water},
        {"pool_acquired_total", "counter", "Slots handed out.", &zcpool::class_stats::acquired},
        {"pool_released_total", "counter", "Slots that came back.", &zcpool::class_stats::released},
        {"pool_exhausted_total", "counter", "Acquires without a slot.",
         &zcpool::class_stats::exhausted},
        {"pool_spilled_total", "counter", "Acquires for a smaller class.",
         &zcpool::class_stats::spilled},
        {"pool_lent_total", "counter", "Slots sent by reference.", &zcpool::class_stats::lent},
        {"pool_renewed_total", "counter", "Slots whose pages were replaced.",
         &zcpool::class_stats::renewed},
        {"pool_quarantined_total", "counter", "Failures to do so.",
         &zcpool::class_stats::quarantined},
        {"pool_copied_bytes_total", "counter", "Bytes copied for want of lending.",
         &zcpool::class_stats::copied_bytes},
    };
    const auto label = [](const zcpool::class_stats& each) {
        return fmt::format("{{class=\"{}\"}}", each.slot_bytes);
    };
    out.family("pool_slots", "gauge", "Slots that there are.");
    for (const auto& each : stats) {
        out.sample(label(each), each.slots);
    }
    for (const auto& row : rows) {
        out.family(row.name, row.type, row.help);
        for (const auto& each : stats) {
            out.sample(label(each), each.*row.value);
        }
    }
    out.single("pool_lent_detached_bytes", "gauge", "Replaced pages that the kernel may hold.",
               stats.lent_detached_bytes);
    out.single("pool_lent_budget_bytes", "gauge", "What that may come to.",
               stats.lent_budget_bytes);
}

void write_cache(exposition& out, const cache_stats& stats) {
    out.single("cache_files", "gauge", "Files in the pool.", stats.files);
    out.single("cache_bytes", "gauge", "Bytes of files in the pool.", stats.bytes);
    out.single("cache_evictions_total", "counter", "Files given up for others.", stats.evictions);
}

}  // namespace

plain_answer make_metrics_page(const server_report& report) {
    exposition out;
    write_server(out, report);
    write_process(out);
    if (report.pool) {
        write_pool(out, report.pool->stats());
        out.single("pool_locked", "gauge", "Whether the pool is locked in RAM.",
                   report.pool->report().locking.locked ? 1 : 0);
    }
    if (report.cache != nullptr) {
        write_cache(out, report.cache->stats());
    }
    return make_page("text/plain; version=0.0.4; charset=utf-8", out.take());
}

}  // namespace segment_server
