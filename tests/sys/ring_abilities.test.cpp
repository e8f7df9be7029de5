// SPDX-License-Identifier: MIT
#include <cerrno>
#include <system_error>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/sys/ring_abilities.hpp>

namespace {

using namespace zcpool;
using sys::ask_io_uring;
using zcpool_test::faults;
using zcpool_test::system_error;

TEST_CASE("ring_abilities: a refused ring says why, and has no operations", "[sys]") {
    const zcpool_test::held before;
    for (const int error : {EPERM, ENOSYS, ENOMEM}) {
        faults broken;
        faults::refuse_rings(error);
        const auto found = ask_io_uring();
        CHECK(found.refusal == system_error(error));
        CHECK_FALSE(found.waits_for_its_thread);
        CHECK(found.operations.none());
    }
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("ring_abilities: the kernel's operations are seen, and nothing is left open", "[sys]") {
    const zcpool_test::held before;
    const auto found = ask_io_uring();
    if (found.refusal) {
        SKIP("io_uring is forbidden here");
    }
    CHECK_FALSE(found.probe_refusal);
    CHECK(found.operations.test(0));          // NOP
    CHECK(found.operations.test(9));          // SENDMSG
    CHECK_FALSE(found.operations.test(255));  // none yet
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("ring_abilities: an older kernel gives a ring without settings", "[sys]") {
    if (ask_io_uring().refusal) {
        SKIP("io_uring is forbidden here");
    }
    faults old;
    faults::forget_ring_settings();
    const auto found = ask_io_uring();
    CHECK_FALSE(found.refusal);
    CHECK_FALSE(found.waits_for_its_thread);
    CHECK(found.operations.any());
}

TEST_CASE("ring_abilities: operations that cannot be asked for are not known", "[sys]") {
    if (ask_io_uring().refusal) {
        SKIP("io_uring is forbidden here");
    }
    const zcpool_test::held before;
    faults broken;
    broken.fail_call(1, EINVAL);
    const auto found = ask_io_uring();
    CHECK_FALSE(found.refusal);
    CHECK(found.probe_refusal == system_error(EINVAL));
    CHECK(found.operations.none());
    CHECK(before == zcpool_test::held{});
}

}  // namespace
