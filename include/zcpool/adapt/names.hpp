// SPDX-License-Identifier: MIT
#pragma once

// Enumerators as text, for logs and metrics: each by the name that it has in the program.

#include <string_view>

#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/path_probe.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/sys/finding.hpp>
#include <zcpool/sys/page_lock.hpp>

namespace zcpool::adapt {

using zcpool::name_of;  // of a feature, and of a finding_status

// Each is the name of the enumerator, or "unknown" where the number is none of the type's.

[[nodiscard]] constexpr std::string_view name_of(lending value) noexcept {
    switch (value) {
        case lending::never: return "never";
        case lending::cached: return "cached";
        case lending::arena: return "arena";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(arena_backing value) noexcept {
    switch (value) {
        case arena_backing::anonymous: return "anonymous";
        case arena_backing::memfd: return "memfd";
        case arena_backing::hugetlb: return "hugetlb";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(cache_policy value) noexcept {
    switch (value) {
        case cache_policy::none: return "none";
        case cache_policy::thread: return "thread";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(checking value) noexcept {
    switch (value) {
        case checking::none: return "none";
        case checking::full: return "full";
        case checking::guarded: return "guarded";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(zeroing value) noexcept {
    switch (value) {
        case zeroing::never: return "never";
        case zeroing::on_release: return "on_release";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(core_dump value) noexcept {
    switch (value) {
        case core_dump::included: return "included";
        case core_dump::excluded: return "excluded";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(lock_policy value) noexcept {
    switch (value) {
        case lock_policy::none: return "none";
        case lock_policy::best_effort: return "best_effort";
        case lock_policy::required: return "required";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(misuse value) noexcept {
    switch (value) {
        case misuse::released_twice: return "released_twice";
        case misuse::used_after_release: return "used_after_release";
        case misuse::foreign: return "foreign";
        case misuse::written_outside: return "written_outside";
        case misuse::written_after_release: return "written_after_release";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(sink::state value) noexcept {
    switch (value) {
        case sink::state::done: return "done";
        case sink::state::blocked: return "blocked";
        case sink::state::pending: return "pending";
        case sink::state::failed: return "failed";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(sink::interest value) noexcept {
    switch (value) {
        case sink::interest::none: return "none";
        case sink::interest::writable: return "writable";
        case sink::interest::error_queue: return "error_queue";
        case sink::interest::completion: return "completion";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(sink::receipt value) noexcept {
    switch (value) {
        case sink::receipt::copied: return "copied";
        case sink::receipt::notified: return "notified";
        case sink::receipt::none: return "none";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(sink::route value) noexcept {
    switch (value) {
        case sink::route::copy: return "copy";
        case sink::route::lend: return "lend";
        case sink::route::refer: return "refer";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(sink::peer_path value) noexcept {
    switch (value) {
        case sink::peer_path::unknown: return "unknown";
        case sink::peer_path::copies: return "copies";
        case sink::peer_path::refers: return "refers";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(source::state value) noexcept {
    switch (value) {
        case source::state::data: return "data";
        case source::state::blocked: return "blocked";
        case source::state::exhausted: return "exhausted";
        case source::state::full: return "full";
        case source::state::ended: return "ended";
        case source::state::failed: return "failed";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view name_of(source::interest value) noexcept {
    switch (value) {
        case source::interest::none: return "none";
        case source::interest::readable: return "readable";
        case source::interest::writable: return "writable";
        case source::interest::slot: return "slot";
        case source::interest::completion: return "completion";
    }
    return "unknown";
}

}  // namespace zcpool::adapt
