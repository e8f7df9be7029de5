// SPDX-License-Identifier: MIT
#pragma once

// Are these two descriptors a pool? Everything is checked before a byte of it is mapped, and the
// table is copied out once: what is used is what was checked.
//
// Source: fcntl(2) "File Sealing"; statfs(2).

#include <linux/magic.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/options.hpp>
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

/// What a control file says, once it has been checked.
struct checked_control {
    pool_table table{};
    pool_layout layout;
};

/// Who wants a file: it decides how that must be open, and whose it may be.
enum class file_user : std::uint8_t {
    partner,   ///< for reading and writing, of this user
    observer,  ///< for reading only; root may look at everybody's
    reader,    ///< for reading only, whoever's
    stranger,  ///< for reading and writing, whoever's
};

/// The checks of check_descriptors() and of ipc/observer.hpp, one by one.
class descriptor_check {
public:
    /// Whether a file is one that only a partner of this user could have made, and that nobody can
    /// change in size: a sealed, regular file in memory of small pages, mode 0600, open as `who`
    /// must have it.
    ///
    /// Returns: its size in bytes, and its number.
    /// Errors: `not_a_pool`, `not_sealed`, `wrong_access`; EBADF for no descriptor.
    [[nodiscard]] static result<struct stat> check_file(
        int fd, file_user who = file_user::partner) noexcept {
        const auto status = check_kind(fd);
        if (!status) {
            return status;
        }
        const uid_t me = sys::provider::geteuid();
        const bool may_be_anyones = who == file_user::reader || who == file_user::stranger ||
                                    (who == file_user::observer && me == 0);
        const bool only_reads = who == file_user::observer || who == file_user::reader;
        if ((status->st_uid != me && !may_be_anyones) || (status->st_mode & 07777) != 0600) {
            return fail(errc::wrong_access);
        }
        const auto flags = sys::call([&] { return sys::provider::get_flags(fd); });
        if (!flags) {
            return fail(flags.error());
        }
        if ((*flags & (O_ACCMODE | O_PATH)) != (only_reads ? O_RDONLY : O_RDWR)) {
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

    /// Whether a file is a regular one in memory of small pages. Asks for no right: the descriptor
    /// may be one of O_PATH.
    ///
    /// Errors: as check_file().
    [[nodiscard]] static result<struct stat> check_kind(int fd) noexcept {
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
        return status;
    }

    /// The table at the beginning of a partner's control file, and the layout that follows from it.
    ///
    /// Errors: `not_a_pool` where the numbers do not fit together, or the sizes of the files;
    /// `wrong_version`; `unsupported` for a checked pool; the errno of pread.
    [[nodiscard]] static result<void> read_table(int control, std::uint64_t data_bytes,
                                                 std::uint64_t control_bytes,
                                                 checked_pool& into) noexcept {
        const auto table = copy_table(control, control_bytes);
        if (!table) {
            return fail(table.error());
        }
        if (table->checking != 0) {
            return fail(errc::unsupported);
        }
        const auto layout = compare(*table, control_bytes, lending::never);
        if (!layout) {
            return fail(layout.error());
        }
        if (layout->data_bytes != data_bytes) {
            return fail(errc::not_a_pool);
        }
        into.table = *table;
        into.layout = *layout;
        return {};
    }

    /// Likewise of any pool, also one that is checked or has arenas, and without its data file.
    ///
    /// Errors: `not_a_pool`, `wrong_version`, or the errno of pread.
    [[nodiscard]] static result<checked_control> read_control(
        int control, std::uint64_t control_bytes) noexcept {
        const auto table = copy_table(control, control_bytes);
        if (!table) {
            return fail(table.error());
        }
        auto layout = compare(*table, control_bytes, lending::never);
        if (!layout && table->lends != 0) {
            // The table does not say so, but the size of the data does.
            layout = compare(*table, control_bytes, lending::arena);
        }
        if (!layout) {
            return fail(layout.error());
        }
        return checked_control{*table, *layout};
    }

private:
    // Linux 5.1; an older C library does not name it.
    static constexpr int future_write = 0x0010;

    /// Copies the table out, so that what is checked is what is used.
    [[nodiscard]] static result<pool_table> copy_table(int control,
                                                       std::uint64_t control_bytes) noexcept {
        pool_table table{};
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
        return table;
    }

    [[nodiscard]] static result<pool_layout> compare(const pool_table& table,
                                                     std::uint64_t control_bytes,
                                                     lending lends) noexcept {
        constexpr std::uint64_t longest_settle_ms = 3'600'000;
        if (table.class_count > max_classes || table.lends > 1 || table.spills > 1 ||
            table.undumped > 1 || table.zeroes > 1 || table.unused != 0 ||
            table.checking > static_cast<std::uint32_t>(checking::guarded) ||
            table.lent_budget_bytes > table.data_bytes ||
            table.lent_settle_ms > longest_settle_ms) {
            return fail(errc::not_a_pool);
        }
        const auto classes = array_view{table.classes};
        const auto used = classes.first(table.class_count);
        for (const class_spec& each : classes.subspan(used.size())) {
            if (each.slot_bytes != 0 || each.slots != 0) {
                return fail(errc::not_a_pool);
            }
        }
        const auto layout = compute_layout(used, static_cast<checking>(table.checking), lends);
        if (!layout || layout->data_bytes != table.data_bytes ||
            layout->control_bytes != table.control_bytes ||
            layout->control_bytes != control_bytes) {
            return fail(errc::not_a_pool);
        }
        return *layout;
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
