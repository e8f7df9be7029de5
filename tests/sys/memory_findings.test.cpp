// SPDX-License-Identifier: MIT
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <support/system_tree.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/memory_findings.hpp>
#include <zcpool/sys/setting.hpp>

namespace {

using namespace zcpool;
using zcpool_test::faults;
using zcpool_test::system_tree;

bool has(const short_text<256>& text, std::string_view part) {
    return text.view().find(part) != std::string_view::npos;
}

/// What is not ok says what there is and what is done instead.
void check_complete(const finding& about, feature what) {
    INFO(describe(about).view());
    CHECK(about.what == what);
    CHECK_FALSE(about.found.empty());
    CHECK_FALSE(std::string_view{about.without}.empty());
    CHECK(about.remedy.empty() == (about.status == finding_status::ok));
}

TEST_CASE("memory_findings: pages of 4 KiB are wanted, others are not supported", "[sys]") {
    const finding here = sys::look_at_pages();
    check_complete(here, feature::pages);
    CHECK(here.status == finding_status::ok);
    CHECK(here.found.view() == "4 KiB");
    faults other;
    faults::pretend_page_size(65536);
    const finding large = sys::look_at_pages();
    check_complete(large, feature::pages);
    CHECK(large.status == finding_status::missing);
    CHECK(large.found.view() == "64 KiB");
}

TEST_CASE("memory_findings: pages that cannot be replaced forbid lending, or arenas", "[sys]") {
    const finding here = sys::look_at_page_replacement();
    CHECK(here.status == finding_status::ok);  // the tests need Linux 5.18
    faults old;
    faults::fail_punches(EINVAL);
    const finding no_arenas = sys::look_at_page_replacement();
    check_complete(no_arenas, feature::page_replacement);
    CHECK(no_arenas.status == finding_status::degraded);
    CHECK(has(no_arenas.remedy, "5.18"));
    faults::fail_populating(EINVAL);
    const finding none = sys::look_at_page_replacement();
    check_complete(none, feature::page_replacement);
    CHECK(none.status == finding_status::missing);
    CHECK(has(none.remedy, "5.14"));
    old.fail_call(0, ENOMEM);  // mmap
    CHECK(sys::look_at_page_replacement().status == finding_status::unknown);
}

TEST_CASE("memory_findings: transparent huge pages are as the administrator chose", "[sys]") {
    struct {
        feature what;
        finding (*look)(const char*) noexcept;
        const char* path;
        std::string_view remedy;
    } const kinds[] = {{feature::anonymous_huge_pages, sys::look_at_anonymous_huge_pages,
                        "/sys/kernel/mm/transparent_hugepage/enabled", "echo madvise > "},
                       {feature::file_huge_pages, sys::look_at_file_huge_pages,
                        "/sys/kernel/mm/transparent_hugepage/shmem_enabled", "echo advise > "}};
    for (const auto& kind : kinds) {
        const system_tree tree;
        finding about = kind.look(tree.root());
        check_complete(about, kind.what);
        CHECK(about.status == finding_status::missing);
        CHECK(has(about.remedy, "CONFIG_TRANSPARENT_HUGEPAGE"));
        for (const char* good :
             {"[always] never", "[madvise]", "never [advise]", "[within_size]"}) {
            tree.set(kind.path, good);
            about = kind.look(tree.root());
            check_complete(about, kind.what);
            CHECK(about.status == finding_status::ok);
        }
        tree.set(kind.path, "always madvise [never]");
        about = kind.look(tree.root());
        check_complete(about, kind.what);
        CHECK(about.status == finding_status::missing);
        CHECK(has(about.found, "is never"));
        CHECK(has(about.remedy, kind.remedy));
        CHECK(has(about.remedy, kind.path));
        tree.set(kind.path, "?");
        CHECK(kind.look(tree.root()).status == finding_status::unknown);
        faults broken;
        broken.fail_call(0, EACCES);
        CHECK(kind.look(tree.root()).status == finding_status::unknown);
    }
    const system_tree tree;
    tree.set("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "[deny]");
    CHECK(sys::look_at_file_huge_pages(tree.root()).status == finding_status::missing);
}

TEST_CASE("memory_findings: reserved huge pages are counted against what is wanted", "[sys]") {
    const system_tree tree;
    finding about = sys::look_at_reserved_huge_pages(tree.root(), 0);
    check_complete(about, feature::reserved_huge_pages);
    CHECK(about.status == finding_status::missing);
    CHECK(has(about.found, "none of 2 MiB"));
    tree.set("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "9");
    tree.set("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0");
    about = sys::look_at_reserved_huge_pages(tree.root(), 5_MiB);
    check_complete(about, feature::reserved_huge_pages);
    CHECK(about.status == finding_status::missing);
    CHECK(has(about.found, "0 free of 2 MiB, 9 free of 1 GiB; wanted: 5 MiB"));
    CHECK(has(about.remedy, "vm.nr_hugepages=3"));
    tree.set("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2");
    CHECK(sys::look_at_reserved_huge_pages(tree.root(), 5_MiB).status == finding_status::degraded);
    CHECK(sys::look_at_reserved_huge_pages(tree.root(), 4_MiB).status == finding_status::ok);
    CHECK(sys::look_at_reserved_huge_pages(tree.root(), 0).status == finding_status::ok);
}

TEST_CASE("memory_findings: memory that cannot be locked names value, limit and remedy", "[sys]") {
    const zcpool_test::held before;
    faults refused;
    faults::fail_lock_trials(ENOMEM);
    const system_tree tree;
    tree.set("/proc/self/status", "VmLck:\t 4096 kB\nVmPin:\t 8 kB");
    const finding about = sys::look_at_memory_lock(tree.root(), 268_MiB);
    check_complete(about, feature::memory_lock);
    CHECK(about.status == finding_status::missing);
    CHECK(has(about.found, "locked already 4 MiB"));
    CHECK(has(about.found, "CAP_IPC_LOCK not effective"));
    CHECK(has(about.found, "wanted: 268 MiB"));
    CHECK(has(about.remedy, "ulimit -l 278528"));  // 272 MiB
    CHECK(has(about.remedy, "LimitMEMLOCK=278528K"));
    faults::fail_lock_trials(ENOSYS);
    CHECK(sys::look_at_memory_lock(tree.root(), 0).status == finding_status::unknown);
    faults::fail_lock_trials(0);
    refused.fail_call(1, ENOMEM);  // mmap, after getrlimit
    CHECK(sys::look_at_memory_lock(tree.root(), 0).status == finding_status::missing);
    refused.fail_call(-1, 0);
    CHECK(sys::look_at_memory_lock("", UINT64_MAX).status == finding_status::missing);
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("memory_findings: root is asked for only where the hard limit is in the way", "[sys]") {
    CHECK(zcpool_test::status_of([] {
              const rlimit limits{64_KiB, 1_MiB};
              if (::setrlimit(RLIMIT_MEMLOCK, &limits) != 0) {
                  return 77;
              }
              faults refused;
              faults::fail_lock_trials(ENOMEM);
              const finding within = sys::look_at_memory_lock("", 1_MiB);
              const finding beyond = sys::look_at_memory_lock("", 2_MiB);
              const bool plain = has(within.found, "soft limit 64 KiB, hard limit 1 MiB") &&
                                 within.remedy.view().starts_with("`ulimit -l 1024`");
              return plain && beyond.remedy.view().starts_with("as root: `ulimit -l 2048`") ? 0 : 1;
          }) == 0);
}

TEST_CASE("memory_findings: registered and in-flight bytes share one budget", "[sys]") {
    // In a child: what is lowered is lowered for good.
    CHECK(zcpool_test::status_of([] {
              const rlimit limits{1_MiB, 1_MiB};
              if (::setrlimit(RLIMIT_MEMLOCK, &limits) != 0) {
                  return 77;
              }
              faults refused;
              faults::fail_lock_trials(ENOMEM);  // no CAP_IPC_LOCK
              const system_tree tree;
              tree.set("/proc/self/status", "VmLck:\t 0 kB\nVmPin:\t 256 kB");
              const auto look = [&](std::uint64_t registered, std::uint64_t in_flight) {
                  return sys::look_at_pinned_memory(tree.root(), registered, in_flight);
              };
              if (look(0, 0).status != finding_status::ok ||
                  look(512_KiB, 256_KiB).status != finding_status::ok) {
                  return 1;
              }
              const finding less = look(512_KiB, 512_KiB);
              if (less.status != finding_status::degraded ||
                  !has(less.found, "registered by this one 256 KiB") ||
                  !has(less.found, "wanted: 512 KiB registered and 512 KiB in flight") ||
                  !less.remedy.view().starts_with("as root: `ulimit -l 1280`")) {
                  return 2;
              }
              if (look(1_MiB, 0).status != finding_status::missing ||
                  look(UINT64_MAX, 2).status != finding_status::missing) {
                  return 3;
              }
              return 0;
          }) == 0);
}

TEST_CASE("memory_findings: who may exceed the limit is not held to it", "[sys]") {
    // In a child: what is lowered is lowered for good.
    const int status = zcpool_test::status_of([] {
        const rlimit limits{64_KiB, 64_KiB};
        if (::setrlimit(RLIMIT_MEMLOCK, &limits) != 0 || !sys::try_lock(1_MiB).locked) {
            return 77;
        }
        const finding pinned = sys::look_at_pinned_memory("", 1_MiB, 1_MiB);
        const finding locked = sys::look_at_memory_lock("", 1_MiB);
        return pinned.status == finding_status::ok && locked.status == finding_status::ok &&
                       has(locked.found, "CAP_IPC_LOCK effective")
                   ? 0
                   : 1;
    });
    if (status == 77) {
        SKIP("this user has no CAP_IPC_LOCK");
    }
    CHECK(status == 0);
}

TEST_CASE("memory_findings: files in memory are sealed, also on a kernel that is older", "[sys]") {
    const zcpool_test::held before;
    const system_tree tree;
    tree.set("/proc/sys/vm/memfd_noexec", "1");
    {
        faults broken;
        const finding here = sys::look_at_sealed_memory(tree.root());
        check_complete(here, feature::sealed_memory);
        CHECK(here.status == finding_status::ok);  // the tests need Linux 6.3
        CHECK(has(here.found, "vm.memfd_noexec is 1"));
        faults::forget_noexec_seal();
        const finding old = sys::look_at_sealed_memory("");
        check_complete(old, feature::sealed_memory);
        CHECK(old.status == finding_status::degraded);
        CHECK(has(old.remedy, "6.3"));
    }
    faults broken;
    broken.fail_call(1, EPERM);  // after opening the setting, which is not there
    const system_tree none;
    const finding refused = sys::look_at_sealed_memory(none.root());
    check_complete(refused, feature::sealed_memory);
    CHECK(refused.status == finding_status::missing);
    CHECK(has(refused.found, "memfd_create refused"));
    broken.fail_call(4, EPERM);  // memfd_create, fchmod, ftruncate before it
    const finding unsealed = sys::look_at_sealed_memory(none.root());
    CHECK(unsealed.status == finding_status::missing);
    CHECK(has(unsealed.found, "sealing refused"));
    CHECK(before == zcpool_test::held{});
}

// Run as a user without privileges under RLIMIT_MEMLOCK of 0, 64 KiB and 8 MiB
// (tests/support/with_memlock.sh).
TEST_CASE("memory_findings: at a real limit, what fits can be locked and more cannot",
          "[sys][.memlock]") {
    const char* const text = std::getenv("ZCPOOL_TEST_MEMLOCK");
    if (text == nullptr) {
        SKIP("ZCPOOL_TEST_MEMLOCK is not set: run tests/support/with_memlock.sh");
    }
    const std::uint64_t limit = std::stoul(text);
    const std::string shown{readable_bytes(limit).view()};
    CHECK(sys::look_at_memory_lock("", limit == 0 ? 1 : limit).status ==
          (limit == 0 ? finding_status::missing : finding_status::ok));
    const finding beyond = sys::look_at_memory_lock("", limit + 1);
    check_complete(beyond, feature::memory_lock);
    CHECK(beyond.status == finding_status::missing);
    CHECK(has(beyond.found, "soft limit " + shown + ", hard limit " + shown));
    CHECK(has(beyond.found, "CAP_IPC_LOCK not effective"));
    CHECK(beyond.remedy.view().starts_with("as root: `ulimit -l "));
    // What a ring of an earlier test had registered is given back a moment after it was closed.
    const auto pinned = [] {
        return sys::setting::read("", "/proc/self/status")->number_of("VmPin:").value_or(0);
    };
    for (int i = 0; i < 5'000 && pinned() != 0; ++i) {
        ::usleep(1'000);
    }
    REQUIRE(pinned() == 0);
    CHECK(sys::look_at_pinned_memory("", limit, 0).status ==
          (limit == 0 ? finding_status::missing : finding_status::ok));
    CHECK(sys::look_at_pinned_memory("", limit, 1).status ==
          (limit == 0 ? finding_status::missing : finding_status::degraded));
}

}  // namespace
