// SPDX-License-Identifier: MIT
// Prints what zcpool::preflight() finds: a table, or JSON. Exit code 1 when a requirement is not
// met, 2 for a command line that cannot be.
#include <zcpool/sys/preflight.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <common/option_checks.hpp>

namespace {

using namespace zcpool;

struct command_line {
    preflight_options options{.on_warning = nullptr};  // the table says it
    std::vector<std::string> required;
    bool json = false;
};

std::string check_feature(std::string& name) {
    if (feature_of(name)) {
        return {};
    }
    std::string all;
    for (std::size_t i = 0; i < feature_count; ++i) {
        all += fmt::format("{}{}", i == 0 ? "" : ", ", name_of(static_cast<feature>(i)));
    }
    return fmt::format("--require {}: no such feature; there are {}", name, all);
}

void describe_options(CLI::App& app, command_line& line) {
    const CLI::AsSizeValue bytes{false};  // 64KiB and 64kb are both 65536
    app.add_option("--lock", line.options.lock_bytes, "memory of pools that is to be locked")
        ->transform(bytes);
    app.add_option("--register", line.options.registered_bytes,
                   "buffers to be registered with an io_uring")
        ->transform(bytes);
    app.add_option("--in-flight", line.options.in_flight_bytes,
                   "sent by reference and not confirmed, at most at a time")
        ->transform(bytes);
    app.add_option("--reserved-huge", line.options.reserved_huge_bytes,
                   "reserved huge pages for arenas")
        ->transform(bytes);
    app.add_option("--require", line.required, "a feature without which this fails; repeatable")
        ->check(CLI::Validator{check_feature, "FEATURE"});
    app.add_flag("--json", line.json, "an array of objects instead of the table");
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') {
            out += '\\';
        }
        out += static_cast<unsigned char>(each) < ' ' ? ' ' : each;
    }
    return out + '"';
}

void print_json(const preflight_report& report) {
    const char* before = "[\n";
    for (const finding& each : report.findings) {
        fmt::print(
            "{}  {{\"feature\": {}, \"status\": {}, \"found\": {}, \"without\": {}, "
            "\"remedy\": {}}}",
            before, quoted(name_of(each.what)), quoted(name_of(each.status)),
            quoted(each.found.view()), quoted(each.without), quoted(each.remedy.view()));
        before = ",\n";
    }
    fmt::print("\n]\n");
}

void print_table(const preflight_report& report) {
    for (const finding& each : report.findings) {
        fmt::print("{:<21} {:<10} {}\n", name_of(each.what), name_of(each.status),
                   each.found.view());
        if (each.status != finding_status::ok) {
            fmt::print("{:<33}without: {}\n", "", each.without);
        }
        if (!each.remedy.empty()) {
            fmt::print("{:<33}remedy: {}\n", "", each.remedy.view());
        }
    }
}

}  // namespace

int main(int argc, char* argv[]) {
    command_line line;
    CLI::App app{"What zcpool can use of this system, what it does without, and what mends it."};
    describe_options(app, line);
    if (const auto over = examples::parse(app, "preflight", argc, argv)) {
        return *over;
    }
    for (const std::string& name : line.required) {
        line.options[*feature_of(name)] = preflight_mode::require;
    }
    const auto found = preflight(line.options);
    const preflight_report& report = found ? *found : found.error().report;
    if (line.json) {
        print_json(report);
    } else {
        print_table(report);
    }
    if (!found) {
        fmt::print(stderr, "preflight: {}\n", found.error().text().view());
        return 1;
    }
    return 0;
}
