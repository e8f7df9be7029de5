// SPDX-License-Identifier: MIT
#pragma once

// One file below /proc or /sys: what an administrator has set, or what the kernel counts.
// Source: proc(5), sysfs(5).

#include <fcntl.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// The beginning of such a file.
class setting {
public:
    /// Reads a file.
    ///
    /// `root`: what stands before `path`, for a tree that somebody else has made; mostly empty.
    /// Errors: the errno of open or read; ENOENT where the kernel has no such setting.
    [[nodiscard]] static result<setting> read(const char* root, const char* path) noexcept {
        char whole[256];
        std::snprintf(whole, sizeof whole, "%s%s", root, path);
        auto opened = call([&] { return provider::open(whole, O_RDONLY | O_CLOEXEC); });
        if (!opened) {
            return fail(opened.error());
        }
        const unique_fd file{*opened};
        setting made;
        auto got =
            call([&] { return provider::read(file.get(), made.text_.data(), made.text_.size()); });
        if (!got) {
            return fail(got.error());
        }
        made.size_ = static_cast<std::size_t>(*got);
        while (made.size_ != 0 && made.text_[made.size_ - 1] == '\n') {
            --made.size_;
        }
        return made;
    }

    /// All of it, without the end of the last line.
    [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), size_}; }

    /// The number at its beginning.
    [[nodiscard]] std::optional<std::uint64_t> number() const noexcept { return number_in(text()); }

    /// The word in brackets of "always [madvise] never".
    [[nodiscard]] std::string_view chosen() const noexcept {
        const std::size_t begin = text().find('[');
        const std::size_t end = text().find(']');
        if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
            return {};
        }
        return text().substr(begin + 1, end - begin - 1);
    }

    /// The number of a line "VmLck:   12 kB"; `label` ends with the colon.
    [[nodiscard]] std::optional<std::uint64_t> number_of(std::string_view label) const noexcept {
        std::string_view rest = text();
        while (!rest.empty()) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            if (line.starts_with(label)) {
                const std::size_t digit = line.find_first_not_of(" \t", label.size());
                return digit == std::string_view::npos ? std::nullopt
                                                       : number_in(line.substr(digit));
            }
            rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
        }
        return std::nullopt;
    }

private:
    setting() noexcept = default;

    [[nodiscard]] static std::optional<std::uint64_t> number_in(std::string_view text) noexcept {
        std::uint64_t value = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
        return read.ec == std::errc{} ? std::optional{value} : std::nullopt;
    }

    std::array<char, 4096> text_{};
    std::size_t size_ = 0;
};

/// The number of a setting, where it can be read and is one.
[[nodiscard]] inline std::optional<std::uint64_t> number_set(const char* root,
                                                             const char* path) noexcept {
    const auto read = setting::read(root, path);
    return read ? read->number() : std::nullopt;
}

}  // namespace zcpool::sys
