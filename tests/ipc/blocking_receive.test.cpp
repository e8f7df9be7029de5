// SPDX-License-Identifier: MIT
#include <chrono>
#include <utility>
#include <vector>

#include <support/pools.hpp>
#include <zcpool/ipc/blocking_receive.hpp>

namespace {

using namespace zcpool_test;
using namespace std::chrono_literals;
using zcpool::errc;
using zcpool::slice;
using zcpool::ipc::receive_until;
using zcpool::sys::clock;

/// An end that does what a test says.
struct scripted {
    slice try_receive() noexcept {
        ++tries;
        return tries > empty_tries ? std::move(what) : slice{};
    }
    std::error_code ended() const noexcept { return why; }
    bool has_news() noexcept { return news; }
    bool wait(clock::time_point) noexcept {
        ++waits;
        return !gone;
    }
    slice what = slice::adopt(std::vector<std::byte>(3)).value();
    int empty_tries = 0;
    std::error_code why;
    bool news = false;
    bool gone = false;
    int tries = 0;
    int waits = 0;
};
static_assert(zcpool::ipc::slice_source<scripted>);
static_assert(!zcpool::ipc::slice_source<slice>);

TEST_CASE("blocking_receive: what is there is had without a wait", "[ipc]") {
    scripted end;
    CHECK(receive_until(end, clock::time_point::max(), 0us)->size() == 3);
    CHECK(end.tries == 1);
    CHECK(end.waits == 0);
}

TEST_CASE("blocking_receive: sleeps as often as it must", "[ipc]") {
    scripted end;
    end.empty_tries = 5;
    CHECK(receive_until(end, clock::time_point::max(), 0us).has_value());
    CHECK(end.waits > 0);
    CHECK(end.tries == 6);
}

TEST_CASE("blocking_receive: spins as long as there is news, and as it was told", "[ipc]") {
    scripted end;
    end.empty_tries = 5;
    end.news = GENERATE(false, true);
    CHECK(receive_until(end, clock::time_point::max(), 10s).has_value());
    CHECK(end.waits == 0);
}

TEST_CASE("blocking_receive: every end has its reason", "[ipc]") {
    scripted end;
    end.empty_tries = 1'000'000'000;
    CHECK(receive_until(end, clock::now(), 0us).error() == errc::timed_out);
    end.gone = true;
    CHECK(receive_until(end, clock::time_point::max(), 0us).error() == errc::peer_gone);
    end.why = errc::corrupt;
    CHECK(receive_until(end, clock::time_point::max(), 0us).error() == errc::corrupt);
}

TEST_CASE("blocking_receive: news that is not to be had does not keep it from the clock", "[ipc]") {
    scripted end;
    end.empty_tries = 1'000'000'000;
    end.news = true;
    CHECK(receive_until(end, clock::now() + 1ms, 0us).error() == errc::timed_out);
}

TEST_CASE("blocking_receive: what was sent before the other end went is had", "[ipc]") {
    scripted end;
    end.empty_tries = 1;
    end.gone = true;
    CHECK(receive_until(end, clock::time_point::max(), 0us).has_value());
}

}  // namespace
