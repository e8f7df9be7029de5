// SPDX-License-Identifier: MIT
// All processes of a pool are killed, again and again, in the middle of making it, handing it over
// and using it: nothing of it is left in the system.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include <support/channels.hpp>
#include <support/sockets.hpp>
#include <zcpool/ipc/handover.hpp>

#include "workers.hpp"

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;

/// Shared memory that anybody in the system has, in bytes; memfds count, also those without a
/// mapping.
std::int64_t shared_memory_bytes() {
    std::ifstream file{"/proc/meminfo"};
    std::string name;
    std::int64_t kibibytes = 0;
    while (file >> name >> kibibytes) {
        if (name == "Shmem:") {
            return kibibytes * 1024;
        }
        file.ignore(256, '\n');
    }
    return -1;
}

std::vector<std::string> named_shared_memory() {
    std::vector<std::string> names;
    for (const auto& each : std::filesystem::directory_iterator{"/dev/shm"}) {
        names.push_back(each.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// Makes a pool of some megabytes, hands it over, and sends frames until it is killed.
int own(int socket) {
    using large = zcpool::pool<zcpool::size_classes<4_KiB, 1_MiB>>;
    for (;;) {
        auto pool = large::create({.slots = {64, 4}});
        if (!pool || !zcpool::ipc::send_pool(socket, *pool)) {
            return 1;
        }
        auto out = zcpool::ipc::channel_sender::create(*pool, {.capacity = 4});
        if (!out || !zcpool::ipc::send_channel(socket, *out)) {
            return 2;
        }
        for (int n = 0; n < 200; ++n) {
            auto frame = pool->acquire_for(4_KiB, 20s);
            if (!frame) {
                return 3;
            }
            frame->commit(4_KiB);
            static_cast<void>(out->send(std::move(*frame).freeze()));
        }
        static_cast<void>(out->finish_for(20s));
    }
}

int receive(int socket) {
    for (;;) {
        const auto pool = zcpool::ipc::receive_pool(socket);
        if (!pool) {
            return 1;
        }
        auto in = zcpool::ipc::receive_channel(socket, *pool);
        while (in && in->receive()) {
        }
    }
}

TEST_CASE("leftovers: of processes that were all killed nothing stays", "[leftovers]") {
    const auto names = named_shared_memory();
    const std::int64_t before = shared_memory_bytes();
    REQUIRE(before >= 0);
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    std::int64_t most = 0;
    for (long n = scaled(250); n > 0; --n) {
        const auto pair = blocking_unix_pair();
        child owner{[&] { return own(pair.ours.get()); }};
        child partner{[&] { return receive(pair.peer.get()); }};
        pause(random, 15'000);
        most = std::max(most, shared_memory_bytes() - before);
        const bool owner_first = random() % 2 == 0;
        ::kill(owner_first ? owner.pid() : partner.pid(), SIGKILL);
        pause(random, 200);
        ::kill(owner_first ? partner.pid() : owner.pid(), SIGKILL);
        static_cast<void>(owner.status());
        static_cast<void>(partner.status());
    }
    CHECK(most > 2'000'000);  // else nothing was there to be left
    // The system takes its time with the memory of the dead.
    for (int tries = 0; tries < 100 && shared_memory_bytes() - before > 1'000'000; ++tries) {
        ::usleep(50'000);
    }
    CHECK(shared_memory_bytes() - before <= 1'000'000);
    CHECK(named_shared_memory() == names);
}

}  // namespace
