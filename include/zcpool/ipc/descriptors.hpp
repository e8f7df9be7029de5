// SPDX-License-Identifier: MIT
#pragma once

// Are these two descriptors a pool? Everything is checked before a byte of it is mapped, and the
// table is copied out once: what is used is what was checked.
//
// Source: fcntl(2) "File Sealing"; statfs(2).

#include <linux/magic.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// The files of a pool, and what they were found to be.
struct checked_pool {
    sys::memfd data;
    sys::memfd control;
    pool_table table{};
    pool_layout layout;
};

/// The checks of check_descriptors(), one by one.
class descriptor_check {
public:
    /// Whether a file is one that only a partner of this user could have made, and that nobody can
    /// change in size: a sealed, regular file in memory of small pages, mode 0600, open for reading
    /// and writing.
    ///
    /// Returns: its size in bytes, and its number.
    /// Errors: `not_a_pool`, `not_sealed`, `wrong_access`; EBADF for no descriptor.
    [[nodiscard]] static result<struct stat> check_file(int fd) noexcept {
        struct stat status{};
        if (auto done = sys::call([&] { return sys::provider::fstat(fd, &status); }); !done) {
            return fail(done.error());
        }
        if (!S_ISREG(status.st_mode)) {
            return fail(errc::not_a_pool);
        }
        struct statfs system{};
        if (auto done = sys::call([&] { return sys::provider::fstatfs(fd, &system); }); !done) {
            return fail(done.error());
        }
        // hugetlbfs has seals too, but its pages cannot be replaced one by one.
        if (system.f_type != TMPFS_MAGIC) {
            return fail(errc::not_a_pool);
        }
        if (status.st_uid != sys::provider::geteuid() || (status.st_mode & 07777) != 0600) {
            return fail(errc::wrong_access);
        }
        const auto flags = sys::call([&] { return sys::provider::get_flags(fd); });
        if (!flags) {
            return fail(flags.error());
        }
        if ((*flags & (O_ACCMODE | O_PATH)) != O_RDWR) {
            return fail(errc::wrong_access);
        }
        const auto seals = sys::call([&] { return sys::provider::get_seals(fd); });
        if (!seals) {
            // A file of a mounted tmpfs cannot be sealed.
            return sys::is_errno(seals.error(), EINVAL) ? fail(errc::not_a_pool)
                                                        : fail(seals.error());
        }
        constexpr int needed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
        constexpr int harmful = F_SEAL_WRITE | future_write;  // they forbid to replace pages
        if ((*seals & needed) != needed || (*seals & harmful) != 0) {
            return fail(errc::not_sealed);
        }
        return status;
    }

    /// The table at the beginning of a control file, and the layout that follows from it.
    ///
    /// Errors: `not_a_pool` where the numbers do not fit together, or the sizes of the files;
    /// `wrong_version`; `unsupported` for a checked pool; the errno of pread.
    [[nodiscard]] static result<void> read_table(int control, std::uint64_t data_bytes,
                                                 std::uint64_t control_bytes,
                                                 checked_pool& into) noexcept {
        pool_table& table = into.table;
        if (control_bytes < sizeof(control_header)) {
            return fail(errc::not_a_pool);
        }
        auto got = sys::call(
            [&] { return sys::provider::pread(control, &table, sizeof table, off_t{0}); });
        if (!got) {
            return fail(got.error());
        }
        if (static_cast<std::size_t>(*got) != sizeof table ||
            table.magic != pool_table::expected_magic) {
            return fail(errc::not_a_pool);
        }
        if (table.version != pool_table::expected_version) {
            return fail(errc::wrong_version);
        }
        if (table.checking != 0) {
            return fail(errc::unsupported);
        }
        return compare(data_bytes, control_bytes, into);
    }

private:
    // Linux 5.1; an older C library does not name it.
    static constexpr int future_write = 0x0010;

    [[nodiscard]] static result<void> compare(std::uint64_t data_bytes, std::uint64_t control_bytes,
                                              checked_pool& into) noexcept {
        const pool_table& table = into.table;
        constexpr std::uint64_t longest_settle_ms = 3'600'000;
        if (table.class_count > max_classes || table.lends > 1 || table.spills > 1 ||
            table.lent_budget_bytes > table.data_bytes ||
            table.lent_settle_ms > longest_settle_ms) {
            return fail(errc::not_a_pool);
        }
        const auto classes = std::span{table.classes};
        const auto used = classes.first(table.class_count);
        const auto is_unused = [](const class_spec& each) {
            return each.slot_bytes == 0 && each.slots == 0;
        };
        if (!std::ranges::all_of(classes.subspan(used.size()), is_unused)) {
            return fail(errc::not_a_pool);
        }
        const auto layout = compute_layout(used);
        if (!layout || layout->data_bytes != table.data_bytes ||
            layout->control_bytes != table.control_bytes || layout->data_bytes != data_bytes ||
            layout->control_bytes != control_bytes) {
            return fail(errc::not_a_pool);
        }
        into.layout = *layout;
        return {};
    }
};

/// Checks the descriptors of a pool that another process handed over. They are closed when that
/// fails.
///
/// Errors: `not_a_pool`, `not_sealed`, `wrong_access`, `wrong_version`, `unsupported`, or the errno
/// of a call.
/// Complexity: some ten system calls.
[[nodiscard]] inline result<checked_pool> check_descriptors(sys::unique_fd data,
                                                            sys::unique_fd control) noexcept {
    const auto slots = descriptor_check::check_file(data.get());
    if (!slots) {
        return fail(slots.error());
    }
    const auto words = descriptor_check::check_file(control.get());
    if (!words) {
        return fail(words.error());
    }
    if (slots->st_ino == words->st_ino && slots->st_dev == words->st_dev) {
        return fail(errc::not_a_pool);
    }
    const auto data_bytes = static_cast<std::uint64_t>(slots->st_size);
    const auto control_bytes = static_cast<std::uint64_t>(words->st_size);
    checked_pool found;
    if (auto done = descriptor_check::read_table(control.get(), data_bytes, control_bytes, found);
        !done) {
        return fail(done.error());
    }
    found.data = sys::memfd::adopt(std::move(data), static_cast<std::size_t>(data_bytes));
    found.control = sys::memfd::adopt(std::move(control), static_cast<std::size_t>(control_bytes));
    return found;
}

}  // namespace zcpool::ipc
