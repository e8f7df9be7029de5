// SPDX-License-Identifier: MIT
#pragma once

// What a checked pool does when a slot is acquired, used and released: its lives, the bytes behind
// it, zeroes while it is free, and the report of what is wrong. See enum checking in options.hpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <span>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/atomic.hpp>
#include <zcpool/base/index.hpp>
#include <zcpool/base/poison.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/base/unique_object.hpp>
#include <zcpool/pool/byte_pattern.hpp>
#include <zcpool/pool/call_site.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/misuse.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/slot_history.hpp>
#include <zcpool/pool/slot_record.hpp>
#include <zcpool/pool/slot_word.hpp>

namespace zcpool {

/// Checked pools that there were in this process, for their numbers.
inline constinit atomic<std::uint32_t> checked_pools{0};

/// The checks of one pool; private memory of the process that made it.
///
/// Concurrency: any thread; begin() and end() by who owns the slot, and end() by who is mistaken.
class slot_checks {
public:
    /// Makes room. Once, before use. A null `handler` is abort_on_misuse().
    ///
    /// Errors: `out_of_memory`.
    [[nodiscard]] result<void> open(const pool_layout& layout, checking checks,
                                    misuse_handler handler) noexcept {
        has_canaries_ = checks == checking::full;
        handler_ = handler == nullptr ? abort_on_misuse : handler;
        // relaxed: any number will do, and neighbours differ.
        const auto pool = 1 + checked_pools.fetch_add(1, memory_order_relaxed) % 255;
        for (std::size_t index = 0; index < layout.class_count; ++index) {
            const class_layout& each = layout.classes[index];
            part& here = classes_[index];
            here.margin = each.margin;
            here.histories.reset(new (std::nothrow) slot_history[each.slots]);
            if (!here.histories) {
                return fail(errc::out_of_memory);
            }
            for (slot_history& history : array_view{here.histories.get(), each.slots}) {
                history.open(pool);
            }
        }
        return {};
    }

    /// Puts the canary behind a slot and lets nobody touch either. Once for each, before use.
    void close_off(slot_record& record) noexcept {
        if (has_canaries_) {
            fill_with(margin_of(record), canary_byte);
            hide(margin_of(record));
        }
        hide(bytes_of(record));
    }

    /// Begins a life of a slot that the caller has just taken.
    [[nodiscard]] slot_life begin(slot_record& record, const call_site& site) noexcept {
        const std::span<std::byte> bytes = bytes_of(record);
        allow_access(bytes.data(), bytes.size());
        const life_sites last = history_of(record).last_sites();
        if (const std::size_t at = first_other(bytes, std::byte{0}); at != bytes.size()) {
            report({misuse::written_after_release, record, last, site, "written while it was free",
                    at});
            fill_with(bytes, std::byte{0});
        }
        check_margin(record, last, site);
        return history_of(record).begin(site);
    }

    /// The life that a slot's handle carries, if it has one.
    [[nodiscard]] slot_life last_life(const slot_record& record) noexcept {
        return history_of(record).last();
    }

    /// Whether a handle is good. If not, that is reported, and the caller must do nothing with the
    /// slot.
    [[nodiscard]] bool allows(const slot_record& record, slot_life life, misuse otherwise,
                              const call_site& site) noexcept {
        if (history_of(record).is_now(life)) {
            return true;
        }
        report_handle(record, life, otherwise, site);
        return false;
    }

    /// Ends the life of a slot that is about to be given back, if the handle is good; then its
    /// bytes are zeroed unless the kernel or another process may still read them.
    ///
    /// Returns: false when it is not; the caller must do nothing with the slot.
    [[nodiscard]] bool end(slot_record& record, const slot_word& word, holder_set me,
                           slot_life life, const call_site& site) noexcept {
        slot_history& history = history_of(record);
        if (!history.end(life, site)) {
            report_handle(record, life, misuse::released_twice, site);
            return false;
        }
        check_margin(record, history.sites_of(life), site);
        // Nobody but the holders can add one, and this is the last handle of the only one.
        if (word.was().holders == me) {
            fill_with(bytes_of(record), std::byte{0});
        }
        hide(bytes_of(record));
        return true;
    }

    /// Reports a use in a forked child, which has no slots.
    void report_child(const slot_record& record, slot_life life, const call_site& site) noexcept {
        report({misuse::foreign, record, history_of(record).sites_of(life), site,
                "used in a forked child, to which the pool does not belong"});
    }

private:
    static constexpr std::size_t no_place = SIZE_MAX;

    struct part {
        std::size_t margin = 0;
        unique_object<slot_history[]> histories;
    };

    /// What is to be said.
    struct finding {
        misuse what;
        const slot_record& record;
        life_sites sites;  ///< of the life that the misuse concerns
        const call_site& found;
        const char* words;
        std::size_t place = no_place;  ///< of the first byte
    };

    [[nodiscard]] slot_history& history_of(const slot_record& record) noexcept {
        return classes_[to_number(record.size_class)].histories[to_number(record.slot)];
    }
    [[nodiscard]] static std::span<std::byte> bytes_of(const slot_record& record) noexcept {
        return {record.data, record.bytes};
    }
    [[nodiscard]] std::span<std::byte> margin_of(const slot_record& record) const noexcept {
        return {record.data + record.bytes, classes_[to_number(record.size_class)].margin};
    }
    static void hide(std::span<std::byte> bytes) noexcept {
        forbid_access(bytes.data(), bytes.size());
    }

    /// Looks at what lies behind a slot, and puts it right.
    void check_margin(const slot_record& record, const life_sites& sites,
                      const call_site& site) noexcept {
        if (!has_canaries_) {
            return;
        }
        const std::span<std::byte> margin = margin_of(record);
        allow_access(margin.data(), margin.size());
        if (const std::size_t at = first_other(margin, canary_byte); at != margin.size()) {
            report({misuse::written_outside, record, sites, site, "written behind its end", at});
            fill_with(margin, canary_byte);
        }
        hide(margin);
    }

    void report_handle(const slot_record& record, slot_life life, misuse what,
                       const call_site& site) noexcept {
        const slot_history& history = history_of(record);
        if (history.is_foreign(life)) {
            report({misuse::foreign, record, {}, site, "used with a handle of another pool"});
            return;
        }
        report({what, record, history.sites_of(life), site,
                what == misuse::released_twice ? "released by a handle that had released it"
                                               : "used by a handle that had released it"});
    }

    void report(const finding& about) noexcept {
        misuse_report made;
        made.what = about.what;
        made.slot_bytes = about.record.bytes;
        made.slot = to_number(about.record.slot);
        made.acquired = about.sites.acquired;
        made.released = about.sites.released;
        made.found = about.found;
        char place[40] = "";
        char acquired[400];
        char released[400];
        char found[400];
        if (about.place != no_place) {
            std::snprintf(place, sizeof place, ", first at byte %zu", about.place);
        }
        made.acquired.print(acquired, sizeof acquired);
        made.released.print(released, sizeof released);
        made.found.print(found, sizeof found);
        std::snprintf(made.text, sizeof made.text,
                      "zcpool: misuse: slot %u of %zu bytes: %s%s\n  acquired at %s\n"
                      "  released at %s\n  found now at %s\n",
                      made.slot, made.slot_bytes, about.words, place, acquired, released, found);
        handler_(made);
    }

    bool has_canaries_ = false;
    misuse_handler handler_ = abort_on_misuse;
    std::array<part, max_classes> classes_;
};

}  // namespace zcpool
