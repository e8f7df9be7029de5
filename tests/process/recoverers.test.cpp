// SPDX-License-Identifier: MIT
// Several recover at once what the same dead process had.
#include <array>
#include <memory>

#include "workers.hpp"

namespace {

using namespace zcpool_test;

using one_class = zcpool::pool<zcpool::size_classes<4_KiB>>;

TEST_CASE("recoverers: four at once, and what they leave is as if it had been one",
          "[recoverers]") {
    const auto pool = make_pool<one_class>({.slots = {64}});
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    std::vector<std::unique_ptr<child>> recoverers;
    for (int i = 0; i < 4; ++i) {
        recoverers.push_back(std::make_unique<child>([&] {
            const auto attached = attach_in_child(files, tally);
            zcpool::ipc::reaper reap{attached};
            tally.ready.fetch_add(1);
            for (;;) {
                if (!reap.reap()) {
                    tally.refused.fetch_add(1);
                }
            }
            return 0;
        }));
    }
    while (tally.ready.load() < 4) {
        ::usleep(100);
    }
    // Others are at work all the time: what is freed twice, or taken from the living, is theirs.
    std::vector<worker> others;
    for (unsigned i = 0; i < 2; ++i) {
        others.emplace_back(files, 8, i, 1 + i, tally);
    }
    while (tally.ready.load() < 6) {
        ::usleep(100);
    }
    for (long n = scaled(1'250); n > 0; --n) {
        const int status = status_of([&] {
            const auto attached = attach_in_child(files, tally);
            work(attached, 16, static_cast<std::uint64_t>(n), 0, tally, 100);
            std::array<zcpool::buffer, 64> kept;
            for (zcpool::buffer& each : kept) {
                each = attached.view().try_acquire(1);
            }
            ::kill(::getpid(), SIGKILL);
            return 0;
        });
        REQUIRE(status == -SIGKILL);
        // The first to find it dead may be in the middle of it; in the end its place is free.
        for (int tries = 0; tries < 20'000 && places_taken(pool) != 7; ++tries) {
            ::usleep(500);
        }
        REQUIRE(places_taken(pool) == 7);
        for (const worker& each : others) {
            REQUIRE(::waitpid(each.pid(), nullptr, WNOHANG) == 0);  // no assertion of theirs failed
        }
    }
    recoverers.clear();
    others.clear();
    zcpool::ipc::reaper last{pool};
    REQUIRE(last.reap().has_value());
    REQUIRE(last.reap().has_value());
    CHECK(tally.refused.load() == 0);
    CHECK(tally.mismatches.load() == 0);
    CHECK(places_taken(pool) == 1);
    check_all_there(pool);
}

}  // namespace
