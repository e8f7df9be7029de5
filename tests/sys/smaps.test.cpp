// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <support/catch.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/align.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/smaps.hpp>

namespace {

using namespace zcpool;
using sys::huge_bytes_of;
using sys::mapping;
using zcpool_test::faults;

std::size_t count_in(std::string_view text, std::uintptr_t begin, std::size_t bytes) {
    sys::huge_page_count count{begin, bytes};
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
        count.add(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    return count.bytes();
}

TEST_CASE("smaps: only the huge pages of mappings inside the range count", "[sys]") {
    constexpr std::string_view text =
        "400000-600000 rw-p 00000000 00:00 0 \n"
        "AnonHugePages:      2048 kB\n"
        "600000-a00000 rw-p 00000000 00:00 0 \n"
        "Size:               4096 kB\n"
        "AnonHugePages:      2048 kB\n"
        "FilePmdMapped:      2048 kB\n"
        "Name with: 77\n"
        "a00000-c00000 rw-s 00000000 00:01 7 /memfd:a-b (deleted)\n"
        "ShmemPmdMapped:     2048 kB\n"
        "Private_Hugetlb:       4 kB\n"
        "Shared_Hugetlb:        8 kB\n"
        "c00000-e00000 rw-s 00000000 00:01 7 /memfd:x\n"
        "ShmemPmdMapped:     2048 kB\n";
    CHECK(count_in(text, 0x600000, 0x600000) == 4_MiB + 12_KiB);
    CHECK(count_in(text, 0x400000, 0xA00000) == 8_MiB + 12_KiB);
    CHECK(count_in(text, 0x700000, 0x300000) == 0);  // reaches beyond it
    CHECK(count_in("AnonHugePages: 4 kB\nAnonHugePages: kB\n:\n\n", 0, 1_GiB) == 0);
}

TEST_CASE("smaps: huge pages that were asked for are seen, and small ones are not", "[sys]") {
    auto huge = mapping::aligned(-1, 2 * huge_page_size, huge_page_size);
    auto small = mapping::aligned(-1, 2 * huge_page_size, huge_page_size);
    REQUIRE((huge && small));
    REQUIRE(small->advise(0, small->size(), MADV_NOHUGEPAGE));
    REQUIRE(small->populate(0, small->size()));
    CHECK(huge_bytes_of(small->data(), small->size()) == 0);
    CHECK(huge_bytes_of(huge->data(), huge->size()) == 0);
    if (!huge->advise(0, huge->size(), MADV_HUGEPAGE)) {
        SKIP("this kernel has no transparent huge pages");
    }
    REQUIRE(huge->populate(0, huge->size()));
    const auto found = huge_bytes_of(huge->data(), huge->size());
    REQUIRE(found.has_value());
    if (*found == 0) {
        SKIP("no transparent huge pages are to be had");
    }
    CHECK(*found % huge_page_size == 0);
    CHECK(huge_bytes_of(small->data(), small->size()) == 0);
}

TEST_CASE("smaps: what the system refuses is an error, and leaves nothing open", "[sys]") {
    const zcpool_test::held before;
    std::byte here{};
    faults broken;
    for (long i = 0; i < 2; ++i) {
        broken.fail_call(i, EACCES);
        CHECK(huge_bytes_of(&here, 1).error() == std::errc::permission_denied);
    }
    CHECK(before == zcpool_test::held{});
}

}  // namespace
