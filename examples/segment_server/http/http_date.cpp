// SPDX-License-Identifier: MIT
#include <segment_server/http/http_date.hpp>

#include <chrono>
#include <cstring>

#include <segment_server/http/text.hpp>

namespace segment_server {
namespace {

constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";

// A date in numbers. Not std::tm, whose functions read the time zone from files.
struct civil_time {
    int year = 0;
    int month = 0;  // from 0
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
};

std::chrono::year_month_day date_of(std::time_t when) noexcept {
    return std::chrono::floor<std::chrono::days>(
        std::chrono::sys_seconds{std::chrono::seconds{when}});
}

// Takes a date apart from the left. Every member returns false once the text differs from what is
// expected.
class date_reader {
public:
    explicit date_reader(std::string_view text) noexcept : rest_(text) {}

    bool literal(std::string_view expected) noexcept {
        if (!rest_.starts_with(expected)) {
            return false;
        }
        rest_.remove_prefix(expected.size());
        return true;
    }

    bool number(std::size_t digits, int& value) noexcept {
        const auto parsed = saturating_number(rest_.substr(0, digits));
        if (rest_.size() < digits || !parsed) {
            return false;
        }
        value = static_cast<int>(*parsed);
        rest_.remove_prefix(digits);
        return true;
    }

    bool month(int& value) noexcept {
        const auto position =
            rest_.size() < 3 ? std::string_view::npos : months.find(rest_.substr(0, 3));
        if (position == std::string_view::npos || position % 3 != 0) {
            return false;
        }
        value = static_cast<int>(position / 3);
        rest_.remove_prefix(3);
        return true;
    }

    bool time(civil_time& when) noexcept {
        return number(2, when.hour) && literal(":") && number(2, when.minute) && literal(":") &&
               number(2, when.second);
    }

    // Day names are compared, but whether the name fits the date is nobody's business.
    bool day_name(bool whole) noexcept {
        for (const auto day : days) {
            if (literal(whole ? day : day.substr(0, 3))) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] bool done() const noexcept { return rest_.empty(); }

private:
    std::string_view rest_;
};

bool read_fixdate(std::string_view text, civil_time& when) noexcept {
    date_reader in{text};
    return in.day_name(false) && in.literal(", ") && in.number(2, when.day) && in.literal(" ") &&
           in.month(when.month) && in.literal(" ") && in.number(4, when.year) && in.literal(" ") &&
           in.time(when) && in.literal(" GMT") && in.done();
}

bool read_rfc850(std::string_view text, civil_time& when) noexcept {
    date_reader in{text};
    if (!(in.day_name(true) && in.literal(", ") && in.number(2, when.day) && in.literal("-") &&
          in.month(when.month) && in.literal("-") && in.number(2, when.year) && in.literal(" ") &&
          in.time(when) && in.literal(" GMT") && in.done())) {
        return false;
    }
    // Two digits mean the last such year that is not more than 50 years ahead of us.
    const int this_year = static_cast<int>(date_of(std::time(nullptr)).year());
    when.year += this_year / 100 * 100;
    if (when.year > this_year + 50) {
        when.year -= 100;
    }
    return true;
}

bool read_asctime(std::string_view text, civil_time& when) noexcept {
    date_reader in{text};
    if (!(in.day_name(false) && in.literal(" ") && in.month(when.month) && in.literal(" "))) {
        return false;
    }
    const bool one_digit = in.literal(" ");
    return in.number(one_digit ? 1 : 2, when.day) && in.literal(" ") && in.time(when) &&
           in.literal(" ") && in.number(4, when.year) && in.done();
}

// Seconds since the epoch, if there is such a time.
std::optional<std::time_t> seconds_of(const civil_time& when) noexcept {
    using namespace std::chrono;
    const year_month_day date{year{when.year}, month{static_cast<unsigned>(when.month + 1)},
                              day{static_cast<unsigned>(when.day)}};
    // 60 for a leap second.
    if (!date.ok() || when.hour > 23 || when.minute > 59 || when.second > 60) {
        return std::nullopt;
    }
    const auto time =
        sys_days{date} + hours{when.hour} + minutes{when.minute} + seconds{when.second};
    return static_cast<std::time_t>(time.time_since_epoch().count());
}

}  // namespace

std::array<char, http_date_length> format_http_date(std::time_t when) noexcept {
    const auto date = date_of(when);
    const auto day = std::chrono::sys_days{date};
    const auto second_of_day =
        static_cast<int>(when - std::chrono::sys_seconds{day}.time_since_epoch().count());
    std::array<char, http_date_length> text{};
    auto* out = text.data();
    const auto put = [&out](std::string_view piece) {
        std::memcpy(out, piece.data(), piece.size());
        out += piece.size();
    };
    const auto put_number = [&out](int value, int digits) {
        for (int i = digits - 1; i >= 0; --i, value /= 10) {
            out[i] = static_cast<char>('0' + value % 10);
        }
        out += digits;
    };
    put(days[std::chrono::weekday{day}.c_encoding()].substr(0, 3));
    put(", ");
    put_number(static_cast<int>(static_cast<unsigned>(date.day())), 2);
    put(" ");
    put(months.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3));
    put(" ");
    put_number(static_cast<int>(date.year()), 4);
    put(" ");
    put_number(second_of_day / 3600, 2);
    put(":");
    put_number(second_of_day / 60 % 60, 2);
    put(":");
    put_number(second_of_day % 60, 2);
    put(" GMT");
    return text;
}

std::optional<std::time_t> parse_http_date(std::string_view text) noexcept {
    civil_time when;
    if (!read_fixdate(text, when) && !read_rfc850(text, when = {}) &&
        !read_asctime(text, when = {})) {
        return std::nullopt;
    }
    return seconds_of(when);
}

}  // namespace segment_server
