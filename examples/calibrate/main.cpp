// SPDX-License-Identifier: MIT
// calibrate: from which size on, and after how many copies, each way of sending pays on this
// machine, as tables and as options to paste.
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <calibrate/advice.hpp>
#include <calibrate/connection.hpp>
#include <calibrate/measurement.hpp>
#include <common/option_checks.hpp>

namespace {

using namespace calibrate;

struct command_line {
    bool quick = false;
    double seconds = 0;
    std::string to;
    int discard_port = -1;
};

std::vector<std::size_t> sizes_for(bool quick) {
    std::vector<std::size_t> sizes;
    for (std::size_t bytes = std::size_t{4} << 10; bytes <= std::size_t{2} << 20;
         bytes *= quick ? 4 : 2) {
        sizes.push_back(bytes);
    }
    return sizes;
}

void print_head(double seconds) {
    utsname system{};
    ::uname(&system);
    fmt::print("{} {} {}, {} processors, {} s\n", system.sysname, system.release, system.machine,
               std::thread::hardware_concurrency(), seconds);
    fmt::print(
        "Processor time of the sender. Each way divided by a copying write of the same bytes:\n"
        "< cheaper, > dearer, = equal within a tenth, ~ undecided, - not measured. fresh "
        "sendfile:\n"
        "acquire, fill, send once and new pages, divided by acquire, fill and write. pays after: "
        "how\n"
        "often a slot has to be sent by sendfile before that has paid for its new pages.\n\n");
}

void measure(const command_line& line) {
    const double seconds = line.seconds > 0 ? line.seconds : line.quick ? 6 : 60;
    const auto sizes = sizes_for(line.quick);
    const std::size_t bytes_a_run = std::size_t{line.quick ? 1U : 4U} << 20;
    pin_to(0);
    print_head(seconds);
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                         std::chrono::duration<double>{seconds});
    std::vector<std::unique_ptr<measurement>> paths;
    for (const path each : {path::loopback, path::unix_socket, path::remote}) {
        if (each != path::remote || !line.to.empty()) {
            paths.push_back(std::make_unique<measurement>(each, line.to, sizes, bytes_a_run));
        }
    }
    // Pass by pass, so that a time of bad weather falls on all of them.
    while (std::chrono::steady_clock::now() < end) {
        for (const auto& each : paths) {
            each->run_pass(end);
        }
    }
    std::string options;
    for (const auto& each : paths) {
        const path_costs costs = each->costs();
        fmt::print("{}\n", table_of(costs));
        options += options_of(costs);
    }
    fmt::print(
        "To paste:\n\n"
        "#include <zcpool/zcpool.hpp>\n\n"
        "{}",
        options);
}

}  // namespace

int main(int argc, char* argv[]) {
    command_line line;
    CLI::App app{
        "Measures which way of sending pays on this machine, and prints the options of "
        "zcpool's sinks that say so."};
    app.add_flag("--quick", line.quick, "few sizes, for 6 seconds");
    app.add_option("--seconds", line.seconds, "how long to measure [60]")
        ->check(CLI::Range(0.1, 86'400.0));
    app.add_option("--to", line.to, "HOST:PORT of a `calibrate --discard` on another machine");
    app.add_option("--discard", line.discard_port,
                   "instead of measuring, drop what comes to this port, for ever; 0: a free one")
        ->check(CLI::Range(0, 65'535));
    if (const auto over = examples::parse(app, "calibrate", argc, argv)) {
        return *over;
    }
    ::signal(SIGPIPE, SIG_IGN);
    try {
        if (line.discard_port >= 0) {
            discard(static_cast<std::uint16_t>(line.discard_port));
        }
        measure(line);
    } catch (const std::exception& error) {
        fmt::print(stderr, "calibrate: {}\n", error.what());
        return 1;
    }
    return 0;
}
