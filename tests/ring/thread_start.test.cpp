// SPDX-License-Identifier: MIT
#include <set>
#include <thread>

#include <support/catch.hpp>
#include <zcpool/ring/thread_start.hpp>

namespace {

using namespace zcpool;

TEST_CASE("thread_start: each thread has a number of its own, and keeps it", "[ring]") {
    std::set<std::uint32_t> starts{thread_start()};
    CHECK(thread_start() == *starts.begin());
    for (int i = 0; i < 3; ++i) {
        std::thread{[&] {
            starts.insert(thread_start());
            starts.insert(thread_start());
        }}.join();
    }
    CHECK(starts.size() == 4);
}

}  // namespace
