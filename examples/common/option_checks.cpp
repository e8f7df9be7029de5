// SPDX-License-Identifier: MIT
#include <common/option_checks.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <common/number.hpp>

namespace examples {
namespace {

std::optional<std::size_t> parse_bytes(std::string_view text) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = saturating_number(text.substr(0, digits));
    const std::string_view unit = text.substr(digits);
    constexpr std::array<std::pair<std::string_view, unsigned>, 7> units{
        {{"", 0}, {"K", 10}, {"KiB", 10}, {"M", 20}, {"MiB", 20}, {"G", 30}, {"GiB", 30}}};
    const auto* const found =
        std::find_if(units.begin(), units.end(), [&](auto& u) { return u.first == unit; });
    if (!number || found == units.end() || *number > (SIZE_MAX >> found->second)) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(*number) << found->second;
}

// What the machine can give without swapping or killing; everything, where it does not say.
std::size_t available_memory() {
    std::ifstream meminfo{"/proc/meminfo"};
    for (std::string line; std::getline(meminfo, line);) {
        if (line.starts_with("MemAvailable:")) {
            const auto begin = line.find_first_of("0123456789");
            const auto end = line.find_first_not_of("0123456789", begin);
            const auto kilobytes =
                begin == std::string::npos
                    ? std::nullopt
                    : saturating_number(std::string_view{line}.substr(begin, end - begin));
            return kilobytes ? static_cast<std::size_t>(*kilobytes) << 10 : SIZE_MAX;
        }
    }
    return SIZE_MAX;
}

std::string check_size(const std::string& name, std::string& text, std::size_t low,
                       const std::string& low_text) {
    const auto bytes = parse_bytes(text);
    if (!bytes) {
        return fmt::format("{} {}: no number of bytes; write 268435456, 256M or 256MiB", name,
                           text);
    }
    if (*bytes < low) {
        return fmt::format("{} {}: {} bytes are below the limit of {}; write {} or more", name,
                           text, *bytes, low, low_text);
    }
    const std::size_t limit = available_memory() / 10 * 9;
    if (*bytes > limit) {
        return fmt::format(
            "{} {}: {} bytes are above the limit of {} (nine tenths of the memory that is "
            "available); write less, or free memory",
            name, text, *bytes, limit);
    }
    text = std::to_string(*bytes);
    return {};
}

}  // namespace

CLI::Validator whole_number(std::string name, std::uint64_t low, std::uint64_t high,
                            std::string remedy) {
    return CLI::Validator{[=](std::string& text) -> std::string {
                              const auto number = saturating_number(text);
                              if (number && *number >= low && *number <= high) {
                                  return {};
                              }
                              return fmt::format("{} {}: must be a whole number from {} to {}; {}",
                                                 name, text, low, high, remedy);
                          },
                          fmt::format("{}..{}", low, high)};
}

CLI::Validator size_in_memory(std::string name, std::size_t low, std::string low_text) {
    return CLI::Validator{[=](std::string& text) { return check_size(name, text, low, low_text); },
                          "BYTES"};
}

void add_timeout(CLI::App& app, const std::string& name, std::chrono::milliseconds& value,
                 const char* text, std::uint64_t least) {
    app.add_option_function<std::int64_t>(
           name, [&value](std::int64_t number) { value = std::chrono::milliseconds{number}; },
           fmt::format("{} [{} ms]", text, value.count()))
        ->check(whole_number(name, least, 3'600'000, "milliseconds"))
        ->type_name("MS");
}

std::size_t descriptors_beside(std::size_t spare) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > spare ? static_cast<std::size_t>(limit.rlim_cur) - spare : 0;
}

std::optional<int> parse(CLI::App& app, std::string_view program, int argc,
                         const char* const* argv) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        fmt::print("{}", app.help());
        return 0;
    } catch (const CLI::ParseError& error) {
        fmt::print(stderr, "{}: {} (see --help)\n", program, error.what());
        return 2;
    }
    return std::nullopt;
}

}  // namespace examples
