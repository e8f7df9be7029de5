// SPDX-License-Identifier: MIT
#pragma once

// Doing what must not be done: handles that were copied bit by bit, pools that look for it, and how
// the child that did it ended.

#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <string_view>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/zcpool.hpp>

namespace zcpool_test {

template <zcpool::checking Checks>
using checked_pool =
    zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>, zcpool::pool_policy{.checking = Checks}>;
using full_pool = checked_pool<zcpool::checking::full>;
using guarded_pool = checked_pool<zcpool::checking::guarded>;

/// A pool of a child, which has none of its parent's. Ends the child where there is none.
template <class Pool = full_pool>
Pool own_pool(zcpool::pool_options options = {.slots = {2, 2}}) {
    auto made = Pool::create(options);
    if (!made) {
        ::_exit(99);
    }
    return std::move(*made);
}

/// A copy of a handle that the handle knows nothing of.
template <class Handle>
class bitwise_copy {
public:
    explicit bitwise_copy(const Handle& from) noexcept {
        std::memcpy(bytes_, static_cast<const void*>(std::addressof(from)), sizeof from);
    }
    [[nodiscard]] Handle& operator*() noexcept {
        return *std::launder(reinterpret_cast<Handle*>(bytes_));
    }
    [[nodiscard]] Handle* operator->() noexcept { return std::addressof(**this); }

private:
    alignas(Handle) std::byte bytes_[sizeof(Handle)];
};

/// How a child ended, and what it had said on stderr.
struct ending {
    int status;
    std::string words;

    [[nodiscard]] bool says(std::string_view what) const {
        return words.find(what) != std::string::npos;
    }
    /// Whether a place in the source is named behind some words.
    [[nodiscard]] bool says(const std::string& what, const std::source_location& place) const {
        return says(what + ' ' + place.file_name() + ':' + std::to_string(place.line()));
    }
};

/// Runs a function in a child. Expects: it says less than a pipe holds.
template <class Body>
ending ending_of(Body&& body) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    child run{[&] {
        ::dup2(ends[1], STDERR_FILENO);
        return body();
    }};
    ::close(ends[1]);
    ending seen{run.status(), {}};
    char part[4096];
    for (ssize_t got = 0; (got = ::read(ends[0], part, sizeof part)) > 0;) {
        seen.words.append(part, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    return seen;
}

}  // namespace zcpool_test
