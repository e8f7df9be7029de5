// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <cerrno>

#include <system_error>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/pipe_pool.hpp>

namespace {

using namespace zcpool_test;
using namespace zcpool::literals;
namespace sys = zcpool::sys;

TEST_CASE("pipe_pool: makes pipes of the size that was asked for", "[sys]") {
    sys::pipe_pool pipes{256_KiB};
    const auto made = pipes.take();
    REQUIRE(made.has_value());
    CHECK(made->room.bytes == 256_KiB);
    CHECK_FALSE(made->room.refusal);
    CHECK(::fcntl(made->ends.read_end.get(), F_GETPIPE_SZ) == 256 * 1024);
}

TEST_CASE("pipe_pool: what comes back goes out again", "[sys]") {
    sys::pipe_pool pipes{64_KiB};
    auto made = pipes.take().value();
    const int number = made.ends.read_end.get();
    pipes.give_back(std::move(made));
    CHECK(pipes.size() == 1);
    CHECK(pipes.take().value().ends.read_end.get() == number);
    CHECK(pipes.size() == 0);
}

TEST_CASE("pipe_pool: keeps so many and closes the others", "[sys]") {
    const held before;
    {
        sys::pipe_pool pipes{4_KiB};
        std::vector<sys::sized_pipe> taken;
        for (std::size_t i = 0; i < sys::pipe_pool::limit + 3; ++i) {
            taken.push_back(pipes.take().value());
        }
        for (auto& each : taken) {
            pipes.give_back(std::move(each));
        }
        CHECK(pipes.size() == sys::pipe_pool::limit);
        CHECK(open_descriptors() ==
              before.descriptors + 2 * static_cast<long>(sys::pipe_pool::limit));
    }
    CHECK(before == held{});
}

TEST_CASE("pipe_pool: less room than was asked for is told", "[sys]") {
    const faults broken;
    faults::shorten_pipes(300'000);
    sys::pipe_pool pipes;
    const auto made = pipes.take();
    REQUIRE(made.has_value());
    CHECK(made->room.bytes == 256_KiB);
    CHECK(made->room.refusal == system_error(EPERM));
}

TEST_CASE("pipe_pool: whichever call fails is told or done without, and leaks nothing", "[sys]") {
    const held before;
    for (long i = 0; i < 3; ++i) {
        faults broken;
        broken.fail_call(i, EMFILE);
        sys::pipe_pool pipes;
        const auto made = pipes.take();
        CHECK(made.has_value() == (i == 2));  // a size that is refused is no reason to give up
        if (i == 2) {
            CHECK(made->room.refusal == system_error(EMFILE));
            CHECK(made->room.bytes == 512_KiB);
        } else {
            CHECK(made.error() == system_error(EMFILE));
        }
    }
    CHECK(before == held{});
}

}  // namespace
