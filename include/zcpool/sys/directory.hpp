// SPDX-License-Identifier: MIT
#pragma once

// The entries of a directory that are numbers: the processes in /proc, and the descriptors of one.
// Source: getdents64(2), proc(5).

#include <dirent.h>
#include <fcntl.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <system_error>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::sys {

/// Calls `visit(number)`, which returns result<void>, for each entry whose name is a whole number
/// that fits int; it stops when that fails.
///
/// Errors: those of `visit`; the errno of open or getdents64: ENOENT where there is no such
/// directory, EACCES where it may not be read.
/// Complexity: a system call for some hundred entries. What comes or goes meanwhile may be missed.
template <class Visit>
[[nodiscard]] result<void> for_each_number(const char* path, Visit&& visit) noexcept {
    auto opened = call([&] { return provider::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (!opened) {
        return fail(opened.error());
    }
    const unique_fd directory{*opened};
    alignas(dirent64) std::array<char, 8192> entries;
    for (;;) {
        const auto got = call(
            [&] { return provider::getdents64(directory.get(), entries.data(), entries.size()); });
        if (!got || *got == 0) {
            return got ? result<void>{} : fail(got.error());
        }
        std::uint16_t length = 0;
        for (auto at = std::size_t{0}; at < static_cast<std::size_t>(*got); at += length) {
            const char* const entry = entries.data() + at;
            std::memcpy(&length, entry + offsetof(dirent64, d_reclen), sizeof length);
            const std::string_view name{entry + offsetof(dirent64, d_name)};
            int number = 0;
            const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
            if (read.ec == std::errc{} && read.ptr == name.data() + name.size()) {
                if (auto done = visit(number); !done) {
                    return done;
                }
            }
        }
    }
}

}  // namespace zcpool::sys
