// SPDX-License-Identifier: MIT
// Real kills at random moments, of workers and of those who recover what they had.
#include "workers.hpp"

namespace {

using namespace zcpool_test;
using zcpool::ipc::reaper;

using one_class = zcpool::pool<zcpool::size_classes<4_KiB>>;
using two_classes = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                 zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;

template <class Pool>
void kill_workers(const zcpool::pool_options& options, std::size_t most_held, long kills) {
    const auto pool = make_pool<Pool>(options);
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::vector<worker> workers;
    for (unsigned i = 0; i < 3; ++i) {
        workers.emplace_back(files, most_held, random(), i, tally);
    }
    reaper reap{pool};
    std::uint32_t taken_back = 0;
    for (long n = 0; n < kills; ++n) {
        pause(random, 2'000);
        const auto which = static_cast<unsigned>(random() % workers.size());
        workers[which].kill();
        const auto report = reap.reap();
        REQUIRE(report.has_value());
        taken_back += report->recovered.slots.freed + report->recovered.slots.resting;
        workers[which] = worker{files, most_held, random(), which, tally};
    }
    workers.clear();
    REQUIRE(reap.reap().has_value());
    REQUIRE(reap.reap().has_value());
    CHECK(taken_back > 0);
    CHECK(tally.ready.load() > 0);
    CHECK(tally.mismatches.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    CHECK(tally.refused.load() == 0);
    CHECK(places_taken(pool) == 1);
    CHECK(slots_in_use(pool) == 0);
    check_all_there(pool);
}

TEST_CASE("kills: three workers on 256 slots, one killed at a time", "[kills]") {
    kill_workers<one_class>({.slots = {256}}, 20, scaled(7'000));
}

TEST_CASE("kills: slots that are lent, renewed and trimmed", "[kills]") {
    auto options = lending_options(64, 16);
    kill_workers<two_classes>(options, 8, scaled(750));
}

TEST_CASE("kills: workers that wait for each other's slots", "[kills]") {
    kill_workers<one_class>({.slots = {4}}, 2, scaled(1'000));
}

TEST_CASE("kills: those who recover are killed too", "[kills]") {
    const auto pool = make_pool<one_class>({.slots = {256}});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::vector<worker> workers;
    for (unsigned i = 0; i < 3; ++i) {
        workers.emplace_back(files, 20, random(), i, tally);
    }
    reaper last{pool};
    for (long n = scaled(500); n > 0; --n) {
        child recoverer{[&] {
            const auto attached = attach_in_child(files, tally);
            reaper reap{attached};
            for (;;) {
                static_cast<void>(reap.reap());
            }
            return 0;
        }};
        pause(random, 1'000);
        const auto which = static_cast<unsigned>(random() % workers.size());
        workers[which].kill();
        pause(random, 1'000);
        ::kill(recoverer.pid(), SIGKILL);
        static_cast<void>(recoverer.status());
        workers[which] = worker{files, 20, random(), which, tally};
        if (n % 5 == 0) {
            REQUIRE(last.reap().has_value());
        }
    }
    workers.clear();
    REQUIRE(last.reap().has_value());
    REQUIRE(last.reap().has_value());
    CHECK(tally.mismatches.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    CHECK(tally.refused.load() == 0);
    CHECK(places_taken(pool) == 1);
    check_all_there(pool);
}

}  // namespace
