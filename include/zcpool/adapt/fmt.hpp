// SPDX-License-Identifier: MIT
#pragma once

// fmt formatters for what a program prints of this library. Comes with the CMake target
// zcpool::fmt; fmt 9 and later.
// Source: https://fmt.dev/9.1.0/api.html, "Formatting User-defined Types".

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include <zcpool/adapt/names.hpp>
#include <zcpool/base/errc.hpp>
#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/buffer.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/stats.hpp>
#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/page_lock.hpp>
#include <zcpool/sys/preflight.hpp>

namespace zcpool::sink {

struct registration_report;  // of zcpool::uring, which may be missing

}  // namespace zcpool::sink

namespace zcpool::adapt {

namespace detail {

using text = fmt::memory_buffer;

template <class... Values>
void add(text& to, fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(fmt::appender{to}, format, std::forward<Values>(values)...);
}

/// Adds ", NUMBER WHAT" where there is something to say.
inline void add_count(text& to, std::uint64_t count, const char* what) {
    if (count != 0) {
        add(to, ", {} {}", count, what);
    }
}

inline void describe(text& to, errc value) { add(to, "{}", make_error_code(value).message()); }

template <class Enum>
    requires requires(Enum value) { name_of(value); }
void describe(text& to, Enum value) {
    const std::string_view name = name_of(value);
    to.append(name.data(), name.data() + name.size());
}

inline void describe(text& to, const buffer& value) {
    if (value) {
        add(to, "buffer of {} bytes, {} written", value.capacity(), value.size());
    } else {
        add(to, "empty buffer");
    }
}

inline void describe(text& to, const slice& value) {
    if (value.empty()) {
        add(to, "empty slice");
    } else {
        add(to, "slice of {} bytes{}", value.size(), value.in_pool() ? "" : ", adopted");
    }
}

inline void describe(text& to, const chain& value) {
    add(to, "chain of {} bytes in {} slices", value.size(), value.slice_count());
}

inline void describe(text& to, const class_stats& value) {
    add(to, "{}: {} of {} in use", readable_bytes(value.slot_bytes).view(), value.in_use,
        value.slots);
    add_count(to, value.high_water, "at most");
    add_count(to, value.cached, "cached");
    add_count(to, value.reserved, "reserved");
    add(to, ", {} acquired, {} released", value.acquired, value.released);
    add_count(to, value.exhausted, "times exhausted");
    add_count(to, value.waited, "waited");
    add_count(to, value.spilled, "spilled");
    add_count(to, value.lent, "lent");
    add_count(to, value.renewed, "renewed");
    add_count(to, value.quarantined, "quarantined");
    add_count(to, value.trimmed, "trimmed");
    add_count(to, value.refilled, "refilled");
    add_count(to, value.copied_bytes, "bytes copied");
}

inline void describe(text& to, const pool_stats& value) {
    const char* before = "";
    for (const class_stats& each : value) {
        add(to, "{}", std::exchange(before, "; "));
        describe(to, each);
    }
    if (value.lent_detached_bytes != 0) {
        add(to, "; {} of {} bytes detached", value.lent_detached_bytes, value.lent_budget_bytes);
    }
}

inline void describe(text& to, const sink::stats& value) {
    add(to, "{} calls, {} bytes copied, {} lent", value.calls, value.copied_bytes,
        value.lent_bytes);
    add_count(to, value.fallback_bytes, "copied for want of lending");
}

inline void describe(text& to, const source::stats& value) {
    add(to, "{} calls, {} bytes", value.calls, value.bytes);
    add_count(to, value.exhausted, "times exhausted");
}

inline void describe(text& to, const sink::automatic_report& value) {
    add(to, "last {}, path {}, {} bytes referred", name_of(value.last), name_of(value.path),
        value.referred_bytes);
    add_count(to, value.pause_left, "sends until the next trial");
    add_count(to, value.referred.sent, "sends with a receipt");
    add_count(to, value.referred.confirmed, "confirmed");
    add_count(to, value.referred.copied, "copied after all");
    add_count(to, value.referred.refused, "refused");
    if (value.refer_refusal) {
        add(to, ", not referring: {}", value.refer_refusal.message());
    }
}

/// A template, as the type may not be there.
template <class Report>
    requires std::is_same_v<Report, sink::registration_report>
void describe(text& to, const Report& value) {
    add(to, "{} registered", readable_bytes(value.bytes).view());
    add(to, "{}", value.is_cloned ? ", cloned" : "");
    if (value.refusal) {
        add(to, "; {}", std::string_view{value.text});
    }
}

inline void describe(text& to, const lock_report& value) {
    if (value.locked) {
        add(to, "{} locked", readable_bytes(value.bytes).view());
    } else if (value.refusal) {
        add(to, "not locked ({}), {} wanted, limit {}", value.refusal.message(),
            readable_bytes(value.bytes).view(), readable_bytes(value.soft_limit).view());
    } else {
        add(to, "not locked");
    }
}

inline void describe(text& to, const arena_report& value) {
    add(to, "{} of {} in huge pages", readable_bytes(value.huge_bytes).view(),
        readable_bytes(value.bytes).view());
    if (value.text[0] != '\0') {
        add(to, "; {}", std::string_view{value.text});
    }
}

inline void describe(text& to, const creation_report& value) {
    add(to, "{} of slots, ", readable_bytes(value.data_bytes).view());
    describe(to, value.locking);
    add(to, ", lending {}, cache {}, checking {}, zeroing {}, core dump {}{}",
        name_of(value.lending), name_of(value.cache), name_of(value.checking),
        name_of(value.zeroing), name_of(value.core_dump), value.shared ? ", shared" : "");
    if (value.arenas.bytes != 0) {
        add(to, "; ");
        describe(to, value.arenas);
    }
    if (value.text[0] != '\0') {
        add(to, "; {}", std::string_view{value.text});
    }
}

inline void describe(text& to, const finding& value) {
    add(to, "{}", zcpool::describe(value).view());
}

inline void describe(text& to, const preflight_report& value) {
    const char* before = "";
    for (const finding& each : value.findings) {
        add(to, "{}", std::exchange(before, "\n"));
        describe(to, each);
    }
}

inline void describe(text& to, const unmet_requirement& value) {
    add(to, "{}", value.text().view());
}

inline void describe(text& to, const misuse_report& value) {
    add(to, "{}", std::string_view{value.text});
}

/// Formats a value as a text, which takes fill, alignment, width and precision as any other.
template <class Value>
struct text_formatter : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const Value& value, Context& context) const {
        text whole;
        describe(whole, value);
        return fmt::formatter<std::string_view>::format({whole.data(), whole.size()}, context);
    }
};

}  // namespace detail

}  // namespace zcpool::adapt

/// @cond
// Enumerators by their names, an errc by its message; the rest as one line, where counters that are
// 0 are left out, and a preflight_report as a line for each feature.
template <>
struct fmt::formatter<zcpool::errc> : zcpool::adapt::detail::text_formatter<zcpool::errc> {};
template <>
struct fmt::formatter<zcpool::lending> : zcpool::adapt::detail::text_formatter<zcpool::lending> {};
template <>
struct fmt::formatter<zcpool::arena_backing>
    : zcpool::adapt::detail::text_formatter<zcpool::arena_backing> {};
template <>
struct fmt::formatter<zcpool::cache_policy>
    : zcpool::adapt::detail::text_formatter<zcpool::cache_policy> {};
template <>
struct fmt::formatter<zcpool::checking> : zcpool::adapt::detail::text_formatter<zcpool::checking> {
};
template <>
struct fmt::formatter<zcpool::core_dump>
    : zcpool::adapt::detail::text_formatter<zcpool::core_dump> {};
template <>
struct fmt::formatter<zcpool::lock_policy>
    : zcpool::adapt::detail::text_formatter<zcpool::lock_policy> {};
template <>
struct fmt::formatter<zcpool::misuse> : zcpool::adapt::detail::text_formatter<zcpool::misuse> {};
template <>
struct fmt::formatter<zcpool::feature> : zcpool::adapt::detail::text_formatter<zcpool::feature> {};
template <>
struct fmt::formatter<zcpool::finding_status>
    : zcpool::adapt::detail::text_formatter<zcpool::finding_status> {};
template <>
struct fmt::formatter<zcpool::sink::state>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::state> {};
template <>
struct fmt::formatter<zcpool::sink::interest>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::interest> {};
template <>
struct fmt::formatter<zcpool::sink::receipt>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::receipt> {};
template <>
struct fmt::formatter<zcpool::sink::route>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::route> {};
template <>
struct fmt::formatter<zcpool::sink::peer_path>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::peer_path> {};
template <>
struct fmt::formatter<zcpool::source::state>
    : zcpool::adapt::detail::text_formatter<zcpool::source::state> {};
template <>
struct fmt::formatter<zcpool::source::interest>
    : zcpool::adapt::detail::text_formatter<zcpool::source::interest> {};
template <>
struct fmt::formatter<zcpool::buffer> : zcpool::adapt::detail::text_formatter<zcpool::buffer> {};
template <>
struct fmt::formatter<zcpool::slice> : zcpool::adapt::detail::text_formatter<zcpool::slice> {};
template <>
struct fmt::formatter<zcpool::chain> : zcpool::adapt::detail::text_formatter<zcpool::chain> {};
template <>
struct fmt::formatter<zcpool::class_stats>
    : zcpool::adapt::detail::text_formatter<zcpool::class_stats> {};
template <>
struct fmt::formatter<zcpool::pool_stats>
    : zcpool::adapt::detail::text_formatter<zcpool::pool_stats> {};
template <>
struct fmt::formatter<zcpool::sink::stats>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::stats> {};
template <>
struct fmt::formatter<zcpool::source::stats>
    : zcpool::adapt::detail::text_formatter<zcpool::source::stats> {};
template <>
struct fmt::formatter<zcpool::sink::automatic_report>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::automatic_report> {};
template <>
struct fmt::formatter<zcpool::sink::registration_report>
    : zcpool::adapt::detail::text_formatter<zcpool::sink::registration_report> {};
template <>
struct fmt::formatter<zcpool::lock_report>
    : zcpool::adapt::detail::text_formatter<zcpool::lock_report> {};
template <>
struct fmt::formatter<zcpool::arena_report>
    : zcpool::adapt::detail::text_formatter<zcpool::arena_report> {};
template <>
struct fmt::formatter<zcpool::creation_report>
    : zcpool::adapt::detail::text_formatter<zcpool::creation_report> {};
template <>
struct fmt::formatter<zcpool::finding> : zcpool::adapt::detail::text_formatter<zcpool::finding> {};
template <>
struct fmt::formatter<zcpool::preflight_report>
    : zcpool::adapt::detail::text_formatter<zcpool::preflight_report> {};
template <>
struct fmt::formatter<zcpool::unmet_requirement>
    : zcpool::adapt::detail::text_formatter<zcpool::unmet_requirement> {};
template <>
struct fmt::formatter<zcpool::misuse_report>
    : zcpool::adapt::detail::text_formatter<zcpool::misuse_report> {};
/// @endcond
