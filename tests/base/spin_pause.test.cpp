// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>

#include <support/catch.hpp>
#include <zcpool/base/spin_pause.hpp>

namespace {

TEST_CASE("spin_pause: a loop around it sees what another thread does", "[base]") {
    std::atomic<bool> done{false};
    std::thread other{[&] { done.store(true); }};
    while (!done.load()) {
        zcpool::spin_pause();
    }
    other.join();
    CHECK(done.load());
}

}  // namespace
