// SPDX-License-Identifier: MIT
#pragma once

// Huge pages as this system has them, and pools that are made of them.

#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

#include <support/catch.hpp>
#include <zcpool/base/config.hpp>
#include <zcpool/pool/options.hpp>
#include <zcpool/pool/shared_memory.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/smaps.hpp>

namespace zcpool_test {

/// Options of a pool that lends by the arena, whose budget never interferes.
inline zcpool::pool_options arena_options(std::uint32_t small, std::uint32_t large) {
    return {.slots = {small, large},
            .lending = zcpool::lending::arena,
            .lent_settle_time = std::chrono::milliseconds{0}};
}

/// Whether a memory of this kind is all huge pages.
inline bool gets_huge_pages(zcpool::arena_backing backing) {
    const auto memory =
        zcpool::shared_memory::create_huge("zcpool-test", 2 * zcpool::huge_page_size, backing);
    return memory && zcpool::sys::huge_bytes_of(memory->data(), memory->size()) == memory->size();
}
/// Whether the system has some for whoever asks. Not by what is tested, whose fault would be a
/// skip.
inline bool has_huge_pages() {
    constexpr std::size_t bytes = 4 * zcpool::huge_page_size;
    const auto asked = zcpool::sys::mapping::aligned(-1, bytes, zcpool::huge_page_size);
    return asked && asked->advise(0, bytes, MADV_HUGEPAGE) && asked->populate(0, bytes) &&
           zcpool::sys::huge_bytes_of(asked->data(), bytes) == bytes;
}
inline bool has_reserved_huge_pages() { return gets_huge_pages(zcpool::arena_backing::hugetlb); }

/// Reserves huge pages, where that is allowed (root), as long as it lives.
class reserved_huge_pages {
public:
    explicit reserved_huge_pages(long wanted) {
        std::ifstream{path} >> before_;
        if (before_ >= 0 && before_ < wanted) {
            set(wanted);
        }
    }
    reserved_huge_pages(const reserved_huge_pages&) = delete;
    reserved_huge_pages& operator=(const reserved_huge_pages&) = delete;
    ~reserved_huge_pages() {
        if (before_ >= 0) {
            set(before_);
        }
    }

private:
    static void set(long count) { std::ofstream{path} << count << std::flush; }

    static constexpr const char* path = "/proc/sys/vm/nr_hugepages";
    long before_ = -1;
};

/// Lets files have huge pages, where that is allowed (root), as long as it lives.
class shmem_huge_pages {
public:
    /// Changes nothing.
    shmem_huge_pages() = default;
    explicit shmem_huge_pages(const char* wanted) {
        std::ifstream now{path};
        std::string all;
        std::getline(now, all);
        // "always within_size advise [never] deny force"
        const auto begin = all.find('[');
        const auto end = all.find(']');
        if (begin == std::string::npos || end == std::string::npos) {
            return;
        }
        before_ = all.substr(begin + 1, end - begin - 1);
        if (before_ == "deny" || before_ == "never") {
            set(wanted);
        }
    }
    shmem_huge_pages(const shmem_huge_pages&) = delete;
    shmem_huge_pages& operator=(const shmem_huge_pages&) = delete;
    ~shmem_huge_pages() {
        if (!before_.empty()) {
            set(before_.c_str());
        }
    }

    /// Whether files get huge pages now.
    [[nodiscard]] bool was_granted() const { return gets_huge_pages(zcpool::arena_backing::memfd); }

private:
    static void set(const char* value) { std::ofstream{path} << value << std::flush; }

    static constexpr const char* path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    std::string before_;
};

}  // namespace zcpool_test
