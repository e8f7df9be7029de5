// SPDX-License-Identifier: MIT
#pragma once

// fmt straight into pool memory: all of a text or nothing. Comes with the CMake target zcpool::fmt;
// fmt 9 and later.

#include <cstddef>

#include <fmt/format.h>

#include <zcpool/base/errc.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/chain/writer.hpp>

namespace zcpool::adapt {

/// As format_to(), for arguments whose types were erased.
[[nodiscard]] inline result<std::size_t> vformat_to(writer& to, fmt::string_view format,
                                                    fmt::format_args values) {
    char nowhere = 0;
    const auto room = to.growing_space();
    const auto first = room.empty() ? fmt::vformat_to_n(&nowhere, 0, format, values)
                                    : fmt::vformat_to_n(reinterpret_cast<char*>(room.data()),
                                                        room.size(), format, values);
    if (first.size <= room.size()) {
        to.commit(first.size);
        return first.size;
    }
    const auto larger = to.space(first.size);
    if (larger.empty()) {
        return fail(to.refusal(first.size));
    }
    const auto second =
        fmt::vformat_to_n(reinterpret_cast<char*>(larger.data()), larger.size(), format, values);
    if (second.size > larger.size()) {
        return fail(errc::too_large);  // a formatter that does not say the same thing twice
    }
    to.commit(second.size);
    return second.size;
}

/// Formats to the end of a writer, in one piece and without a copy: all of the text or nothing.
///
/// Returns: how many bytes.
/// Errors: `exhausted`; `too_large` for a text longer than the largest slot, which
/// `fmt::format_to(adapt::appender{to}, ...)` spreads over several; `closed`. What was written
/// before stays. What a formatter of the caller's throws passes through, with nothing written.
/// Complexity: formats a second time where the buffer's rest is too short.
template <class... Values>
[[nodiscard]] result<std::size_t> format_to(writer& to, fmt::format_string<Values...> format,
                                            Values&&... values) {
    return vformat_to(to, format, fmt::make_format_args(values...));
}

}  // namespace zcpool::adapt
