// SPDX-License-Identifier: MIT
// A pool that lives long, while the processes that use it die: nothing adds up. Half a minute in
// ctest; ZCPOOL_TEST_SCALE=10 is five.
#include <chrono>
#include <fstream>
#include <string>

#include <support/channels.hpp>
#include <support/resources.hpp>
#include <support/scale.hpp>
#include <support/sockets.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;

using two_classes = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>,
                                 zcpool::pool_policy{.spill = zcpool::spill_policy::next_class}>;

/// Bytes of this process that are in memory and are its own.
std::int64_t own_memory() {
    std::ifstream file{"/proc/self/status"};
    std::string name;
    while (file >> name) {
        if (name == "RssAnon:") {
            std::int64_t kibibytes = 0;
            file >> kibibytes;
            return kibibytes * 1024;
        }
        file.ignore(256, '\n');
    }
    return -1;
}

/// Sends slices of all sizes until it is killed.
int send(int socket, const zcpool::pool_descriptors& files, std::uint64_t seed, tally_page& tally) {
    const auto attached = attach_in_child(files, tally);
    const zcpool::pool_view pool = attached;
    std::mt19937_64 random{seed};
    auto out = zcpool::ipc::channel_sender::create(attached, {.capacity = 8});
    if (!out || !zcpool::ipc::send_channel(socket, *out)) {
        return 1;
    }
    for (;;) {
        auto frame = pool.acquire_for(pool.slot_bytes(random() % pool.class_count()), 20s);
        if (!frame) {
            tally.timeouts.fetch_add(1);
            continue;
        }
        frame->commit(1 + random() % frame->capacity());
        if (!out->send(std::move(*frame).freeze())) {
            return 2;
        }
    }
}

TEST_CASE("soak: with deaths all the time nothing adds up", "[soak]") {
    auto options = lending_options(64, 16);
    const auto pool = make_pool<two_classes>(options);
    const auto files = pool.share().value();
    tally_page& tally = tally_page::make();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    zcpool::ipc::reaper reap{pool};
    std::vector<worker> workers;
    for (unsigned i = 0; i < 2; ++i) {
        workers.emplace_back(files, 6, random(), i, tally);
    }
    const long rounds = scaled(300);  // of about 100 ms
    std::int64_t memory = 0;
    held before;
    std::uint64_t received = 0;
    for (long n = 0; n < rounds; ++n) {
        if (n == rounds / 4) {
            // What is made once has been made.
            memory = own_memory();
            before = held{};
        }
        {
            const auto pair = blocking_unix_pair();
            child sender{[&] { return send(pair.peer.get(), files, random() + 1, tally); }};
            static_cast<void>(random());
            auto in = zcpool::ipc::receive_channel(pair.ours.get(), pool);
            REQUIRE(in.has_value());
            const auto end = std::chrono::steady_clock::now() + 80ms;
            while (std::chrono::steady_clock::now() < end) {
                received += in->receive_for(10ms) ? 1U : 0U;
            }
            ::kill(sender.pid(), SIGKILL);
            static_cast<void>(sender.status());
        }
        const auto which = static_cast<unsigned>(random() % workers.size());
        workers[which].kill();
        REQUIRE(reap.reap().has_value());
        workers[which] = worker{files, 6, random(), which, tally};
    }
    CHECK(before == held{});
    // A sanitizer holds back what was freed, and has shadows of what was touched.
    if (!under_sanitizer) {
        CHECK(own_memory() - memory < 1'000'000);
    }
    workers.clear();
    REQUIRE(reap.reap().has_value());
    REQUIRE(reap.reap().has_value());
    CHECK(received > 0);
    CHECK(tally.mismatches.load() == 0);
    CHECK(tally.timeouts.load() == 0);
    CHECK(tally.refused.load() == 0);
    CHECK(places_taken(pool) == 1);
    CHECK(slots_in_use(pool) == 0);
    check_all_there(pool);
}

}  // namespace
