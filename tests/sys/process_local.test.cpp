// SPDX-License-Identifier: MIT
#include <mutex>

#include <support/child.hpp>
#include <zcpool/sys/process_local.hpp>

namespace {

struct counted {
    std::mutex mutex;
    int count = 0;
};
using local = zcpool::sys::process_local<counted>;

TEST_CASE("process_local: a forked child begins with one of its own", "[sys]") {
    CHECK(&local::get() == &local::get());
    const std::lock_guard lock{local::get().mutex};
    local::get().count = 7;
    const int status = zcpool_test::status_of([] {
        // A lock that a thread of the parent holds is nobody's in the child.
        if (!local::get().mutex.try_lock() || local::get().count != 0) {
            return 1;
        }
        local::get().count = 8;
        return zcpool_test::status_of([] { return local::get().count; });
    });
    CHECK(status == 0);
    CHECK(local::get().count == 7);
}

}  // namespace
