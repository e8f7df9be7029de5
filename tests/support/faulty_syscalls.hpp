// SPDX-License-Identifier: MIT
#pragma once

// The provider of system calls in tests: the real kernel, until a test asks for a fault.
//
// A test arms it with a `faults` object: fail the i-th call from now on, answer short counts, or
// leave pages where they are. The counting is of calls by any thread, in the order in which they
// are made.

#include <time.h>  // which linux/errqueue.h needs and does not include

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <zcpool/sys/kernel.hpp>

namespace zcpool_test {

/// What the provider does wrong. One at a time; what it changed ends with it.
class faults {
public:
    faults() noexcept { reset(); }
    faults(const faults&) = delete;
    faults& operator=(const faults&) = delete;
    ~faults() { reset(); }

    /// Fails the call with this number, counted from 0, and `many` calls from there on.
    void fail_call(long number, int error, long many = 1) noexcept {
        calls_.store(0);
        error_.store(error);
        many_.store(many);
        first_.store(number);
    }
    /// Calls made since fail_call().
    [[nodiscard]] static long calls() noexcept { return calls_.load(); }

    /// Answers sends with at most this many bytes.
    static void shorten_sends(std::size_t bytes) noexcept { longest_send_.store(bytes); }
    /// Answers reads, receives and moving bytes from a socket or file into a pipe with at most this
    /// many bytes.
    static void shorten_receives(std::size_t bytes) noexcept { longest_receive_.store(bytes); }
    /// Answers punching a hole (and taking anonymous pages away) with success and does nothing:
    /// renewal is switched off, but for the first `working` times.
    static void switch_renewal_off(long working = 0) noexcept { working_punches_.store(working); }
    /// Says that the system's pages have this size; 0: no longer.
    static void pretend_page_size(long bytes) noexcept { page_size_.store(bytes); }
    /// Fails every punch with this error; 0: no longer.
    static void fail_punches(int error) noexcept { punch_error_.store(error); }
    /// Fails every populating with this error; 0: no longer.
    static void fail_populating(int error) noexcept { populate_error_.store(error); }
    /// Makes every punch wait until resume_punches(), or ten seconds: a slot stays in the middle of
    /// its renewal.
    static void hold_punches() noexcept { punches_held_.store(true); }
    static void resume_punches() noexcept { punches_held_.store(false); }
    /// Punches that wait at the moment.
    [[nodiscard]] static int held_punches() noexcept { return punches_waiting_.load(); }
    /// Refuses MFD_NOEXEC_SEAL, as kernels before 6.3 do.
    static void forget_noexec_seal() noexcept { old_memfd_.store(true); }
    /// Answers membarrier with this error; 0: no longer.
    static void refuse_membarrier(int error) noexcept { membarrier_error_.store(error); }
    /// Says that the process runs as this user; -1: no longer.
    static void pretend_uid(long uid) noexcept { uid_.store(uid); }
    /// Makes every punch reach no more than this many bytes of what it was asked for.
    static void shorten_punches(long bytes) noexcept { longest_punch_.store(bytes); }
    /// Makes every punch in parts of this many bytes, one after the other, as if slots were renewed
    /// each by itself.
    static void split_punches(long bytes) noexcept { punch_part_.store(bytes); }
    /// Answers sendfile and splice from a file with 0 bytes, as at the end of a file.
    static void end_files() noexcept { files_end_.store(true); }
    /// Answers sendfile with this error; 0: no longer.
    static void fail_sendfile(int error) noexcept { sendfile_error_.store(error); }
    /// Answers moving bytes out of a pipe with this error; 0: no longer.
    static void fail_splice_out(int error) noexcept { splice_out_error_.store(error); }
    /// Refuses SO_ZEROCOPY with this error; 0: no longer.
    static void refuse_zerocopy(int error) noexcept { zerocopy_error_.store(error); }
    /// Answers sends by reference with this error; 0: no longer.
    static void fail_references(int error) noexcept { reference_error_.store(error); }
    /// Says at once that the kernel has done with all sends by reference, which it has not.
    static void forge_notices() noexcept { forged_notices_.store(true); }
    /// Answers making a pipe with this error; 0: no longer.
    static void fail_pipes(int error) noexcept { pipe_error_.store(error); }
    /// Refuses pipes larger than this, as the system does to a user who has many.
    static void shorten_pipes(int bytes) noexcept { largest_pipe_.store(bytes); }
    /// Answers locking pages that are not there yet with this error; 0: no longer.
    static void fail_lock_trials(int error) noexcept { lock_error_.store(error); }
    /// Answers making an io_uring with this error; 0: no longer.
    static void refuse_rings(int error) noexcept { ring_error_.store(error); }
    /// Refuses all settings of an io_uring, as kernels before 5.19 do those that are used here.
    static void forget_ring_settings() noexcept { old_rings_.store(true); }

private:
    friend struct faulty_kernel;

    static void reset() noexcept {
        first_.store(-1);
        longest_send_.store(SIZE_MAX);
        longest_receive_.store(SIZE_MAX);
        working_punches_.store(LONG_MAX);
        page_size_.store(0);
        longest_punch_.store(LONG_MAX);
        punch_part_.store(LONG_MAX);
        files_end_.store(false);
        punches_held_.store(false);
        punch_error_.store(0);
        populate_error_.store(0);
        sendfile_error_.store(0);
        splice_out_error_.store(0);
        pipe_error_.store(0);
        zerocopy_error_.store(0);
        reference_error_.store(0);
        forged_notices_.store(false);
        largest_pipe_.store(INT_MAX);
        membarrier_error_.store(0);
        lock_error_.store(0);
        ring_error_.store(0);
        old_rings_.store(false);
        uid_.store(-1);
        old_memfd_.store(false);
    }

    /// Counts a call. Returns: whether it must fail; errno says how.
    static bool strikes() noexcept {
        const long number = calls_.fetch_add(1);
        const long first = first_.load();
        if (first < 0 || number < first || number >= first + many_.load()) {
            return false;
        }
        errno = error_.load();
        return true;
    }
    static bool strikes(const std::atomic<int>& error) noexcept {
        const int code = error.load();
        if (code != 0) {
            errno = code;
        }
        return code != 0 || strikes();
    }

    inline static std::atomic<long> calls_{0};
    inline static std::atomic<long> first_{-1};
    inline static std::atomic<long> many_{1};
    inline static std::atomic<int> error_{EIO};
    inline static std::atomic<std::size_t> longest_send_{SIZE_MAX};
    inline static std::atomic<std::size_t> longest_receive_{SIZE_MAX};
    inline static std::atomic<long> working_punches_{LONG_MAX};
    inline static std::atomic<long> page_size_{0};
    inline static std::atomic<long> longest_punch_{LONG_MAX};
    inline static std::atomic<long> punch_part_{LONG_MAX};
    inline static std::atomic<bool> files_end_{false};
    static void wait_while_held() noexcept {
        punches_waiting_.fetch_add(1);
        for (int i = 0; punches_held_.load() && i < 10'000; ++i) {
            ::usleep(1'000);
        }
        punches_waiting_.fetch_sub(1);
    }

    inline static std::atomic<bool> punches_held_{false};
    inline static std::atomic<int> punches_waiting_{0};
    inline static std::atomic<bool> old_memfd_{false};
    inline static std::atomic<int> punch_error_{0};
    inline static std::atomic<int> populate_error_{0};
    inline static std::atomic<int> sendfile_error_{0};
    inline static std::atomic<int> splice_out_error_{0};
    inline static std::atomic<int> pipe_error_{0};
    inline static std::atomic<int> zerocopy_error_{0};
    inline static std::atomic<int> reference_error_{0};
    inline static std::atomic<bool> forged_notices_{false};
    inline static std::atomic<int> largest_pipe_{INT_MAX};
    inline static std::atomic<int> membarrier_error_{0};
    inline static std::atomic<int> lock_error_{0};
    inline static std::atomic<int> ring_error_{0};
    inline static std::atomic<bool> old_rings_{false};
    inline static std::atomic<long> uid_{-1};
};

/// The kernel behind the faults. Closing and unmapping always work: nobody could do anything about
/// it.
struct faulty_kernel : zcpool::sys::kernel {
    using real = zcpool::sys::kernel;

    static int memfd_create(const char* name, unsigned flags) noexcept {
        if (faults::old_memfd_.load() && (flags & 0x0008U) != 0) {
            errno = EINVAL;
            return -1;
        }
        return faults::strikes() ? -1 : real::memfd_create(name, flags);
    }
    static int open(const char* path, int flags) noexcept {
        return faults::strikes() ? -1 : real::open(path, flags);
    }
    static int ftruncate(int fd, off_t bytes) noexcept {
        return faults::strikes() ? -1 : real::ftruncate(fd, bytes);
    }
    static int fchmod(int fd, mode_t mode) noexcept {
        return faults::strikes() ? -1 : real::fchmod(fd, mode);
    }
    static int fstat(int fd, struct stat* status) noexcept {
        return faults::strikes() ? -1 : real::fstat(fd, status);
    }
    static int lstat(const char* path, struct stat* status) noexcept {
        return faults::strikes() ? -1 : real::lstat(path, status);
    }
    static ssize_t readlink(const char* path, char* into, std::size_t bytes) noexcept {
        return faults::strikes() ? -1 : real::readlink(path, into, bytes);
    }
    static ssize_t getdents64(int fd, void* into, std::size_t bytes) noexcept {
        return faults::strikes() ? -1 : real::getdents64(fd, into, bytes);
    }
    static int add_seals(int fd, int seals) noexcept {
        return faults::strikes() ? -1 : real::add_seals(fd, seals);
    }
    static int get_flags(int fd) noexcept { return faults::strikes() ? -1 : real::get_flags(fd); }
    static int fstatfs(int fd, struct statfs* system) noexcept {
        return faults::strikes() ? -1 : real::fstatfs(fd, system);
    }
    static int get_seals(int fd) noexcept { return faults::strikes() ? -1 : real::get_seals(fd); }
    static int fallocate(int fd, int mode, off_t offset, off_t bytes) noexcept {
        if ((mode & FALLOC_FL_PUNCH_HOLE) == 0) {
            return faults::strikes() ? -1 : real::fallocate(fd, mode, offset, bytes);
        }
        return punch(bytes, [=](off_t from, off_t part) {
            return real::fallocate(fd, mode, offset + from, part);
        });
    }
    static void* mmap(void* hint, std::size_t bytes, int protection, int flags, int fd,
                      off_t offset) noexcept {
        return faults::strikes() ? MAP_FAILED
                                 : real::mmap(hint, bytes, protection, flags, fd, offset);
    }
    static int mprotect(void* address, std::size_t bytes, int protection) noexcept {
        return faults::strikes() ? -1 : real::mprotect(address, bytes, protection);
    }
    static int madvise(void* address, std::size_t bytes, int advice) noexcept {
        constexpr int populate_write = 23;
        constexpr int drop_even_locked = 24;
        if (advice == drop_even_locked) {
            return punch(static_cast<off_t>(bytes), [=](off_t from, off_t part) {
                return real::madvise(static_cast<std::byte*>(address) + from,
                                     static_cast<std::size_t>(part), advice);
            });
        }
        if (advice == populate_write ? faults::strikes(faults::populate_error_)
                                     : faults::strikes()) {
            return -1;
        }
        return real::madvise(address, bytes, advice);
    }
    static int mlock(const void* address, std::size_t bytes) noexcept {
        return faults::strikes() ? -1 : real::mlock(address, bytes);
    }
    static int lock_on_fault(const void* address, std::size_t bytes) noexcept {
        return faults::strikes(faults::lock_error_) ? -1 : real::lock_on_fault(address, bytes);
    }
    static int getrlimit_memlock(struct rlimit* limit) noexcept {
        return faults::strikes() ? -1 : real::getrlimit_memlock(limit);
    }
    static int sysinfo(struct ::sysinfo* system) noexcept {
        return faults::strikes() ? -1 : real::sysinfo(system);
    }
    static long membarrier(int command) noexcept {
        return faults::strikes(faults::membarrier_error_) ? -1 : real::membarrier(command);
    }
    static long system_page_size() noexcept {
        const long pretended = faults::page_size_.load();
        return pretended == 0 ? real::system_page_size() : pretended;
    }
    static int pipe2(int ends[2], int flags) noexcept {
        return faults::strikes(faults::pipe_error_) ? -1 : real::pipe2(ends, flags);
    }
    static ssize_t read(int fd, void* into, std::size_t bytes) noexcept {
        if (faults::files_end_.load()) {
            return 0;
        }
        return faults::strikes() ? -1 : real::read(fd, into, received(bytes));
    }
    static ssize_t pread(int fd, void* into, std::size_t bytes, off_t offset) noexcept {
        return faults::strikes() ? -1 : real::pread(fd, into, bytes, offset);
    }
    static uid_t geteuid() noexcept {
        const long pretended = faults::uid_.load();
        return pretended < 0 ? real::geteuid() : static_cast<uid_t>(pretended);
    }
    static int pidfd_open(pid_t pid) noexcept {
        return faults::strikes() ? -1 : real::pidfd_open(pid);
    }
    static int poll(pollfd* entries, nfds_t count, int milliseconds) noexcept {
        return faults::strikes() ? -1 : real::poll(entries, count, milliseconds);
    }
    static ssize_t write(int fd, const void* from, std::size_t bytes) noexcept {
        return faults::strikes() ? -1 : real::write(fd, from, bytes);
    }
    static int eventfd(unsigned count, int flags) noexcept {
        return faults::strikes() ? -1 : real::eventfd(count, flags);
    }
    static ssize_t splice(int from, off_t* offset, int to, std::size_t bytes,
                          unsigned flags) noexcept {
        // Out of a pipe there is no offset. Only that way is shortened: how much of a file fits
        // into a pipe is no send.
        if (offset != nullptr) {
            return faults::strikes()           ? -1
                   : faults::files_end_.load() ? 0
                                               : real::splice(from, offset, to, bytes, flags);
        }
        if (!is_pipe(from)) {  // into a pipe, from what has no offset
            return faults::strikes() ? -1 : real::splice(from, offset, to, received(bytes), flags);
        }
        if (faults::strikes(faults::splice_out_error_)) {
            return -1;
        }
        const std::size_t longest = faults::longest_send_.load();
        return real::splice(from, offset, to, bytes < longest ? bytes : longest, flags);
    }
    static ssize_t vmsplice(int to, const iovec* parts, std::size_t count,
                            unsigned flags) noexcept {
        return faults::strikes() ? -1 : real::vmsplice(to, parts, count, flags);
    }
    static int get_pipe_size(int fd) noexcept {
        return faults::strikes() ? -1 : real::get_pipe_size(fd);
    }
    static int set_pipe_size(int fd, int bytes) noexcept {
        if (bytes > faults::largest_pipe_.load()) {
            errno = EPERM;
            return -1;
        }
        return faults::strikes() ? -1 : real::set_pipe_size(fd, bytes);
    }
    static ssize_t writev(int fd, const iovec* parts, int count) noexcept {
        if (faults::strikes()) {
            return -1;
        }
        const shortened list{parts, static_cast<std::size_t>(count)};
        return real::writev(fd, list.parts, static_cast<int>(list.count));
    }
    static ssize_t sendmsg(int socket, const msghdr* message, int flags) noexcept {
        const bool by_reference = (flags & MSG_ZEROCOPY) != 0;
        if (by_reference ? faults::strikes(faults::reference_error_) : faults::strikes()) {
            return -1;
        }
        const shortened list{message->msg_iov, message->msg_iovlen};
        msghdr less = *message;
        less.msg_iov = const_cast<iovec*>(list.parts);
        less.msg_iovlen = list.count;
        return real::sendmsg(socket, &less, flags);
    }
    static ssize_t recvmsg(int socket, msghdr* message, int flags) noexcept {
        if (faults::strikes()) {
            return -1;
        }
        if (!faults::forged_notices_.load()) {
            if (faults::longest_receive_.load() != SIZE_MAX && message->msg_iovlen != 0) {
                message->msg_iovlen = 1;
                message->msg_iov[0].iov_len = received(message->msg_iov[0].iov_len);
            }
            return real::recvmsg(socket, message, flags);
        }
        sock_extended_err told{};
        told.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
        told.ee_data = 0x3FFF'FFFF;
        cmsghdr* const header = CMSG_FIRSTHDR(message);
        header->cmsg_level = SOL_IP;
        header->cmsg_type = IP_RECVERR;
        header->cmsg_len = CMSG_LEN(sizeof told);
        std::memcpy(CMSG_DATA(header), &told, sizeof told);
        message->msg_controllen = CMSG_SPACE(sizeof told);
        return 0;
    }
    static int socket(int family, int type) noexcept {
        return faults::strikes() ? -1 : real::socket(family, type);
    }
    static int socketpair(int type, int ends[2]) noexcept {
        return faults::strikes() ? -1 : real::socketpair(type, ends);
    }
    static int io_uring_setup(unsigned entries, void* parameters) noexcept {
        // The flags are the third of its numbers.
        std::uint32_t flags = 0;
        std::memcpy(&flags, static_cast<std::byte*>(parameters) + 8, sizeof flags);
        if (faults::old_rings_.load() && flags != 0) {
            errno = EINVAL;
            return -1;
        }
        return faults::strikes(faults::ring_error_) ? -1
                                                    : real::io_uring_setup(entries, parameters);
    }
    static int io_uring_register(int ring, unsigned operation, void* argument,
                                 unsigned count) noexcept {
        return faults::strikes() ? -1 : real::io_uring_register(ring, operation, argument, count);
    }
    static int getsockopt(int socket, int level, int name, void* value, socklen_t* bytes) noexcept {
        return faults::strikes() ? -1 : real::getsockopt(socket, level, name, value, bytes);
    }
    static int setsockopt(int socket, int level, int name, const void* value,
                          socklen_t bytes) noexcept {
        return faults::strikes(faults::zerocopy_error_)
                   ? -1
                   : real::setsockopt(socket, level, name, value, bytes);
    }
    static int connect(int socket, const sockaddr* address, socklen_t bytes) noexcept {
        return faults::strikes() ? -1 : real::connect(socket, address, bytes);
    }
    static int shutdown(int socket, int how) noexcept {
        return faults::strikes() ? -1 : real::shutdown(socket, how);
    }
    static int duplicate(int fd) noexcept { return faults::strikes() ? -1 : real::duplicate(fd); }
    static ssize_t sendfile(int to, int from, off_t* offset, std::size_t bytes) noexcept {
        if (faults::strikes(faults::sendfile_error_)) {
            return -1;
        }
        if (faults::files_end_.load()) {
            return 0;
        }
        const std::size_t longest = faults::longest_send_.load();
        return real::sendfile(to, from, offset, bytes < longest ? bytes : longest);
    }
    static long futex(std::uint32_t* word, int operation, std::uint32_t value,
                      const timespec* deadline, std::uint32_t mask) noexcept {
        return faults::strikes() ? -1 : real::futex(word, operation, value, deadline, mask);
    }

private:
    static std::size_t received(std::size_t asked) noexcept {
        return std::min(asked, faults::longest_receive_.load());
    }
    static bool is_pipe(int fd) noexcept {
        struct stat status{};
        return real::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
    }

    /// Takes pages away, of a file or of memory: renewal's first half.
    template <class Take>
    static int punch(off_t bytes, Take&& take) noexcept {
        faults::wait_while_held();
        if (faults::strikes(faults::punch_error_)) {
            return -1;
        }
        if (faults::working_punches_.fetch_sub(1) <= 0) {
            return 0;
        }
        const off_t all = std::min<off_t>(bytes, faults::longest_punch_.load());
        const off_t part = std::min<off_t>(all, faults::punch_part_.load());
        if (part == all) {
            return take(0, all);  // also where it makes no sense
        }
        for (off_t from = 0; from < all; from += part) {
            if (const int answer = take(from, std::min(part, all - from)); answer != 0) {
                return answer;
            }
        }
        return 0;
    }

    /// The beginning of a list of parts, no longer in all than a send may be.
    struct shortened {
        shortened(const iovec* all, std::size_t many) noexcept : parts(all), count(many) {
            const std::size_t longest = faults::longest_send_.load();
            if (longest != SIZE_MAX && many != 0) {
                first = all[0];
                first.iov_len = first.iov_len < longest ? first.iov_len : longest;
                parts = &first;
                count = 1;
            }
        }
        iovec first{};
        const iovec* parts;
        std::size_t count;
    };
};

}  // namespace zcpool_test

namespace zcpool::sys {
using provider = zcpool_test::faulty_kernel;
}  // namespace zcpool::sys
