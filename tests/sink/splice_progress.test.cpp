// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>

#include <support/catch.hpp>
#include <support/scale.hpp>
#include <zcpool/sink/splice_progress.hpp>

namespace {

using zcpool::sink::splice_outcome;
using zcpool::sink::splice_outlook;
using zcpool::sink::splice_progress;

TEST_CASE("splice_progress: a fill and a drain that did all leave nothing", "[sink]") {
    splice_progress progress;
    const auto came = progress.take_in(100, 100);
    CHECK(came.sent == 100);
    CHECK(came.outlook == splice_outlook::goes_on);
    CHECK(progress.in_pipe() == 0);
}

TEST_CASE("splice_progress: what a broken link leaves in the pipe goes first", "[sink]") {
    splice_progress progress;
    auto came = progress.take_in(60, -ECANCELED);  // of 100
    CHECK(came.sent == 0);
    CHECK(came.outlook == splice_outlook::goes_on);
    CHECK(progress.in_pipe() == 60);
    came = progress.take_in(std::nullopt, 20);
    CHECK(came.sent == 20);
    CHECK(progress.in_pipe() == 40);
    came = progress.take_in(std::nullopt, -EAGAIN);
    CHECK(came.sent == 0);
    CHECK(came.outlook == splice_outlook::is_blocked);
    CHECK(progress.in_pipe() == 40);
    progress.drop();
    CHECK(progress.in_pipe() == 0);
}

TEST_CASE("splice_progress: says what an error is of", "[sink]") {
    splice_progress progress;
    // Nothing came into the pipe, and so the link broke.
    CHECK(progress.take_in(-EAGAIN, -ECANCELED).outlook == splice_outlook::takes_none);
    CHECK(progress.take_in(-EINTR, -ECANCELED).outlook == splice_outlook::goes_on);
    CHECK(progress.take_in(-ECANCELED, -ECANCELED).outlook == splice_outlook::goes_on);
    auto came = progress.take_in(-EIO, -ECANCELED);
    CHECK(came.outlook == splice_outlook::is_broken);
    CHECK(came.error == EIO);
    came = progress.take_in(0, -ECANCELED);  // a sealed file has no end
    CHECK(came.outlook == splice_outlook::is_broken);
    CHECK(came.error == EIO);
    CHECK(progress.in_pipe() == 0);
    // It is there, and the descriptor does not take it.
    came = progress.take_in(100, -EPIPE);
    CHECK(came.outlook == splice_outlook::is_broken);
    CHECK(came.error == EPIPE);
    CHECK(progress.in_pipe() == 100);
    CHECK(progress.take_in(std::nullopt, -EINTR).outlook == splice_outlook::goes_on);
    came = progress.take_in(std::nullopt, 0);
    CHECK(came.outlook == splice_outlook::is_broken);
    CHECK(came.error == EIO);
    CHECK(progress.in_pipe() == 100);
}

TEST_CASE("splice_progress: a drain of more than there is takes what there is", "[sink]") {
    splice_progress progress;
    CHECK(progress.take_in(100, 101).sent == 100);
    CHECK(progress.in_pipe() == 0);
}

/// A pipe whose bytes are the numbers of their places in a stream, and a kernel that does of each
/// request what it likes.
struct model {
    static constexpr std::int32_t refusals[] = {-EAGAIN, -EINTR, -ECANCELED};

    std::mt19937_64 random;
    std::deque<std::uint64_t> pipe;
    std::uint64_t read = 0;  ///< by the peer
    bool is_in_order = true;

    /// Of a request for so many bytes: all, a part, or none and why.
    std::int32_t answer(std::size_t bytes) {
        const auto dice = random() % 8;
        return dice < 4   ? static_cast<std::int32_t>(bytes)
               : dice < 6 ? static_cast<std::int32_t>(1 + random() % bytes)
                          : refusals[random() % 3];
    }
    std::int32_t fill(std::uint64_t from, std::size_t bytes) {
        const std::int32_t said = answer(bytes);
        for (std::int32_t i = 0; i < said; ++i) {
            pipe.push_back(from++);
        }
        return said;
    }
    std::int32_t drain() {
        const std::int32_t said = answer(pipe.size());
        for (std::int32_t i = 0; i < said; ++i) {
            is_in_order = is_in_order && pipe.front() == read;
            pipe.pop_front();
            ++read;
        }
        return said;
    }
};

TEST_CASE("splice_progress: whatever requests come to, the bytes stay in order", "[sink]") {
    const std::uint64_t seed = std::random_device{}();
    CAPTURE(seed);
    model kernel{std::mt19937_64{seed}, {}, 0, true};
    splice_progress progress;
    std::uint64_t sent = 0;
    for (long i = 0; i < zcpool_test::scaled(20'000); ++i) {
        std::optional<std::int32_t> filled;
        std::int32_t drained = -ECANCELED;
        if (progress.in_pipe() == 0) {
            const std::size_t wanted = 1 + kernel.random() % 20;
            filled = kernel.fill(sent, wanted);
            if (*filled == static_cast<std::int32_t>(wanted)) {
                drained = kernel.drain();
            }
        } else if (kernel.random() % 4 != 0) {  // or the poll before it was cancelled
            drained = kernel.drain();
        }
        const splice_outcome came = progress.take_in(filled, drained);
        sent += came.sent;
        REQUIRE(sent == kernel.read);
        REQUIRE(progress.in_pipe() == kernel.pipe.size());
        REQUIRE(came.outlook != splice_outlook::is_broken);
        REQUIRE((came.outlook == splice_outlook::is_blocked) ==
                (drained == -EAGAIN && progress.in_pipe() != 0));
        REQUIRE((came.outlook == splice_outlook::takes_none) == (filled == -EAGAIN));
        if (kernel.random() % 64 == 0) {  // what was in it is still in the queue
            progress.drop();
            kernel.pipe.clear();
        }
    }
    CHECK(kernel.is_in_order);
    CHECK(sent > 1'000);
}

}  // namespace
