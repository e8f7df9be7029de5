// SPDX-License-Identifier: MIT
#include <zcpool_top/process_book.hpp>

#include <time.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include <zcpool/sys/process.hpp>
#include <zcpool/sys/setting.hpp>

namespace top {

std::optional<process_facts> look_up(pid_t pid) {
    const auto read = zcpool::sys::setting::read("/proc", fmt::format("/{}/stat", pid).c_str());
    if (!read) {
        return std::nullopt;
    }
    // "7 (name) S 1 ...": the name may hold anything, so it ends at the last parenthesis.
    const std::string_view line = read->text();
    const auto begin = line.find('(');
    const auto end = line.rfind(')');
    if (begin == std::string_view::npos || end == std::string_view::npos || end < begin ||
        end + 2 >= line.size()) {
        return std::nullopt;
    }
    return process_facts{std::string{line.substr(begin + 1, end - begin - 1)}, line[end + 2],
                         zcpool::sys::start_time_in(line)};
}

std::optional<uid_t> user_of(pid_t pid) {
    const auto read = zcpool::sys::setting::read("/proc", fmt::format("/{}/status", pid).c_str());
    const auto user = read ? read->number_of("Uid:") : std::nullopt;
    return user ? std::optional{static_cast<uid_t>(*user)} : std::nullopt;
}

double age_of(std::uint64_t start) {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const double began = static_cast<double>(start) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    const double age =
        static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9 - began;
    return age < 0 ? 0 : age;
}

process_facts process_book::find(pid_t pid, std::uint64_t start) {
    const auto found = look_up(pid);
    std::string& name = names_[{pid, start}];
    if (!found || found->start != start) {
        return {name, '?', start};
    }
    name = found->name;
    return *found;
}

}  // namespace top
