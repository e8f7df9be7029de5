// SPDX-License-Identifier: MIT
#include <shm_pipeline/report.hpp>

#include <cstdio>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include <shm_pipeline/control.hpp>

namespace shm_pipeline {
namespace {

void line(std::string_view name, std::uint64_t number) {
    fmt::print("{:<34}{:>12}\n", name, number);
}

std::uint64_t sum(const std::array<std::uint64_t, 3>& of) {
    return std::accumulate(of.begin(), of.end(), std::uint64_t{0});
}

}  // namespace

void print_report(const options& values, const board_page& board, const run_outcome& outcome) {
    line("bytes of a frame", values.broker.size.bytes());
    line("viewers", values.broker.viewers);
    line("frames captured", board.captured.get());
    line("frames packaged", board.packaged.get());
    line("frames delivered", board.delivered.get());
    line("frames with wrong bytes", board.wrong.get());
    line("frames out of order", board.disorder.get());
    line("dropped, packager too slow", board.unsent.get());
    line("dropped, viewer too slow", board.unseen.get());
    line("without a slot", board.starved.get());
    line("missing between frames seen", board.gaps.get());
    line("heads or frames alone", board.unpaired.get());
    line("messages lost with their sender", board.lost.get());
    line("latency p50, us", board.latency.quantile(500) / 1000);
    line("latency p99, us", board.latency.quantile(990) / 1000);
    const double seconds = outcome.took.count();
    const double bytes = static_cast<double>(board.delivered.get()) *
                         static_cast<double>(values.broker.size.bytes());
    line("MB/s delivered", static_cast<std::uint64_t>(seconds > 0 ? bytes / seconds / 1e6 : 0));
    if (values.broker.kills != 0) {
        line("seed", values.broker.seed);
        line("kills", sum(outcome.kills));
        for (std::size_t i = 0; i < role_names.size(); ++i) {
            line(fmt::format("kills of {}", role_names[i]), outcome.kills[i]);
        }
    }
    line("processes started", sum(outcome.starts));
    line("slots taken back from the dead", outcome.taken_back);
    line("slots lost", outcome.slots.lost);
    line("processes still registered", outcome.slots.processes);
    std::fflush(stdout);
}

std::string verdict(const options& values, const board_page& board, const run_outcome& outcome) {
    if (!outcome.failure.empty()) {
        return outcome.failure;
    }
    if (board.wrong.get() != 0 || board.disorder.get() != 0) {
        return "frames arrived with wrong bytes, or out of order";
    }
    if (outcome.slots.lost != 0 || outcome.slots.processes != 1) {
        return "slots are lost, or processes are registered that have gone";
    }
    if (sum(outcome.kills) < values.broker.kills) {
        return fmt::format("it ended after {} of {} kills; choose a source that goes on",
                           sum(outcome.kills), values.broker.kills);
    }
    if (values.what == program::run && board.delivered.get() == 0 && !outcome.was_signalled) {
        return "no frame arrived; choose a source that has frames, or a longer --duration-ms";
    }
    return {};
}

}  // namespace shm_pipeline
