// SPDX-License-Identifier: MIT
#pragma once

// The files of pools that nobody made with the library, right in all but one thing.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool_test {

inline constexpr int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
inline constexpr int future_write = 0x0010;  // F_SEAL_FUTURE_WRITE

/// What a forger has in its hands; each case changes one thing.
struct forgery {
    std::vector<zcpool::class_spec> classes;
    zcpool::pool_table table{};
    off_t data_bytes = 0;
    off_t control_bytes = 0;
    int data_seals = all_seals;
    int control_seals = all_seals;
    mode_t data_mode = 0600;
    mode_t control_mode = 0600;
    unsigned flags = 0;

    explicit forgery(std::vector<zcpool::class_spec> of = {{4096, 4}, {65536, 2}})
        : classes(std::move(of)) {
        const auto layout = zcpool::compute_layout(classes).value();
        table.magic = zcpool::pool_table::expected_magic;
        table.version = zcpool::pool_table::expected_version;
        table.class_count = static_cast<std::uint32_t>(classes.size());
        table.data_bytes = layout.data_bytes;
        table.control_bytes = layout.control_bytes;
        std::copy(classes.begin(), classes.end(), table.classes.begin());
        data_bytes = static_cast<off_t>(layout.data_bytes);
        control_bytes = static_cast<off_t>(layout.control_bytes);
    }

    [[nodiscard]] zcpool::sys::unique_fd data() const {
        return make(data_bytes, data_mode, data_seals, false);
    }
    [[nodiscard]] zcpool::sys::unique_fd control() const {
        return make(control_bytes, control_mode, control_seals, true);
    }

private:
    [[nodiscard]] zcpool::sys::unique_fd make(off_t bytes, mode_t mode, int seals,
                                              bool has_table) const {
        zcpool::sys::unique_fd file{
            ::memfd_create("zcpool-forged", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags)};
        REQUIRE(file);
        REQUIRE(::fchmod(file.get(), mode) == 0);
        REQUIRE(::ftruncate(file.get(), bytes) == 0);
        if (has_table && bytes >= static_cast<off_t>(sizeof table)) {
            REQUIRE(::pwrite(file.get(), &table, sizeof table, 0) == sizeof table);
        }
        REQUIRE(::fcntl(file.get(), F_ADD_SEALS, seals) == 0);
        return file;
    }
};

/// Opens what a descriptor is of once more, in another way.
inline zcpool::sys::unique_fd reopen(zcpool::sys::unique_fd file, int flags) {
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    zcpool::sys::unique_fd opened{::open(path.c_str(), flags | O_CLOEXEC)};
    REQUIRE(opened);
    return opened;
}

}  // namespace zcpool_test
