// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>
#include <vector>

#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/sockets.hpp>
#include <zcpool/source/read.hpp>
#include <zcpool/source/source.hpp>

namespace {

using namespace zcpool_test;
namespace source = zcpool::source;

struct not_a_source {
    source::state pull() noexcept { return source::state::ended; }
};
static_assert(zcpool::chain_source<source::read>);
static_assert(!zcpool::chain_source<not_a_source>);
static_assert(!zcpool::chain_source<int>);

TEST_CASE("source: what had come is still to be taken when it has ended or failed", "[source]") {
    const auto pool = make_pool({.slots = {4, 4}});
    for (const bool fails : {false, true}) {
        connection link = unix_pair();
        source::read in{link.ours.get(), pool};
        const auto sent = pattern(100, 1);
        REQUIRE(::write(link.peer.get(), sent.data(), sent.size()) == 100);
        REQUIRE(in.pull() == source::state::data);
        {
            faults broken;
            if (fails) {
                broken.fail_call(0, ECONNRESET);
            } else {
                link.peer.reset();
            }
            CHECK(in.pull() == (fails ? source::state::failed : source::state::ended));
        }
        CHECK(in.error() == std::error_code{fails ? ECONNRESET : 0, std::system_category()});
        CHECK(in.interest() == source::interest::none);
        CHECK(in.available() == 100);
        CHECK(flatten(in.take()) == sent);
        const auto calls = in.stats().calls;
        CHECK(in.pull() == (fails ? source::state::failed : source::state::ended));
        CHECK(in.stats().calls == calls);  // there is nothing to ask any more
    }
    CHECK(slots_in_use(pool) == 0);
}

}  // namespace
