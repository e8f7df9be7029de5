// SPDX-License-Identifier: MIT
#pragma once

// What the files of this program, which are compiled with different flags, know of each other.

#include <array>
#include <cstddef>

#include <zcpool/zcpool.hpp>

using shared_pool = zcpool::pool<zcpool::size_classes<4096, 65536>>;

/// Sizes and alignments, as the file that is compiled has them.
template <class... Types>
struct layout_of {
    static constexpr std::array<std::size_t, 2 * sizeof...(Types)> value{sizeof(Types)...,
                                                                         alignof(Types)...};
};
using layout = layout_of<shared_pool, zcpool::buffer, zcpool::slice, zcpool::chain, zcpool::reader,
                         zcpool::pool_stats, zcpool::sink::automatic, zcpool::sink::sendfile>;

/// What a file does with the library.
struct file_view {
    decltype(layout::value) types;
    bool checks;
    zcpool::buffer (*filled)(shared_pool& pool, std::size_t bytes, unsigned char with);
    bool (*taken)(zcpool::slice slice, std::size_t bytes, unsigned char with);
};

file_view checked_file();  // -O0, with assertions, exceptions and RTTI
file_view hurried_file();  // -O2, without any of them
