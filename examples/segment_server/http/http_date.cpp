// SPDX-License-Identifier: MIT
#include <segment_server/http/http_date.hpp>

#include <cstring>

#include <segment_server/http/text.hpp>

namespace segment_server {
namespace {

constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";

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

    bool time(std::tm& when) noexcept {
        return number(2, when.tm_hour) && literal(":") && number(2, when.tm_min) && literal(":") &&
               number(2, when.tm_sec);
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

bool read_fixdate(std::string_view text, std::tm& when) noexcept {
    date_reader in{text};
    return in.day_name(false) && in.literal(", ") && in.number(2, when.tm_mday) &&
           in.literal(" ") && in.month(when.tm_mon) && in.literal(" ") &&
           in.number(4, when.tm_year) && in.literal(" ") && in.time(when) && in.literal(" GMT") &&
           in.done();
}

bool read_rfc850(std::string_view text, std::tm& when) noexcept {
    date_reader in{text};
    if (!(in.day_name(true) && in.literal(", ") && in.number(2, when.tm_mday) && in.literal("-") &&
          in.month(when.tm_mon) && in.literal("-") && in.number(2, when.tm_year) &&
          in.literal(" ") && in.time(when) && in.literal(" GMT") && in.done())) {
        return false;
    }
    // Two digits mean the last such year that is not more than 50 years ahead of us.
    const std::time_t now = std::time(nullptr);
    std::tm today{};
    gmtime_r(&now, &today);
    const int this_year = today.tm_year + 1900;
    when.tm_year += this_year / 100 * 100;
    if (when.tm_year > this_year + 50) {
        when.tm_year -= 100;
    }
    return true;
}

bool read_asctime(std::string_view text, std::tm& when) noexcept {
    date_reader in{text};
    if (!(in.day_name(false) && in.literal(" ") && in.month(when.tm_mon) && in.literal(" "))) {
        return false;
    }
    const bool one_digit = in.literal(" ");
    return in.number(one_digit ? 1 : 2, when.tm_mday) && in.literal(" ") && in.time(when) &&
           in.literal(" ") && in.number(4, when.tm_year) && in.done();
}

bool is_possible(const std::tm& when) noexcept {
    return when.tm_mday >= 1 && when.tm_mday <= 31 && when.tm_hour <= 23 && when.tm_min <= 59 &&
           when.tm_sec <= 60;  // 60 for a leap second
}

}  // namespace

std::array<char, http_date_length> format_http_date(std::time_t when) noexcept {
    std::tm parts{};
    gmtime_r(&when, &parts);
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
    put(days[static_cast<std::size_t>(parts.tm_wday)].substr(0, 3));
    put(", ");
    put_number(parts.tm_mday, 2);
    put(" ");
    put(months.substr(static_cast<std::size_t>(parts.tm_mon) * 3, 3));
    put(" ");
    put_number(parts.tm_year + 1900, 4);
    put(" ");
    put_number(parts.tm_hour, 2);
    put(":");
    put_number(parts.tm_min, 2);
    put(":");
    put_number(parts.tm_sec, 2);
    put(" GMT");
    return text;
}

std::optional<std::time_t> parse_http_date(std::string_view text) noexcept {
    std::tm when{};
    if (!read_fixdate(text, when) && !read_rfc850(text, when = {}) &&
        !read_asctime(text, when = {})) {
        return std::nullopt;
    }
    if (!is_possible(when)) {
        return std::nullopt;
    }
    when.tm_year -= 1900;
    return timegm(&when);
}

}  // namespace segment_server
