// SPDX-License-Identifier: MIT
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <support/catch.hpp>

#include <calibrate/advice.hpp>

namespace {

using namespace calibrate;

/// Rounds whose ratios lie `apart` around one number.
rounds made_up(double ratio, double baseline, double apart = 0.02) {
    rounds made;
    for (const double step : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
        made.add((ratio + step * apart) * baseline, baseline);
    }
    return made;
}

/// A row where write costs 0.2 ns a byte, filling 0.1, and the ways as they are given.
row row_of(std::size_t bytes, double lending, double fresh = 4.95, double noise = 0.02) {
    row made;
    made.bytes = bytes;
    const auto set = [&](way which, const rounds& measured) {
        made.ways[static_cast<std::size_t>(which)] = measured;
    };
    set(way::write, made_up(1.0, 0.2, noise));
    for (const way which : {way::sendfile, way::splice, way::vmsplice}) {
        set(which, made_up(lending, 0.2));
    }
    set(way::zerocopy, made_up(1.5, 0.2));
    set(way::fresh, made_up(fresh, 0.3));
    return made;
}

path_costs costs_of(std::vector<row> rows, path over = path::loopback) {
    path_costs made;
    made.over = over;
    made.name = "a path";
    made.rows = std::move(rows);
    return made;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("calibrate: quartiles lie between the numbers, in any order") {
    const quartiles some = quartiles_of({5, 1, 3, 2, 4});
    CHECK(some.low == 2);
    CHECK(some.median == 3);
    CHECK(some.high == 4);
    const quartiles two = quartiles_of({2, 1});
    CHECK(two.low == 1.25);
    CHECK(two.median == 1.5);
    CHECK(two.high == 1.75);
    CHECK(quartiles_of({7}).high == 7);
}

TEST_CASE("calibrate: a way is cheaper or dearer beyond what two equal ones came apart") {
    const rounds quiet = made_up(1.0, 1.0, 0.02);
    const rounds loud = made_up(1.0, 1.0, 0.4);
    CHECK(made_up(0.5, 1.0).compare(quiet) == verdict::cheaper);
    CHECK(made_up(1.5, 1.0).compare(quiet) == verdict::dearer);
    CHECK(made_up(1.0, 1.0).compare(quiet) == verdict::equal);
    CHECK(made_up(0.9, 1.0).compare(loud) == verdict::undecided);
    CHECK(made_up(1.1, 1.0).compare(loud) == verdict::undecided);
    CHECK(made_up(0.5, 1.0).compare(loud) == verdict::cheaper);
    CHECK(made_up(0.9, 1.0, 0.5).compare(quiet) == verdict::undecided);
    rounds few;
    few.add(1, 2);
    few.add(1, 2);
    CHECK(few.compare(quiet) == verdict::not_measured);
    CHECK(quiet.compare(few) == verdict::not_measured);
}

TEST_CASE("calibrate: a way pays from where it is cheaper at every larger size") {
    const auto rows = {row_of(4096, 0.5), row_of(16384, 1.5), row_of(65536, 0.5),
                       row_of(262144, 0.4)};
    const break_even found = break_even_of(costs_of(rows), way::sendfile);
    CHECK(found.from == 65536);
    CHECK(found.is_certain);
    const break_even never = break_even_of(costs_of(rows), way::zerocopy);
    CHECK_FALSE(never.from.has_value());
    CHECK(never.is_certain);
    CHECK_FALSE(break_even_of(costs_of(rows), way::uring).is_certain);  // not measured
    CHECK(break_even_of(costs_of({row_of(4096, 0.5)}), way::splice).from == 4096);
    const break_even tie =
        break_even_of(costs_of({row_of(4096, 1.0), row_of(16384, 0.5)}), way::vmsplice);
    CHECK(tie.from == 16384);
    CHECK(tie.is_certain);
    CHECK_FALSE(
        break_even_of(costs_of({row_of(4096, 0.95, 5, 0.3), row_of(16384, 0.5)}), way::vmsplice)
            .is_certain);
}

TEST_CASE("calibrate: new pages are paid for by what lending saves a send") {
    // fresh 1.485 = filling 0.1 + sendfile 0.1 + renewal 1.285, of which each send saves 0.1.
    CHECK(sends_that_pay(row_of(65536, 0.5), way::sendfile) == 13);
    CHECK(sends_that_pay(row_of(65536, 0.75), way::sendfile) == 25);  // 1.235 / 0.05
    CHECK(sends_that_pay(row_of(65536, 0.5, 0.5), way::sendfile) == 1);
    CHECK(sends_that_pay(row_of(65536, 1.2), way::sendfile) == 0);
    CHECK(sends_that_pay(row{}, way::sendfile) == 0);
    CHECK(sends_that_pay(row_of(65536, 0.5), way::uring) == 0);
}

TEST_CASE("calibrate: options have the break-even size, and the most sends that it takes") {
    const std::string text =
        options_of(costs_of({row_of(4096, 1.5), row_of(16384, 0.75), row_of(65536, 0.5)}));
    CHECK(has(text, "lending_options sendfile_loopback{.copy_below = 16384, .copies_first = 25};"));
    CHECK(
        has(text, "automatic_options automatic_loopback{.copy_below = 16384, .lend_after = 25};"));
    CHECK(has(text, "pipe_options splice_loopback{"));
    CHECK(has(text, "pipe_options vmsplice_loopback{"));
    CHECK(has(text, "refer_from stays"));
    CHECK_FALSE(has(text, "Undecided"));
    CHECK(has(options_of(costs_of({row_of(4096, 1.5)})), "{.copy_below = SIZE_MAX, "));
    // What was not measured stays as the library has it.
    CHECK(has(options_of(costs_of({row{}})),
              "automatic_loopback{.copy_below = 16384, .lend_after = 16};"));
    // What a smaller size would take is of no account where it is copied.
    CHECK(has(options_of(costs_of({row_of(4096, 0.9), row_of(16384, 1.5), row_of(65536, 0.5)})),
              "sendfile_loopback{.copy_below = 65536, .copies_first = 13};"));
}

TEST_CASE("calibrate: only a path that does not copy says from where on to refer") {
    std::vector<row> rows{row_of(4096, 1.5), row_of(16384, 0.5)};
    for (row& each : rows) {
        each.ways[static_cast<std::size_t>(way::zerocopy)] = made_up(0.5, 0.2);
    }
    path_costs costs = costs_of(rows, path::remote);
    CHECK(has(options_of(costs), ".refer_from = 4096};"));
    CHECK(has(options_of(costs), "zerocopy_options zerocopy_remote{.copy_below = 4096};"));
    CHECK_FALSE(has(options_of(costs), "refer_from stays"));
    costs.was_copied = true;
    CHECK_FALSE(has(options_of(costs), ".refer_from"));
    CHECK(has(options_of(costs), "refer_from stays"));
    CHECK(has(table_of(costs), "copied after all"));
}

TEST_CASE("calibrate: noise is said in the table and beside each option") {
    const path_costs quiet = costs_of({row_of(4096, 0.5)});
    CHECK_FALSE(is_noisy(quiet));
    CHECK_FALSE(has(table_of(quiet), "too noisy"));
    const path_costs loud = costs_of({row_of(4096, 0.5), row_of(16384, 0.5, 5, 0.5)});
    CHECK(is_noisy(loud));
    CHECK(has(table_of(loud), "too noisy to decide"));
    CHECK(has(options_of(loud), "// Undecided"));
    CHECK(is_noisy(costs_of({row{}})));
}

TEST_CASE("calibrate: a table has a line a size, with a mark behind each ratio") {
    path_costs costs = costs_of({row_of(4096, 1.5), row_of(1 << 20, 0.5)});
    costs.uring_refusal = "forbidden";
    const std::string text = table_of(costs);
    CHECK(has(text, "\n4 KiB "));
    CHECK(has(text, "\n1 MiB "));
    CHECK(has(text, " 1.50> "));
    CHECK(has(text, " 0.50< "));
    CHECK(has(text, "No uring: forbidden."));
    costs.over = path::unix_socket;
    CHECK_FALSE(has(table_of(costs), "No uring"));
}

}  // namespace
