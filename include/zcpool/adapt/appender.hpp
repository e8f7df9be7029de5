// SPDX-License-Identifier: MIT
#pragma once

// An output iterator into a writer, so that whatever writes to one (fmt::format_to,
// std::format_to, std::copy, std::to_chars' friends) fills pool memory without a string between.
// Source: [output.iterators] of the C++ standard.

#include <cstddef>
#include <iterator>

#include <zcpool/chain/writer.hpp>

namespace zcpool::adapt {

/// Appends each character that is assigned to a writer.
///
///     fmt::format_to(adapt::appender{out}, "frame {}\n", number);
///     if (out.lost() != 0) { ... }
///
/// When the pool has no slot the text ends there, in the middle of a word if need be: what follows
/// is left out and counted, no later text closes up to it, and both failed() and writer::lost() say
/// so until writer::finish().
/// Complexity: some ten instructions a character; an acquire where a buffer is full.
/// Sharing: as the writer, which must outlive it. Copies append to the same place.
class appender {
public:
    using iterator_category = std::output_iterator_tag;
    using value_type = void;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = void;

    /// Appends to the end of a writer.
    explicit appender(writer& to) noexcept : to_(&to) {}

    appender& operator=(char next) noexcept {
        to_->push_back(next);
        return *this;
    }
    [[nodiscard]] appender& operator*() noexcept { return *this; }
    appender& operator++() noexcept { return *this; }
    appender operator++(int) noexcept { return *this; }

    /// Whether something was left out, as std::ostreambuf_iterator::failed().
    [[nodiscard]] bool failed() const noexcept { return to_->lost() != 0; }

private:
    writer* to_;
};

}  // namespace zcpool::adapt
