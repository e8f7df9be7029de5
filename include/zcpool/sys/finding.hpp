// SPDX-License-Identifier: MIT
#pragma once

// What a look at the system comes to, in words that an operator can act on: what is there, what the
// library does where it is not, and the command that mends it.

#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include <zcpool/base/align.hpp>

namespace zcpool {

/// What the library uses of the system where it can.
enum class feature : std::uint8_t {
    pages,                 ///< of 4 KiB
    page_replacement,      ///< new pages at the address of old ones, for lending
    anonymous_huge_pages,  ///< transparent ones, for arena_backing::anonymous
    file_huge_pages,       ///< transparent ones of a memfd, for arena_backing::memfd
    reserved_huge_pages,   ///< for arena_backing::hugetlb
    memory_lock,           ///< mlock(2), for lock_policy
    pinned_memory,         ///< registered with an io_uring, or sent by reference
    zerocopy_notices,      ///< room for those of sends by reference
    sealed_memory,         ///< memfds that can be sealed, what a pool is made of
    io_uring,              ///< a ring, for sink::uring and event loops
    io_uring_operations,   ///< those that they use
    zerocopy_ipv4,         ///< SO_ZEROCOPY of TCP over IPv4, for sink::zerocopy and automatic
    zerocopy_ipv6,         ///< likewise over IPv6
    zerocopy_unix,         ///< likewise of AF_UNIX
    pipes,                 ///< of the size that sink::splice, vmsplice and automatic want
    process_descriptors,   ///< pidfd_open(2), for ipc::reaper
    process_barrier,       ///< membarrier(2), for thread caches
    fork_guard,            ///< memory that a forked child sees wiped
    process_files,         ///< /proc, which says what became of wishes
};
inline constexpr std::size_t feature_count = static_cast<std::size_t>(feature::process_files) + 1;

/// The name of a feature: its enumerator.
[[nodiscard]] constexpr std::string_view name_of(feature which) noexcept {
    constexpr std::array<std::string_view, feature_count> names{"pages",
                                                                "page_replacement",
                                                                "anonymous_huge_pages",
                                                                "file_huge_pages",
                                                                "reserved_huge_pages",
                                                                "memory_lock",
                                                                "pinned_memory",
                                                                "zerocopy_notices",
                                                                "sealed_memory",
                                                                "io_uring",
                                                                "io_uring_operations",
                                                                "zerocopy_ipv4",
                                                                "zerocopy_ipv6",
                                                                "zerocopy_unix",
                                                                "pipes",
                                                                "process_descriptors",
                                                                "process_barrier",
                                                                "fork_guard",
                                                                "process_files"};
    return names[static_cast<std::size_t>(which)];
}

/// The feature of a name, if there is one.
[[nodiscard]] constexpr std::optional<feature> feature_of(std::string_view name) noexcept {
    for (std::size_t i = 0; i < feature_count; ++i) {
        if (name_of(static_cast<feature>(i)) == name) {
            return static_cast<feature>(i);
        }
    }
    return std::nullopt;
}

/// How a feature stands.
enum class finding_status : std::uint8_t {
    ok,        ///< as the library wants it
    degraded,  ///< there, but less of it than is wanted
    missing,   ///< not to be had
    unknown,   ///< the system does not say
};

[[nodiscard]] constexpr std::string_view name_of(finding_status status) noexcept {
    switch (status) {
        case finding_status::ok: return "ok";
        case finding_status::degraded: return "degraded";
        case finding_status::missing: return "missing";
        case finding_status::unknown: break;
    }
    return "not known";
}

/// A short text without an allocation; what does not fit is cut off.
template <std::size_t Size>
class short_text {
public:
    /// Adds to it, as printf would.
    [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) noexcept {
        va_list values;
        va_start(values, format);
        const int wanted = std::vsnprintf(text_ + size_, Size - size_, format, values);
        va_end(values);
        if (wanted > 0) {
            const std::size_t room = Size - 1 - size_;
            size_ +=
                static_cast<std::size_t>(wanted) < room ? static_cast<std::size_t>(wanted) : room;
        }
    }

    [[nodiscard]] const char* c_str() const noexcept { return text_; }
    [[nodiscard]] std::string_view view() const noexcept { return {text_, size_}; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

private:
    std::size_t size_ = 0;
    char text_[Size]{};
};

/// A number of bytes as people write it: "64 KiB", "1000 bytes", "unlimited" for UINT64_MAX.
[[nodiscard]] inline short_text<32> readable_bytes(std::uint64_t bytes) noexcept {
    short_text<32> text;
    if (bytes == UINT64_MAX) {
        text.add("unlimited");
    } else if (bytes >= 1_GiB && bytes % 1_GiB == 0) {
        text.add("%" PRIu64 " GiB", bytes / 1_GiB);
    } else if (bytes >= 1_MiB && bytes % 1_MiB == 0) {
        text.add("%" PRIu64 " MiB", bytes / 1_MiB);
    } else if (bytes >= 1_KiB && bytes % 1_KiB == 0) {
        text.add("%" PRIu64 " KiB", bytes / 1_KiB);
    } else {
        text.add("%" PRIu64 " bytes", bytes);
    }
    return text;
}

/// What was found of a feature.
struct finding {
    feature what{};
    finding_status status = finding_status::unknown;
    short_text<256> found{};   ///< what there is: the value and the limit
    short_text<256> remedy{};  ///< what to do for more; empty when it is ok, or nothing helps
    const char* without = "";  ///< what the library does where it is not ok
};

/// A finding as one line: "memory_lock missing: ...; remedy: ...".
[[nodiscard]] inline short_text<640> describe(const finding& about) noexcept {
    short_text<640> text;
    const std::string_view name = name_of(about.what);
    const std::string_view status = name_of(about.status);
    text.add("%.*s %.*s: %s", static_cast<int>(name.size()), name.data(),
             static_cast<int>(status.size()), status.data(), about.found.c_str());
    if (!about.remedy.empty()) {
        text.add("; remedy: %s", about.remedy.c_str());
    }
    return text;
}

}  // namespace zcpool
