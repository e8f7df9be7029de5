// SPDX-License-Identifier: MIT
#include <calibrate/advice.hpp>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <zcpool/sink/automatic.hpp>
#include <zcpool/sink/lending.hpp>
#include <zcpool/sink/zerocopy.hpp>

namespace calibrate {
namespace {

// Two equal ways that come further apart than this decide nothing.
constexpr double noise_limit = 0.15;

std::string size_in_words(std::size_t bytes) {
    return bytes >> 20 != 0 ? fmt::format("{} MiB", bytes >> 20)
                            : fmt::format("{} KiB", bytes >> 10);
}

std::string cell_of(const row& measured, way which) {
    const rounds& mine = measured[which];
    if (mine.count() < rounds::enough) {
        return "-";
    }
    const char* mark = "";
    switch (mine.compare(measured[way::write])) {
        case verdict::cheaper: mark = "<"; break;
        case verdict::dearer: mark = ">"; break;
        case verdict::equal: mark = "="; break;
        case verdict::undecided: mark = "~"; break;
        case verdict::not_measured: break;
    }
    return fmt::format("{:.2f}{}", mine.ratio().median, which == way::write ? "" : mark);
}

const char* suffix_of(path over) noexcept {
    return over == path::loopback ? "loopback" : over == path::unix_socket ? "unix" : "remote";
}

/// "16384", what stands for never, or what the library has by itself where nothing was decided.
std::string limit_text(const break_even& at, std::size_t otherwise) {
    return at.from         ? fmt::format("{}", *at.from)
           : at.is_certain ? "SIZE_MAX"
                           : fmt::format("{}", otherwise);
}

/// One definition after the other.
class definitions {
public:
    explicit definitions(path over) : suffix_(suffix_of(over)) {}

    /// `members`: "copy_below = 16384".
    void add(const char* type, const char* name, const std::string& members, bool is_certain,
             const std::string& remark = {}) {
        if (!remark.empty()) {
            text_ += fmt::format("// {}\n", remark);
        }
        if (!is_certain) {
            text_ +=
                "// Undecided at a size that matters: measure again when the machine is idle.\n";
        }
        text_ += fmt::format("inline const zcpool::sink::{} {}_{}{{{}}};\n", type, name, suffix_,
                             members);
    }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    std::string suffix_;
    std::string text_;
};

/// How often a slot is copied before it is lent: until what copying costs more than lending comes
/// to what new pages cost, at that of the sizes from which lending pays where it takes longest.
std::uint32_t copies_first(const path_costs& costs, way lending, const break_even& pays) {
    std::uint32_t most = 0;
    for (const row& each : costs.rows) {
        if (pays.from && each.bytes >= *pays.from) {
            most = std::max(most, sends_that_pay(each, lending));
        }
    }
    return most != 0 ? most : zcpool::sink::automatic_options{}.lend_after;
}

}  // namespace

break_even break_even_of(const path_costs& costs, way which) {
    break_even found;
    for (auto each = costs.rows.rbegin(); each != costs.rows.rend(); ++each) {
        const verdict said = (*each)[which].compare((*each)[way::write]);
        if (said != verdict::cheaper) {
            found.is_certain = said == verdict::dearer || said == verdict::equal;
            break;
        }
        found.from = each->bytes;
    }
    return found;
}

std::uint32_t sends_that_pay(const row& measured, way lending) {
    const rounds& fresh = measured[way::fresh];
    const rounds& by_sendfile = measured[way::sendfile];
    const rounds& mine = measured[lending];
    if (std::min({fresh.count(), by_sendfile.count(), mine.count()}) < rounds::enough) {
        return 0;
    }
    // Filling is in both, and what is left when sending has been taken away as well is renewal.
    const double filling = fresh.baseline() - by_sendfile.baseline();
    const double renewing = fresh.subject() - filling - by_sendfile.subject();
    const double saved = mine.baseline() - mine.subject();
    return saved > 0 ? static_cast<std::uint32_t>(std::max(1.0, std::ceil(renewing / saved))) : 0;
}

bool is_noisy(const path_costs& costs) {
    return std::any_of(costs.rows.begin(), costs.rows.end(), [](const row& each) {
        if (each[way::write].count() < rounds::enough) {
            return true;
        }
        const quartiles equal = each[way::write].ratio();
        return equal.low < 1 - noise_limit || equal.high > 1 + noise_limit;
    });
}

std::string table_of(const path_costs& costs) {
    std::string text =
        fmt::format("{}{}{}\n", costs.name, costs.congestion_control.empty() ? "" : ", ",
                    costs.congestion_control);
    text += fmt::format("{:<9}{:>12}", "size", "write ns/B");
    for (std::size_t i = 0; i < way_count; ++i) {
        text += fmt::format("{:>{}}", name_of(static_cast<way>(i)), i + 1 == way_count ? 16 : 12);
    }
    text += fmt::format("{:>16}\n", "pays after");
    for (const row& each : costs.rows) {
        const rounds& copying = each[way::write];
        text += fmt::format(
            "{:<9}{:>12}", size_in_words(each.bytes),
            copying.count() < rounds::enough ? "-" : fmt::format("{:.3f}", copying.baseline()));
        for (std::size_t i = 0; i < way_count; ++i) {
            text += fmt::format("{:>{}}", cell_of(each, static_cast<way>(i)),
                                i + 1 == way_count ? 16 : 12);
        }
        const std::uint32_t sends = sends_that_pay(each, way::sendfile);
        text += fmt::format("{:>16}\n", sends == 0 ? "-" : fmt::format("{}", sends));
    }
    if (costs.over != path::unix_socket && !costs.uring_refusal.empty()) {
        text += fmt::format("No uring: {}.\n", costs.uring_refusal);
    }
    if (costs.was_copied) {
        text +=
            "What zerocopy and uring sent by reference, the kernel copied after all on this "
            "path.\n";
    }
    if (is_noisy(costs)) {
        text += fmt::format(
            "This machine was too noisy to decide: two equal ways came more than "
            "{:.0f} % apart, or too few\nrounds were made. Let it rest, or give "
            "--seconds more.\n",
            noise_limit * 100);
    }
    return text;
}

std::string options_of(const path_costs& costs) {
    const bool is_quiet = !is_noisy(costs);
    const break_even by_vmsplice = break_even_of(costs, way::vmsplice);
    const break_even by_splice = break_even_of(costs, way::splice);
    const break_even by_sendfile = break_even_of(costs, way::sendfile);
    definitions all{costs.over};
    const auto lending = [&](way which, const break_even& pays, const char* after) {
        return fmt::format(".copy_below = {}, .{} = {}",
                           limit_text(pays, zcpool::sink::lending_options{}.copy_below), after,
                           copies_first(costs, which, pays));
    };
    std::string members = lending(way::vmsplice, by_vmsplice, "lend_after");
    std::string remark;
    // A path that copies says nothing of others, and sink::automatic learns by itself that it does.
    const break_even by_reference = break_even_of(costs, way::zerocopy);
    const bool refers = costs.over == path::remote && !costs.was_copied;
    if (refers) {
        members +=
            fmt::format(", .refer_from = {}",
                        limit_text(by_reference, zcpool::sink::automatic_options{}.refer_from));
    } else {
        remark = "refer_from stays as it is: this path copies what is sent by reference.";
    }
    all.add("automatic_options", "automatic", members,
            is_quiet && by_vmsplice.is_certain && (!refers || by_reference.is_certain), remark);
    all.add("lending_options", "sendfile", lending(way::sendfile, by_sendfile, "copies_first"),
            is_quiet && by_sendfile.is_certain);
    all.add("pipe_options", "splice", lending(way::splice, by_splice, "copies_first"),
            is_quiet && by_splice.is_certain);
    all.add("pipe_options", "vmsplice", lending(way::vmsplice, by_vmsplice, "copies_first"),
            is_quiet && by_vmsplice.is_certain);
    if (refers) {
        all.add("zerocopy_options", "zerocopy",
                fmt::format(".copy_below = {}",
                            limit_text(by_reference, zcpool::sink::zerocopy_options{}.copy_below)),
                is_quiet && by_reference.is_certain);
    }
    return all.text();
}

}  // namespace calibrate
