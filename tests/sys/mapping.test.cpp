// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/resources.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using namespace zcpool;
using sys::mapping;
using sys::memfd;
using zcpool_test::faults;

static_assert(!std::is_copy_constructible_v<mapping>);
static_assert(!std::is_copy_assignable_v<mapping>);
static_assert(std::is_nothrow_move_constructible_v<mapping>);

constexpr std::size_t pages = 8;
constexpr std::size_t bytes = pages * page_size;

memfd make_file() {
    auto made = memfd::create("zcpool-test", bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

mapping make_shared(const memfd& file) {
    auto made = mapping::shared(file.fd(), bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

mapping make_anonymous() {
    auto made = mapping::anonymous(bytes);
    REQUIRE(made.has_value());
    return std::move(*made);
}

/// For each page whether it is in memory; empty when the range is not mapped.
std::vector<bool> resident(const void* address) {
    std::vector<unsigned char> answer(pages);
    if (::mincore(const_cast<void*>(address), bytes, answer.data()) != 0) {
        REQUIRE(errno == ENOMEM);
        return {};
    }
    std::vector<bool> found(pages);
    std::transform(answer.begin(), answer.end(), found.begin(),
                   [](unsigned char page) { return (page & 1U) != 0; });
    return found;
}

bool is_mapped(const void* address) { return !resident(address).empty(); }

TEST_CASE("mapping: one for reading sees what others write, and cannot be written", "[sys]") {
    const memfd file = make_file();
    const auto opened = file.reopen_read_only();
    REQUIRE(opened.has_value());
    CHECK(mapping::shared(opened->get(), bytes).error() ==
          std::error_code(EACCES, std::system_category()));
    const auto read = mapping::read_only(opened->get(), bytes);
    REQUIRE(read.has_value());
    CHECK(read->size() == bytes);
    const mapping written = make_shared(file);
    written.data()[bytes - 1] = std::byte{7};
    CHECK(read->data()[bytes - 1] == std::byte{7});
    CHECK(zcpool_test::status_of([&] {
              *static_cast<volatile std::byte*>(read->data()) = std::byte{1};
              return 0;
          }) == -SIGSEGV);
}

TEST_CASE("mapping: an empty one has nothing and unmaps nothing", "[sys]") {
    mapping empty;
    CHECK_FALSE(empty);
    CHECK(empty.data() == nullptr);
    CHECK(empty.size() == 0);
    empty.reset();
}

TEST_CASE("mapping: shared mappings of a file show the same bytes", "[sys]") {
    const memfd file = make_file();
    const mapping first = make_shared(file);
    const mapping second = make_shared(file);
    CHECK(first);
    CHECK(first.size() == bytes);
    REQUIRE(first.data() != second.data());
    first.data()[bytes - 1] = std::byte{7};
    CHECK(second.data()[bytes - 1] == std::byte{7});
    // And for a process that was forked.
    CHECK(zcpool_test::status_of([&] {
              second.data()[0] = std::byte{8};
              return 0;
          }) == 0);
    CHECK(first.data()[0] == std::byte{8});
}

TEST_CASE("mapping: reserved addresses may not be touched, and are given back", "[sys]") {
    auto made = mapping::reserved(4 * page_size);
    REQUIRE(made.has_value());
    CHECK(made->size() == 4 * page_size);
    unsigned char present[4]{};
    CHECK(::mincore(made->data(), made->size(), present) == 0);
    std::byte* const address = made->data();
    int ends[2] = {-1, -1};
    REQUIRE(::pipe(ends) == 0);
    CHECK(::write(ends[1], address, 1) == -1);
    CHECK(errno == EFAULT);
    ::close(ends[0]);
    ::close(ends[1]);
    made->reset();
    CHECK(::mincore(address, page_size, present) == -1);
    CHECK(mapping::reserved(0).error() == std::errc::invalid_argument);
}

TEST_CASE("mapping: anonymous memory is zero and private", "[sys]") {
    const mapping tested = make_anonymous();
    CHECK(tested.size() == bytes);
    const std::span all{tested.data(), tested.size()};
    CHECK(std::all_of(all.begin(), all.end(), [](std::byte b) { return b == std::byte{0}; }));
    CHECK(zcpool_test::status_of([&] {
              tested.data()[0] = std::byte{8};
              return 0;
          }) == 0);
    CHECK(tested.data()[0] == std::byte{0});
}

TEST_CASE("mapping: populating brings the pages of the range into memory", "[sys]") {
    const memfd file = make_file();
    const mapping shared = make_shared(file);
    const mapping anonymous = make_anonymous();
    for (const mapping* tested : {&shared, &anonymous}) {
        // Small pages, whatever the administrator set up: the range must mean something.
        static_cast<void>(tested->advise(0, bytes, MADV_NOHUGEPAGE));
        CHECK(resident(tested->data()) == std::vector<bool>(pages, false));
        const auto part = tested->populate(2 * page_size, 3 * page_size);
        if (!part && sys::is_errno(part.error(), EINVAL)) {
            SKIP("MADV_POPULATE_WRITE needs Linux 5.14");
        }
        REQUIRE(part.has_value());
        CHECK(resident(tested->data()) == std::vector<bool>{0, 0, 1, 1, 1, 0, 0, 0});
        REQUIRE(tested->populate(0, bytes).has_value());
        CHECK(resident(tested->data()) == std::vector<bool>(pages, true));
    }
}

/// Page faults of writing the whole mapping. The kernel writes: sanitizers would add faults of
/// their own.
long faults_of_writing(const mapping& tested) {
    const sys::unique_fd zeros{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    struct rusage before{};
    struct rusage after{};
    REQUIRE(::getrusage(RUSAGE_THREAD, &before) == 0);
    const ssize_t written = ::read(zeros.get(), tested.data(), bytes);
    REQUIRE(::getrusage(RUSAGE_THREAD, &after) == 0);
    REQUIRE(written == static_cast<ssize_t>(bytes));
    return after.ru_minflt - before.ru_minflt;
}

TEST_CASE("mapping: the first write to a populated page takes no page fault", "[sys]") {
    const mapping fresh = make_anonymous();
    const mapping tested = make_anonymous();
    for (const mapping* each : {&fresh, &tested}) {
        static_cast<void>(each->advise(0, bytes, MADV_NOHUGEPAGE));
    }
    if (!tested.populate(0, bytes)) {
        SKIP("MADV_POPULATE_WRITE needs Linux 5.14");
    }
    CHECK(faults_of_writing(fresh) >= static_cast<long>(pages));
    // None is the answer; AddressSanitizer adds one or two around the call.
    CHECK(faults_of_writing(tested) < static_cast<long>(pages / 2));
}

TEST_CASE("mapping: populating changes no byte", "[sys]") {
    const mapping tested = make_anonymous();
    tested.data()[page_size] = std::byte{9};
    if (!tested.populate(0, bytes)) {
        SKIP("MADV_POPULATE_WRITE needs Linux 5.14");
    }
    CHECK(tested.data()[page_size] == std::byte{9});
}

TEST_CASE("mapping: populating what the file has not is an error value, and not SIGBUS", "[sys]") {
    const memfd file = make_file();
    const auto longer = mapping::shared(file.fd(), 2 * bytes);
    REQUIRE(longer.has_value());
    if (!longer->populate(0, bytes)) {
        SKIP("MADV_POPULATE_WRITE needs Linux 5.14");
    }
    CHECK(longer->populate(bytes, page_size).error() ==
          std::error_code(EFAULT, std::system_category()));
}

TEST_CASE("mapping: advice reaches its range and no other", "[sys]") {
    const mapping tested = make_anonymous();
    std::fill_n(tested.data(), bytes, std::byte{5});
    REQUIRE(tested.advise(2 * page_size, page_size, MADV_DONTNEED).has_value());
    CHECK(tested.data()[2 * page_size - 1] == std::byte{5});
    CHECK(tested.data()[2 * page_size] == std::byte{0});
    CHECK(tested.data()[3 * page_size - 1] == std::byte{0});
    CHECK(tested.data()[3 * page_size] == std::byte{5});
}

TEST_CASE("mapping: what the kernel refuses is told", "[sys]") {
    const auto system_error = [](int code) {
        return std::error_code{code, std::system_category()};
    };
    CHECK(mapping::shared(-1, bytes).error() == system_error(EBADF));
    CHECK(mapping::anonymous(0).error() == system_error(EINVAL));
    CHECK(mapping::anonymous(SIZE_MAX / 2).error() == system_error(ENOMEM));
    const mapping tested = make_anonymous();
    CHECK(tested.advise(0, page_size, 9999).error() == system_error(EINVAL));
    CHECK(tested.advise(1, page_size, MADV_DONTNEED).error() == system_error(EINVAL));

    faults broken;
    broken.fail_call(0, EAGAIN);
    const auto refused = mapping::anonymous(bytes);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error() == system_error(EAGAIN));
    broken.fail_call(0, ENOMEM);
    CHECK(tested.populate(0, bytes).error() == system_error(ENOMEM));
    broken.fail_call(0, EINTR);
    CHECK(mapping::anonymous(bytes).has_value());
}

TEST_CASE("mapping: unmaps at its end, the whole range", "[sys]") {
    const std::byte* address = nullptr;
    {
        const mapping tested = make_anonymous();
        address = tested.data();
        CHECK(is_mapped(address));
    }
    for (std::size_t page = 0; page < pages; ++page) {
        unsigned char answer = 0;
        CHECK(::mincore(const_cast<std::byte*>(address) + page * page_size, page_size, &answer) ==
              -1);
    }
}

TEST_CASE("mapping: unmaps once, not what came to the address afterwards", "[sys]") {
    mapping tested = make_anonymous();
    void* const address = tested.data();
    tested.reset();
    CHECK_FALSE(tested);
    CHECK(tested.size() == 0);
    REQUIRE_FALSE(is_mapped(address));
    REQUIRE(::mmap(address, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == address);
    tested.reset();
    CHECK(is_mapped(address));
    ::munmap(address, bytes);
}

TEST_CASE("mapping: a move leaves the source empty and the memory where it is", "[sys]") {
    const zcpool_test::held before;
    const memfd file = make_file();
    mapping second;
    std::byte* address = nullptr;
    {
        mapping first = make_shared(file);
        address = first.data();
        second = mapping{std::move(first)};
        CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): it is empty by promise
        CHECK(first.size() == 0);
    }
    CHECK(second.data() == address);
    CHECK(second.size() == bytes);
    CHECK(is_mapped(address));
    mapping& itself = second;
    second = std::move(itself);
    CHECK(second.data() == address);
    CHECK(is_mapped(address));
    second = make_shared(file);
    CHECK(zcpool_test::pool_mappings() == before.mappings + 1);  // the replaced one is gone
    second = mapping{};
    CHECK(zcpool_test::pool_mappings() == before.mappings);
}

/// How a child ends that writes a byte there.
int touch(std::byte* place) {
    return zcpool_test::status_of([&] {
        *const_cast<volatile std::byte*>(place) = std::byte{1};
        return 0;
    });
}

TEST_CASE("mapping: guards lie around a file's bytes, and go with it", "[sys]") {
    const memfd file = make_file();
    std::byte* begin = nullptr;
    {
        auto made = mapping::shared(file.fd(), bytes, 2 * page_size);
        REQUIRE(made.has_value());
        mapping moved{std::move(*made)};
        mapping guarded;
        guarded = std::move(moved);
        begin = guarded.data();
        CHECK(guarded.size() == bytes);
        CHECK(touch(begin) == 0);
        CHECK(touch(begin + bytes - 1) == 0);
        CHECK(touch(begin - 1) == -SIGSEGV);
        CHECK(touch(begin - 2 * page_size) == -SIGSEGV);
        CHECK(touch(begin + bytes) == -SIGSEGV);
        CHECK(touch(begin + bytes + 2 * page_size - 1) == -SIGSEGV);
        *begin = std::byte{7};
        std::byte seen{};
        REQUIRE(::pread(file.fd(), &seen, 1, 0) == 1);
        CHECK(seen == std::byte{7});
    }
    for (std::byte* const gone : {begin - 2 * page_size, begin, begin + bytes + page_size}) {
        unsigned char in_memory = 0;
        CHECK(::mincore(gone, page_size, &in_memory) == -1);
    }
}

TEST_CASE("mapping: whichever mapping of a guarded one is refused, nothing stays", "[sys]") {
    const memfd file = make_file();
    const zcpool_test::held before;
    for (const long refused : {0, 1}) {
        faults broken;
        broken.fail_call(refused, ENOMEM);
        CHECK(mapping::shared(file.fd(), bytes, page_size).error() == std::errc::not_enough_memory);
        CHECK(faults::calls() == refused + 1);
    }
    CHECK(before == zcpool_test::held{});
}

TEST_CASE("mapping: an aligned one lies where huge pages do, between pages of nobody's", "[sys]") {
    constexpr std::size_t size = 2 * huge_page_size;
    auto file = memfd::create("zcpool-test", size);
    REQUIRE(file.has_value());
    for (const int fd : {-1, file->fd()}) {
        const zcpool_test::held before;
        std::byte* begin = nullptr;
        {
            auto made = mapping::aligned(fd, size, huge_page_size);
            REQUIRE(made.has_value());
            begin = made->data();
            CHECK(reinterpret_cast<std::uintptr_t>(begin) % huge_page_size == 0);
            CHECK(made->size() == size);
            CHECK(touch(begin) == 0);
            CHECK(touch(begin + size - 1) == 0);
            CHECK(touch(begin - 1) == -SIGSEGV);
            CHECK(touch(begin + size) == -SIGSEGV);
            for (std::byte* const guard : {begin - page_size, begin + size}) {
                unsigned char in_memory = 0;
                CHECK(::mincore(guard, page_size, &in_memory) == 0);  // nobody else's
            }
            *begin = std::byte{7};
        }
        for (std::byte* const gone : {begin - page_size, begin, begin + size}) {
            unsigned char in_memory = 0;
            CHECK(::mincore(gone, page_size, &in_memory) == -1);
        }
        for (const long refused : {0, 1}) {
            faults broken;
            broken.fail_call(refused, ENOMEM);
            CHECK(mapping::aligned(fd, size, huge_page_size).error() ==
                  std::errc::not_enough_memory);
        }
        CHECK(before == zcpool_test::held{});
    }
    std::byte seen{};
    REQUIRE(::pread(file->fd(), &seen, 1, 0) == 1);
    CHECK(seen == std::byte{7});
}

/// Pages of address space that the process has.
long address_space() {
    long pages_of_it = 0;
    std::ifstream{"/proc/self/statm"} >> pages_of_it;
    return pages_of_it;
}

TEST_CASE("mapping: an aligned one takes no more than itself and its guards", "[sys]") {
    constexpr std::size_t size = 64 * huge_page_size;
    const long before = address_space();
    const auto made = mapping::aligned(-1, size, 32 * huge_page_size);
    const long with = address_space();
    REQUIRE(made.has_value());
    CHECK(with - before < static_cast<long>((size + huge_page_size) / page_size));
}

TEST_CASE("mapping: a part that is forbidden may not be touched, the rest may", "[sys]") {
    const mapping tested = make_anonymous();
    REQUIRE(tested.forbid(page_size, page_size).has_value());
    CHECK(touch(tested.data() + page_size - 1) == 0);
    CHECK(touch(tested.data() + page_size) == -SIGSEGV);
    CHECK(touch(tested.data() + 2 * page_size) == 0);
    faults broken;
    broken.fail_call(0, ENOMEM);
    CHECK(tested.forbid(0, page_size).error() == std::errc::not_enough_memory);
}

TEST_CASE("mapping: a part of a file takes the place of a part, and no more", "[sys]") {
    const memfd file = make_file();
    const mapping whole = make_shared(file);
    {
        auto made = mapping::reserved(4 * page_size);
        REQUIRE(made.has_value());
        REQUIRE(made->place(page_size, file.fd(), 3 * page_size, 2 * page_size).has_value());
        made->data()[page_size] = std::byte{7};
        CHECK(whole.data()[3 * page_size] == std::byte{7});
        CHECK(touch(made->data() + 3 * page_size - 1) == 0);
        CHECK(touch(made->data() + page_size - 1) == -SIGSEGV);
        CHECK(touch(made->data() + 3 * page_size) == -SIGSEGV);
        faults broken;
        broken.fail_call(0, EAGAIN);
        CHECK(made->place(0, file.fd(), 0, page_size).error() ==
              std::errc::resource_unavailable_try_again);
    }
    CHECK(is_mapped(whole.data()));
}

}  // namespace
