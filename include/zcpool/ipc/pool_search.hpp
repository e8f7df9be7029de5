// SPDX-License-Identifier: MIT
#pragma once

// Finding the pools of running processes: their control files among the descriptors in /proc, where
// a file in memory shows under the name that it was made with. A name proves nothing: what is found
// is opened for reading only, and checked by whoever uses it (ipc/observer.hpp).
//
// Source: proc_pid_fd(5), memfd_create(2).

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

#include <zcpool/base/array_view.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/ipc/descriptors.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/pool/process_registry.hpp>
#include <zcpool/sys/call.hpp>
#include <zcpool/sys/directory.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace zcpool::ipc {

/// What seems to be a pool.
struct found_pool {
    sys::unique_fd control;    ///< for reading only, and not checked yet: for pool_observer::open()
    std::uint64_t device = 0;  ///< with `inode` no other file of the system has them now
    std::uint64_t inode = 0;
    /// Processes that have it open for writing, the first so many; forked children too.
    std::array<pid_t, max_processes + 1> processes{};
    std::size_t process_count = 0;
};

/// How far a search got.
struct pool_search_report {
    std::size_t found = 0;   ///< pools, of which each counts once, whoever has it
    std::size_t denied = 0;  ///< processes that this one may not look at
    bool is_full = false;    ///< there are more than there was room for
};

/// A search, into memory that is handed in. One thread at a time.
class pool_search {
public:
    /// Puts what it finds into `into`, as far as that reaches.
    explicit pool_search(std::span<found_pool> into) noexcept : into_(into) {}

    /// Adds the pools of one process.
    ///
    /// Errors: ENOENT where there is no such process, or no /proc; EACCES where it is another
    /// user's, or not to be looked at (prctl(2), PR_SET_DUMPABLE), and this process has no
    /// CAP_SYS_PTRACE; the errno of what the system refused otherwise.
    /// Complexity: a system call for each descriptor of the process.
    [[nodiscard]] result<void> look_at(pid_t pid) noexcept {
        char path[64];
        std::snprintf(path, sizeof path, "/proc/%d/fd", static_cast<int>(pid));
        return sys::for_each_number(path, [&](int fd) -> result<void> {
            auto done = look_at(pid, fd);
            // It was closed meanwhile.
            return done || has_gone(done.error()) ? result<void>{} : done;
        });
    }

    /// Adds the pools of all processes that may be looked at.
    ///
    /// Errors: the errno of what the system refused.
    [[nodiscard]] result<void> look_at_all() noexcept {
        return sys::for_each_number("/proc", [&](int pid) -> result<void> {
            auto done = look_at(pid);
            if (!done &&
                (sys::is_errno(done.error(), EACCES) || sys::is_errno(done.error(), EPERM))) {
                ++report_.denied;
                return {};
            }
            return done || has_gone(done.error()) ? result<void>{} : done;
        });
    }

    [[nodiscard]] const pool_search_report& report() const noexcept { return report_; }

private:
    /// Whether what was looked at is not there any more.
    [[nodiscard]] static bool has_gone(const std::error_code& error) noexcept {
        return sys::is_errno(error, ENOENT) || sys::is_errno(error, ESRCH);
    }

    [[nodiscard]] result<void> look_at(pid_t pid, int fd) noexcept {
        char path[64];
        std::snprintf(path, sizeof path, "/proc/%d/fd/%d", static_cast<int>(pid), fd);
        const auto is_control = has_name(path);
        if (!is_control || !*is_control) {
            return is_control ? result<void>{} : fail(is_control.error());
        }
        // The mode of the link is that of the descriptor. Those who only read are observers too.
        struct stat link{};
        if (auto done = sys::call([&] { return sys::provider::lstat(path, &link); }); !done) {
            return fail(done.error());
        }
        if ((link.st_mode & S_IWUSR) == 0) {
            return {};
        }
        // By now it may be anything, and opening a device or a pipe does something. O_PATH does
        // not.
        auto opened = sys::call([&] { return sys::provider::open(path, O_PATH | O_CLOEXEC); });
        if (!opened) {
            return fail(opened.error());
        }
        const sys::unique_fd file{*opened};
        const auto status = descriptor_check::check_kind(file.get());
        if (!status) {
            return status.error() == errc::not_a_pool ? result<void>{} : fail(status.error());
        }
        return add(pid, file.get(), *status);
    }

    /// Whether a link in /proc leads to a control file, by its name.
    [[nodiscard]] static result<bool> has_name(const char* path) noexcept {
        char wanted[64];
        const int length =
            std::snprintf(wanted, sizeof wanted, "/memfd:%s (deleted)", control_file_name);
        char name[64];
        const auto got =
            sys::call([&] { return sys::provider::readlink(path, name, sizeof name); });
        if (!got) {
            return fail(got.error());
        }
        return std::string_view{name, static_cast<std::size_t>(*got)} ==
               std::string_view{wanted, static_cast<std::size_t>(length)};
    }

    [[nodiscard]] result<void> add(pid_t pid, int file, const struct stat& status) noexcept {
        for (found_pool& each : into_.first(report_.found)) {
            if (each.device == status.st_dev && each.inode == status.st_ino) {
                note(each, pid);
                return {};
            }
        }
        if (report_.found == into_.size()) {
            report_.is_full = true;
            return {};
        }
        char path[64];
        std::snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        auto control = sys::call([&] { return sys::provider::open(path, O_RDONLY | O_CLOEXEC); });
        if (!control) {
            return fail(control.error());
        }
        found_pool& added = into_[report_.found++];
        added = {sys::unique_fd{*control}, status.st_dev, status.st_ino, {}, 0};
        note(added, pid);
        return {};
    }

    /// A process may have a pool several times.
    static void note(found_pool& pool, pid_t pid) noexcept {
        for (const pid_t known : array_view{pool.processes}.first(pool.process_count)) {
            if (known == pid) {
                return;
            }
        }
        if (pool.process_count < pool.processes.size()) {
            pool.processes[pool.process_count++] = pid;
        }
    }

    array_view<found_pool> into_;
    pool_search_report report_;
};

}  // namespace zcpool::ipc
