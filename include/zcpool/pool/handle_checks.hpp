// SPDX-License-Identifier: MIT
#pragma once

// What a handle asks of a checked pool: a life of its own, and whether that still goes on. Not
// inlined, so that the return address names the code that used the handle.

#include <source_location>

#include <zcpool/pool/call_site.hpp>
#include <zcpool/pool/core.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/slot_checks.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/slot_record.hpp>

namespace zcpool {

[[gnu::noinline]] inline slot_life pool_core::begin_checked(slot_record& record,
                                                            std::source_location where) noexcept {
    return checks_->begin(record, {where, __builtin_return_address(0)});
}

[[gnu::noinline, gnu::cold]] inline bool pool_core::allows(const slot_record& record,
                                                           slot_life life,
                                                           misuse otherwise) noexcept {
    const call_site site{{}, __builtin_return_address(0)};
    if (guard_.in_creator()) {
        return checks_ == nullptr || checks_->allows(record, life, otherwise, site);
    }
    // What a child does to its copies when they go is no misuse.
    if (checks_ != nullptr && otherwise != misuse::released_twice) {
        checks_->report_child(record, life, site);
    }
    return false;
}

}  // namespace zcpool
