// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include <support/catch.hpp>
#include <support/errors.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/sys/transport_findings.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::system_error;
using zcpool_test::system_tree;

bool has(const short_text<256>& text, std::string_view part) {
    return text.view().find(part) != std::string_view::npos;
}

sys::ring_abilities refused_with(int error) { return {.refusal = system_error(error)}; }

sys::ring_abilities working_ring() {
    sys::ring_abilities ring;
    ring.waits_for_its_thread = true;
    ring.operations.set();
    return ring;
}

TEST_CASE("transport_findings: a ring that works is ok, and without DEFER_TASKRUN less", "[sys]") {
    const system_tree tree;
    sys::ring_abilities ring = working_ring();
    finding about = sys::look_at_io_uring(tree.root(), ring);
    CHECK(about.what == feature::io_uring);
    CHECK(about.status == finding_status::ok);
    CHECK(about.remedy.empty());
    ring.waits_for_its_thread = false;
    about = sys::look_at_io_uring(tree.root(), ring);
    CHECK(about.status == finding_status::degraded);
    CHECK(has(about.remedy, "6.1"));
}

TEST_CASE("transport_findings: a ring that is refused names who forbids it", "[sys]") {
    const system_tree tree;
    const auto look = [&](int error) {
        const finding about = sys::look_at_io_uring(tree.root(), refused_with(error));
        CHECK(about.status == finding_status::missing);
        CHECK_FALSE(std::string_view{about.without}.empty());
        return about;
    };
    CHECK(has(look(EPERM).found, "seccomp"));
    CHECK(has(look(EPERM).remedy, "io_uring_setup"));
    CHECK(has(look(ENOSYS).remedy, "CONFIG_IO_URING"));
    CHECK(has(look(ENOMEM).found, "RLIMIT_MEMLOCK"));
    CHECK(has(look(ENOMEM).remedy, "ulimit -l"));
    tree.set("/proc/sys/kernel/io_uring_disabled", "0");
    CHECK(has(look(EPERM).found, "seccomp"));
    tree.set("/proc/sys/kernel/io_uring_disabled", "1");
    CHECK(has(look(EPERM).found, "kernel.io_uring_disabled is 1"));
    CHECK(has(look(EPERM).remedy, "io_uring_group"));
    tree.set("/proc/sys/kernel/io_uring_disabled", "2");
    CHECK(look(EPERM).remedy.view() == "as root: sysctl -w kernel.io_uring_disabled=0");
}

TEST_CASE("transport_findings: operations that the kernel lacks are named", "[sys]") {
    sys::ring_abilities ring = working_ring();
    CHECK(sys::look_at_ring_operations(ring).status == finding_status::ok);
    ring.operations.reset(48);
    finding about = sys::look_at_ring_operations(ring);
    CHECK(about.what == feature::io_uring_operations);
    CHECK(about.status == finding_status::degraded);
    CHECK(about.found.view() == "missing SENDMSG_ZC");
    ring.operations.reset(27);
    about = sys::look_at_ring_operations(ring);
    CHECK(about.status == finding_status::missing);
    CHECK(about.found.view() == "missing RECV, SENDMSG_ZC");
    ring.operations.set(27).reset(47);
    about = sys::look_at_ring_operations(ring);
    CHECK(about.status == finding_status::degraded);
    CHECK(about.found.view() == "missing SEND_ZC, SENDMSG_ZC");
    CHECK(has(about.remedy, "6.1"));
    about = sys::look_at_ring_operations(refused_with(EPERM));
    CHECK(about.status == finding_status::missing);
    ring.probe_refusal = system_error(EINVAL);
    CHECK(sys::look_at_ring_operations(ring).status == finding_status::unknown);
}

TEST_CASE("transport_findings: sends by reference are asked of a socket of each family", "[sys]") {
    const zcpool_test::held before;
    const finding ipv4 = sys::look_at_zerocopy(feature::zerocopy_ipv4, AF_INET);
    CHECK(ipv4.what == feature::zerocopy_ipv4);
    CHECK(ipv4.status == finding_status::ok);  // the tests need Linux 4.14
    CHECK(ipv4.remedy.empty());
    const finding local = sys::look_at_zerocopy(feature::zerocopy_unix, AF_UNIX);
    CHECK(local.status == finding_status::missing);
    CHECK(local.remedy.empty());  // no kernel has it
    faults broken;
    faults::refuse_zerocopy(ENOPROTOOPT);
    const finding old = sys::look_at_zerocopy(feature::zerocopy_ipv4, AF_INET);
    CHECK(old.status == finding_status::missing);
    CHECK(has(old.remedy, "4.14"));
    broken.fail_call(0, EAFNOSUPPORT);
    CHECK(sys::look_at_zerocopy(feature::zerocopy_ipv6, AF_INET6).status ==
          finding_status::missing);
    broken.fail_call(0, EMFILE);
    CHECK(sys::look_at_zerocopy(feature::zerocopy_ipv6, AF_INET6).status ==
          finding_status::unknown);
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("transport_findings: little room for notices is less than is wanted", "[sys]") {
    const system_tree tree;
    CHECK(sys::look_at_zerocopy_notices(tree.root()).status == finding_status::unknown);
    tree.set("/proc/sys/net/core/optmem_max", "20480");
    const finding little = sys::look_at_zerocopy_notices(tree.root());
    CHECK(little.what == feature::zerocopy_notices);
    CHECK(little.status == finding_status::degraded);
    CHECK(has(little.found, "20 KiB"));
    CHECK(has(little.remedy, "net.core.optmem_max=131072"));
    tree.set("/proc/sys/net/core/optmem_max", "131072");
    CHECK(sys::look_at_zerocopy_notices(tree.root()).status == finding_status::ok);
}

TEST_CASE("transport_findings: a pipe is tried at the size that is wanted", "[sys]") {
    const zcpool_test::held before;
    const system_tree tree;
    tree.set("/proc/sys/fs/pipe-max-size", "65536");
    tree.set("/proc/sys/fs/pipe-user-pages-soft", "0");
    CHECK(sys::look_at_pipes(tree.root(), 64_KiB).status == finding_status::ok);
    CHECK(has(sys::look_at_pipes(tree.root(), 64_KiB).found, "without limit"));
    faults small;
    faults::shorten_pipes(65536);
    finding about = sys::look_at_pipes(tree.root(), 1_MiB);
    CHECK(about.what == feature::pipes);
    CHECK(about.status == finding_status::degraded);
    CHECK(has(about.found, "64 KiB a pipe"));
    CHECK(has(about.found, "wanted: 1 MiB"));
    CHECK(has(about.remedy, "fs.pipe-max-size=1048576"));
    tree.set("/proc/sys/fs/pipe-max-size", "1048576");
    tree.set("/proc/sys/fs/pipe-user-pages-soft", "16384");
    about = sys::look_at_pipes(tree.root(), 1_MiB);
    CHECK(has(about.remedy, "fs.pipe-user-pages-soft=32768"));
    faults::fail_pipes(EMFILE);
    CHECK(sys::look_at_pipes(tree.root(), 1_MiB).status == finding_status::missing);
    CHECK(before == zcpool_test::held{});
}

}  // namespace
