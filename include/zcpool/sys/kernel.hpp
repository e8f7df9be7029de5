// SPDX-License-Identifier: MIT
#pragma once

// Every system call of the library, as it is: the arguments and the -1/errno answer of the C
// library.
//
// Nothing else in include/ calls the system. `sys/call.hpp` picks this provider or the one that a
// test puts in its place, and turns the answers into values. A call that is missing from the C
// library of the oldest supported system goes through syscall(2) here.

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace zcpool::sys {

/// The real kernel. A test's provider derives from this and hides what it wants to fail.
struct kernel {
    static int memfd_create(const char* name, unsigned flags) noexcept {
        return ::memfd_create(name, flags);
    }
    static int open(const char* path, int flags) noexcept { return ::open(path, flags); }
    static int close(int fd) noexcept { return ::close(fd); }
    static int ftruncate(int fd, off_t bytes) noexcept { return ::ftruncate(fd, bytes); }
    static int fchmod(int fd, mode_t mode) noexcept { return ::fchmod(fd, mode); }
    static int fstat(int fd, struct stat* status) noexcept { return ::fstat(fd, status); }
    /// Of a link itself, not of what it leads to.
    static int lstat(const char* path, struct stat* status) noexcept {
        return ::lstat(path, status);
    }
    static ssize_t readlink(const char* path, char* into, std::size_t bytes) noexcept {
        return ::readlink(path, into, bytes);
    }
    /// Entries of a directory, each a `dirent64`; the C library has it only since 2.30.
    static ssize_t getdents64(int fd, void* into, std::size_t bytes) noexcept {
        return ::syscall(SYS_getdents64, fd, into, bytes);
    }
    static int add_seals(int fd, int seals) noexcept { return ::fcntl(fd, F_ADD_SEALS, seals); }
    static int get_flags(int fd) noexcept { return ::fcntl(fd, F_GETFL); }
    static int fstatfs(int fd, struct statfs* system) noexcept { return ::fstatfs(fd, system); }
    static int get_seals(int fd) noexcept { return ::fcntl(fd, F_GET_SEALS); }
    static int fallocate(int fd, int mode, off_t offset, off_t bytes) noexcept {
        return ::fallocate(fd, mode, offset, bytes);
    }

    static void* mmap(void* hint, std::size_t bytes, int protection, int flags, int fd,
                      off_t offset) noexcept {
        return ::mmap(hint, bytes, protection, flags, fd, offset);
    }
    static int munmap(void* address, std::size_t bytes) noexcept {
        return ::munmap(address, bytes);
    }
    static int mprotect(void* address, std::size_t bytes, int protection) noexcept {
        return ::mprotect(address, bytes, protection);
    }
    static int madvise(void* address, std::size_t bytes, int advice) noexcept {
        return ::madvise(address, bytes, advice);
    }
    static int mlock(const void* address, std::size_t bytes) noexcept {
        return ::mlock(address, bytes);
    }
    /// mlock2 with MLOCK_ONFAULT: pages are locked as they come, and none is brought now.
    static int lock_on_fault(const void* address, std::size_t bytes) noexcept {
        constexpr unsigned on_fault = 0x01;
        return static_cast<int>(::syscall(SYS_mlock2, address, bytes, on_fault));
    }
    static pid_t getpid() noexcept { return ::getpid(); }
    static uid_t geteuid() noexcept { return ::geteuid(); }
    /// A descriptor of a process; the C library of Debian 12 has no declaration for it.
    static int pidfd_open(pid_t pid) noexcept {
        constexpr long number = 434;  // the same on every architecture
        return static_cast<int>(::syscall(number, pid, 0U));
    }
    static int poll(pollfd* entries, nfds_t count, int milliseconds) noexcept {
        return ::poll(entries, count, milliseconds);
    }
    static int getrlimit_memlock(struct rlimit* limit) noexcept {
        return ::getrlimit(RLIMIT_MEMLOCK, limit);
    }
    static int sysinfo(struct ::sysinfo* system) noexcept { return ::sysinfo(system); }
    static int clock_gettime(clockid_t clock, timespec* now) noexcept {
        return ::clock_gettime(clock, now);
    }
    static long membarrier(int command) noexcept {
        return ::syscall(SYS_membarrier, command, 0, 0);
    }
    static void yield() noexcept { static_cast<void>(::sched_yield()); }
    static long system_page_size() noexcept { return ::sysconf(_SC_PAGESIZE); }

    static int pipe2(int ends[2], int flags) noexcept { return ::pipe2(ends, flags); }
    static ssize_t read(int fd, void* into, std::size_t bytes) noexcept {
        return ::read(fd, into, bytes);
    }
    static ssize_t pread(int fd, void* into, std::size_t bytes, off_t offset) noexcept {
        return ::pread(fd, into, bytes, offset);
    }
    static ssize_t write(int fd, const void* from, std::size_t bytes) noexcept {
        return ::write(fd, from, bytes);
    }
    static int eventfd(unsigned count, int flags) noexcept { return ::eventfd(count, flags); }
    static ssize_t splice(int from, off_t* offset, int to, std::size_t bytes,
                          unsigned flags) noexcept {
        return ::splice(from, offset, to, nullptr, bytes, flags);
    }
    static ssize_t vmsplice(int to, const iovec* parts, std::size_t count,
                            unsigned flags) noexcept {
        return ::vmsplice(to, parts, count, flags);
    }
    static int get_pipe_size(int fd) noexcept { return ::fcntl(fd, F_GETPIPE_SZ); }
    static int set_pipe_size(int fd, int bytes) noexcept {
        return ::fcntl(fd, F_SETPIPE_SZ, bytes);
    }
    static ssize_t writev(int fd, const iovec* parts, int count) noexcept {
        return ::writev(fd, parts, count);
    }
    static ssize_t sendmsg(int socket, const msghdr* message, int flags) noexcept {
        return ::sendmsg(socket, message, flags);
    }
    static ssize_t recvmsg(int socket, msghdr* message, int flags) noexcept {
        return ::recvmsg(socket, message, flags);
    }
    static int socket(int family, int type) noexcept { return ::socket(family, type, 0); }
    static int socketpair(int type, int ends[2]) noexcept {
        return ::socketpair(AF_UNIX, type, 0, ends);
    }
    static int getsockopt(int socket, int level, int name, void* value, socklen_t* bytes) noexcept {
        return ::getsockopt(socket, level, name, value, bytes);
    }
    static int setsockopt(int socket, int level, int name, const void* value,
                          socklen_t bytes) noexcept {
        return ::setsockopt(socket, level, name, value, bytes);
    }
    static int connect(int socket, const sockaddr* address, socklen_t bytes) noexcept {
        return ::connect(socket, address, bytes);
    }
    static int shutdown(int socket, int how) noexcept { return ::shutdown(socket, how); }
    /// A second descriptor for the same, close-on-exec.
    static int duplicate(int fd) noexcept { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); }
    static ssize_t sendfile(int to, int from, off_t* offset, std::size_t bytes) noexcept {
        return ::sendfile(to, from, offset, bytes);
    }

    // The C library has no functions for io_uring; the numbers are the same on every architecture.
    static int io_uring_setup(unsigned entries, void* parameters) noexcept {
        return static_cast<int>(::syscall(425, entries, parameters));
    }
    static int io_uring_register(int ring, unsigned operation, void* argument,
                                 unsigned count) noexcept {
        return static_cast<int>(::syscall(427, ring, operation, argument, count));
    }

    /// FUTEX_WAIT_BITSET with an absolute CLOCK_MONOTONIC deadline (null: none) and
    /// FUTEX_WAKE_BITSET.
    static long futex(std::uint32_t* word, int operation, std::uint32_t value,
                      const timespec* deadline, std::uint32_t mask) noexcept {
        return ::syscall(SYS_futex, word, operation, value, deadline, nullptr, mask);
    }
};

}  // namespace zcpool::sys
