// SPDX-License-Identifier: MIT
#pragma once

// How much of a mapping lies in huge pages: asking for them is a wish, and only the system's own
// account tells what became of it.
// Source: proc_pid_smaps(5).

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <system_error>

#include <zcpool/base/align.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// Reads the text of smaps line by line, and adds up the huge pages of the mappings that lie in a
/// range of addresses.
class huge_page_count {
public:
    /// Counts in the mappings of that range.
    huge_page_count(std::uintptr_t begin, std::size_t bytes) noexcept
        : begin_(begin), end_(begin + bytes) {}

    /// A line, without its end; of a long one the beginning is enough.
    void add(std::string_view line) noexcept {
        // "7f0000000000-7f0000200000 rw-p ...": a mapping; "AnonHugePages:  2048 kB": about it.
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
        const char* const last = line.data() + line.size();
        // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): ends at `last`.
        const auto first = std::from_chars(line.data(), last, from, 16);
        if (first.ec == std::errc{} && first.ptr != last && *first.ptr == '-' &&
            std::from_chars(first.ptr + 1, last, to, 16).ec == std::errc{}) {
            inside_ = from >= begin_ && to <= end_;
            return;
        }
        const std::size_t colon = line.find(':');
        if (!inside_ || colon == std::string_view::npos || !is_huge(line.substr(0, colon))) {
            return;
        }
        const std::size_t digit = line.find_first_of("0123456789", colon);
        std::size_t kibibytes = 0;
        if (digit != std::string_view::npos) {
            std::from_chars(line.data() + digit, last, kibibytes);
        }
        bytes_ += kibibytes * 1_KiB;
    }

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    [[nodiscard]] static bool is_huge(std::string_view name) noexcept {
        constexpr std::string_view kinds[] = {"AnonHugePages", "ShmemPmdMapped", "Private_Hugetlb",
                                              "Shared_Hugetlb"};
        for (const std::string_view each : kinds) {
            if (name == each) {
                return true;
            }
        }
        return false;
    }

    std::uintptr_t begin_;
    std::uintptr_t end_;
    bool inside_ = false;
    std::size_t bytes_ = 0;
};

/// Bytes of a range that are mapped as huge pages.
///
/// Expects: the range is made of whole mappings; those that reach beyond it do not count.
/// Errors: the errno of open or read; ENOENT where /proc is not mounted.
/// Complexity: some microseconds for each mapping of the process.
[[nodiscard]] inline result<std::size_t> huge_bytes_of(const std::byte* begin,
                                                       std::size_t bytes) noexcept {
    auto opened = call([&] { return provider::open("/proc/self/smaps", O_RDONLY | O_CLOEXEC); });
    if (!opened) {
        return fail(opened.error());
    }
    const unique_fd file{*opened};
    huge_page_count count{reinterpret_cast<std::uintptr_t>(begin), bytes};
    std::array<char, 4096> text;
    std::size_t held = 0;
    bool skipping = false;  // the rest of a line that was too long
    for (;;) {
        auto got = call(
            [&] { return provider::read(file.get(), text.data() + held, text.size() - held); });
        if (!got) {
            return fail(got.error());
        }
        if (*got == 0) {
            return count.bytes();
        }
        std::string_view rest{text.data(), held + static_cast<std::size_t>(*got)};
        for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
            if (!skipping) {
                count.add(rest.substr(0, end));
            }
            skipping = false;
            rest.remove_prefix(end + 1);
        }
        if (rest.size() == text.size()) {
            if (!skipping) {
                count.add(rest);
            }
            skipping = true;
            rest = {};
        }
        held = rest.size();
        if (held != 0) {
            std::memmove(text.data(), rest.data(), held);
        }
    }
}

}  // namespace zcpool::sys
