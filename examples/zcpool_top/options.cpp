// SPDX-License-Identifier: MIT
#include <zcpool_top/options.hpp>

#include <charconv>
#include <cmath>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <common/option_checks.hpp>

namespace top {
namespace {

// Linux has no larger ones.
constexpr std::uint64_t largest_pid = std::uint64_t{1} << 22;

constexpr double shortest_interval = 0.1;
constexpr double longest_interval = 3'600;

std::optional<double> seconds_in(const std::string& text) {
    double value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_whole = read.ec == std::errc{} && read.ptr == text.data() + text.size();
    return is_whole && std::isfinite(value) ? std::optional{value} : std::nullopt;
}

std::string check_interval(std::string& text) {
    const auto seconds = seconds_in(text);
    if (seconds && *seconds >= shortest_interval && *seconds <= longest_interval) {
        return {};
    }
    return fmt::format("--interval {}: must be from {} to {} seconds; write 1 or 0.5", text,
                       shortest_interval, longest_interval);
}

}  // namespace

parsed_options parse_options(int argc, const char* const* argv) {
    parsed_options parsed;
    options& values = parsed.values;
    bool once = false;
    CLI::App app{
        "Shows pools of running processes, and changes nothing. Without a PID it lists them once."};
    // Not into a pid_t: a number that does not fit is told like every other.
    std::uint64_t pid = 0;
    app.add_option("pid,--pid", pid, "the process whose pools are shown")
        ->check(examples::whole_number(
            "PID", 1, largest_pid, "zcpool_top without one lists the processes that have pools"))
        ->type_name("PID");
    app.add_option_function<std::string>(
           "--interval",
           [&](const std::string& text) {
               const auto seconds = std::chrono::duration<double>{seconds_in(text).value_or(1)};
               values.interval = std::chrono::round<std::chrono::milliseconds>(seconds);
           },
           "between two looks [1 s]")
        ->check(CLI::Validator{check_interval, "0.1..3600"})
        ->type_name("SECONDS");
    std::uint64_t count = 0;
    CLI::Option* const counted =
        app.add_option("--count", count, "looks, and then the end")
            ->check(examples::whole_number("--count", 1, 1'000'000'000,
                                           "leave it out to go on until the end"))
            ->type_name("N");
    app.add_flag("--once", once, "as --count 1")->excludes(counted);
    app.add_flag("--json", values.json, "an object a line for each look, instead of tables");
    if (const auto over = examples::parse(app, "zcpool_top", argc, argv)) {
        parsed.exit_code = *over;
        return parsed;
    }
    if (app.count("--pid") > 0) {
        values.pid = static_cast<pid_t>(pid);
    }
    if (counted->count() > 0) {
        values.count = count;
    } else if (once || !values.pid) {
        values.count = 1;
    }
    parsed.run = true;
    return parsed;
}

}  // namespace top
