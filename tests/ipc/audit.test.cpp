// SPDX-License-Identifier: MIT
#include <support/child.hpp>
#include <support/pools.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/audit.hpp>

namespace {

using namespace zcpool_test;
using zcpool::process_state;
using zcpool::ipc::attached_pool;
using zcpool::sys::unique_fd;

TEST_CASE("audit: says what each process has of each class", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 2}});
    CHECK(zcpool::ipc::audit(pool).processes[0].state == process_state::free);
    const auto files = pool.share().value();
    const auto other =
        attached_pool::attach(unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)});
    REQUIRE(other.has_value());
    const zcpool::buffer mine = pool.try_acquire(64_KiB);
    const zcpool::buffer theirs = other->view().try_acquire(1);
    const zcpool::buffer more = other->view().try_acquire(1);

    for (const zcpool::pool_view view : {zcpool::pool_view{pool}, other->view()}) {
        const auto found = zcpool::ipc::audit(view);
        CHECK(found.class_count == 2);
        CHECK(found.classes[0].free == 2);
        CHECK(found.classes[0].of_process[1].owned == 2);
        CHECK(found.classes[1].free == 1);
        CHECK(found.classes[1].of_process[0].owned == 1);
        CHECK(found.processes[0].state == process_state::live);
        CHECK(found.processes[1].state == process_state::live);
        CHECK(found.processes[1].who.pid == static_cast<std::uint32_t>(::getpid()));
        CHECK(found.processes[2].state == process_state::free);
    }
    // One that is not this process.
    REQUIRE(zcpool::pool_sharing::registry(zcpool::pool_sharing::core_of(pool)).join({4'711, 1}));
    CHECK(zcpool::ipc::audit(pool).processes[2].who.pid == 4'711);
    // A forked child sees nothing of it.
    CHECK(status_of([&] { return static_cast<int>(zcpool::ipc::audit(pool).class_count); }) == 0);
}

}  // namespace
