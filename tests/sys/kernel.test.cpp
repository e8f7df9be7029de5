// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <support/catch.hpp>
#include <zcpool/sys/kernel.hpp>
#include <zcpool/sys/unique_fd.hpp>

namespace {

using zcpool::sys::kernel;
using zcpool::sys::unique_fd;

// The wrappers of this layer are tested in files of their own, with a provider between them and the
// kernel. Here is the kernel itself: each function is the call of its name, and answers as it does.

constexpr std::size_t page = 4096;

unique_fd make_file(std::size_t bytes) {
    unique_fd file{kernel::memfd_create("zcpool-test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    REQUIRE(file);
    REQUIRE(kernel::ftruncate(file.get(), static_cast<off_t>(bytes)) == 0);
    return file;
}

/// Calls, and says with which errno it answered -1; 0 when it did not.
template <class Call>
int errno_of(Call&& request) {
    errno = 0;
    return request() == -1 ? errno : 0;
}

TEST_CASE("kernel: a descriptor that is not open is answered with -1 and EBADF", "[sys]") {
    struct stat status{};
    std::byte byte{};
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const unique_fd file = make_file(page);
    CHECK(errno_of([&] { return kernel::close(-1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::ftruncate(-1, 0); }) == EBADF);
    CHECK(errno_of([&] { return kernel::fchmod(-1, 0600); }) == EBADF);
    CHECK(errno_of([&] { return kernel::fstat(-1, &status); }) == EBADF);
    CHECK(errno_of([&] { return kernel::getdents64(-1, &byte, 1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::add_seals(-1, F_SEAL_GROW); }) == EBADF);
    CHECK(errno_of([&] { return kernel::get_seals(-1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::fallocate(-1, 0, 0, page); }) == EBADF);
    CHECK(errno_of([&] { return kernel::read(-1, &byte, 1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::splice(-1, nullptr, file.get(), 1, 0); }) == EBADF);
    CHECK(errno_of([&] { return kernel::vmsplice(-1, &part, 1, 0); }) == EBADF);
    CHECK(errno_of([&] { return kernel::get_pipe_size(-1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::set_pipe_size(-1, 4096); }) == EBADF);
    CHECK(errno_of([&] { return kernel::writev(-1, &part, 1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::sendmsg(-1, &message, 0); }) == EBADF);
    int value = 0;
    socklen_t bytes = sizeof value;
    const sockaddr address{};
    CHECK(errno_of([&] { return kernel::recvmsg(-1, &message, 0); }) == EBADF);
    CHECK(errno_of([&] { return kernel::getsockopt(-1, 0, 0, &value, &bytes); }) == EBADF);
    CHECK(errno_of([&] { return kernel::setsockopt(-1, 0, 0, &value, bytes); }) == EBADF);
    CHECK(errno_of([&] { return kernel::connect(-1, &address, sizeof address); }) == EBADF);
    CHECK(errno_of([&] { return kernel::shutdown(-1, SHUT_WR); }) == EBADF);
    CHECK(errno_of([&] { return kernel::duplicate(-1); }) == EBADF);
    CHECK(errno_of([&] { return kernel::sendfile(-1, file.get(), nullptr, 1); }) == EBADF);
    CHECK(kernel::mmap(nullptr, page, PROT_READ, MAP_SHARED, -1, 0) == MAP_FAILED);
    CHECK(errno == EBADF);
}

TEST_CASE("kernel: a link has a mode and a text of its own", "[sys]") {
    const unique_fd file = make_file(page);
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", file.get());
    struct stat status{};
    REQUIRE(kernel::lstat(path, &status) == 0);
    CHECK(S_ISLNK(status.st_mode));
    char text[64]{};
    CHECK(kernel::readlink(path, text, sizeof text) == 28);
    CHECK(std::string_view{text} == "/memfd:zcpool-test (deleted)");
    CHECK(errno_of([&] { return kernel::lstat("/no/such", &status); }) == ENOENT);
    CHECK(errno_of([&] { return kernel::readlink("/", text, sizeof text); }) == EINVAL);
}

TEST_CASE("kernel: a file has the size, mode and seals that it was given", "[sys]") {
    const unique_fd file = make_file(3 * page);
    REQUIRE(kernel::fchmod(file.get(), 0640) == 0);
    REQUIRE(kernel::add_seals(file.get(), F_SEAL_GROW) == 0);
    struct stat status{};
    REQUIRE(kernel::fstat(file.get(), &status) == 0);
    CHECK(status.st_size == 3 * page);
    CHECK((status.st_mode & 07777) == 0640);
    CHECK((kernel::get_seals(file.get()) & F_SEAL_GROW) != 0);
    CHECK((kernel::get_seals(file.get()) & F_SEAL_SHRINK) == 0);
}

TEST_CASE("kernel: the pages of a range, and of no other, come and go", "[sys]") {
    const unique_fd file = make_file(4 * page);
    const auto pages_there = [&] {
        struct stat status{};
        REQUIRE(kernel::fstat(file.get(), &status) == 0);
        return static_cast<std::size_t>(status.st_blocks) * 512 / page;
    };
    REQUIRE(kernel::fallocate(file.get(), 0, page, 2 * page) == 0);
    CHECK(pages_there() == 2);
    for (off_t each = 0; each < 4; ++each) {
        REQUIRE(::pwrite(file.get(), "x", 1, each * static_cast<off_t>(page)) == 1);
    }
    REQUIRE(kernel::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, page) ==
            0);
    CHECK(pages_there() == 3);
    CHECK(::lseek(file.get(), 0, SEEK_HOLE) == page);
    CHECK(::lseek(file.get(), page, SEEK_DATA) == 2 * page);
}

TEST_CASE("kernel: a closed descriptor is closed", "[sys]") {
    unique_fd file = make_file(page);
    const int fd = file.release();
    CHECK(kernel::close(fd) == 0);
    CHECK(errno_of([&] { return kernel::close(fd); }) == EBADF);
}

TEST_CASE("kernel: a mapping shows the file from the offset on, until it is unmapped", "[sys]") {
    const unique_fd file = make_file(2 * page);
    REQUIRE(::pwrite(file.get(), "second", 6, page) == 6);
    void* const mapped =
        kernel::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), page);
    REQUIRE(mapped != MAP_FAILED);
    CHECK(std::memcmp(mapped, "second", 6) == 0);
    CHECK(kernel::madvise(mapped, page, MADV_DONTNEED) == 0);
    CHECK(errno_of([&] { return kernel::madvise(mapped, page, 9999); }) == EINVAL);
    CHECK(kernel::munmap(mapped, page) == 0);
    CHECK(errno_of([&] { return kernel::madvise(mapped, page, MADV_DONTNEED); }) == ENOMEM);
    CHECK(errno_of([&] { return kernel::munmap(mapped, 0); }) == EINVAL);
}

TEST_CASE("kernel: memory limits and sizes are those of the machine", "[sys]") {
    struct rlimit limit{};
    struct rlimit expected{};
    REQUIRE(kernel::getrlimit_memlock(&limit) == 0);
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &expected) == 0);
    CHECK(limit.rlim_cur == expected.rlim_cur);
    CHECK(limit.rlim_max == expected.rlim_max);

    struct ::sysinfo machine{};
    REQUIRE(kernel::sysinfo(&machine) == 0);
    const auto pages = static_cast<unsigned long>(::sysconf(_SC_PHYS_PAGES));
    const auto page_bytes = static_cast<unsigned long>(kernel::system_page_size());
    CHECK(page_bytes == static_cast<unsigned long>(::getpagesize()));
    CHECK(machine.totalram * machine.mem_unit == pages * page_bytes);

    alignas(page) static std::byte memory[page];
    CHECK(kernel::mlock(memory, page) == ::mlock(memory, page));
    ::munlock(memory, page);
}

TEST_CASE("kernel: bytes go from a file through a pipe and come out in order", "[sys]") {
    const unique_fd file = make_file(page);
    REQUIRE(::pwrite(file.get(), "0123456789", 10, 0) == 10);
    int ends[2];
    REQUIRE(kernel::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const unique_fd out{ends[0]};
    const unique_fd in{ends[1]};
    CHECK((::fcntl(out.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(in.get(), F_GETFL) & O_NONBLOCK) != 0);

    off_t offset = 2;
    CHECK(kernel::splice(file.get(), &offset, in.get(), 3, 0) == 3);
    CHECK(offset == 5);
    CHECK(kernel::sendfile(in.get(), file.get(), &offset, 2) == 2);
    CHECK(offset == 7);
    char letters[] = "abcdefgh";
    const std::array<iovec, 2> parts{{{letters, 1}, {letters + 2, 2}}};
    CHECK(kernel::writev(in.get(), parts.data(), 2) == 3);
    const std::array<iovec, 2> pages{{{letters + 4, 1}, {letters + 6, 1}}};
    CHECK(kernel::vmsplice(in.get(), pages.data(), 2, 0) == 2);
    CHECK(kernel::set_pipe_size(in.get(), 1 << 19) == 1 << 19);
    CHECK(kernel::get_pipe_size(out.get()) == 1 << 19);
    std::array<char, 64> found{};
    CHECK(kernel::read(out.get(), found.data(), 9) == 9);
    CHECK(std::string_view{found.data(), 9} == "23456acde");
    CHECK(kernel::read(out.get(), found.data(), found.size()) == 1);
    CHECK(errno_of([&] { return kernel::read(out.get(), found.data(), 1); }) == EAGAIN);
}

TEST_CASE("kernel: a message reaches the other end of a socket, with its flags", "[sys]") {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd ours{ends[0]};
    unique_fd peer{ends[1]};
    char letters[] = "abcd";
    std::array<iovec, 2> parts{{{letters + 2, 2}, {letters, 1}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    CHECK(kernel::sendmsg(ours.get(), &message, 0) == 3);
    std::array<char, 64> found{};
    CHECK(kernel::read(peer.get(), found.data(), found.size()) == 3);
    CHECK(std::string_view{found.data(), 3} == "cda");
    CHECK(errno_of([&] { return kernel::sendmsg(ours.get(), &message, MSG_OOB); }) == EOPNOTSUPP);
    peer.reset();
    CHECK(errno_of([&] { return kernel::sendmsg(ours.get(), &message, MSG_NOSIGNAL); }) == EPIPE);
}

TEST_CASE("kernel: a socket has the options that it was given, and a second descriptor", "[sys]") {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const unique_fd ours{ends[0]};
    const unique_fd peer{ends[1]};
    const int on = 1;
    REQUIRE(kernel::setsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    int found = 0;
    socklen_t bytes = sizeof found;
    CHECK(kernel::getsockopt(ours.get(), SOL_SOCKET, SO_PASSCRED, &found, &bytes) == 0);
    CHECK(found == 1);
    const unique_fd second{kernel::duplicate(ours.get())};
    REQUIRE(second);
    CHECK((::fcntl(second.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(::write(peer.get(), "x", 1) == 1);
    char letter = 0;
    iovec part{&letter, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    CHECK(kernel::recvmsg(second.get(), &message, 0) == 1);
    CHECK(letter == 'x');
    CHECK(kernel::shutdown(second.get(), SHUT_WR) == 0);
    CHECK(::read(peer.get(), &letter, 1) == 0);
    const sockaddr nowhere{};
    CHECK(errno_of([&] { return kernel::connect(ours.get(), &nowhere, sizeof nowhere); }) != 0);
    CHECK(kernel::getpid() == ::getpid());
}

TEST_CASE("kernel: a futex answers as the system does", "[sys]") {
    std::uint32_t word = 5;
    const timespec past{0, 0};
    CHECK(errno_of([&] { return kernel::futex(&word, FUTEX_WAIT_BITSET, 4, nullptr, 1); }) ==
          EAGAIN);
    CHECK(errno_of([&] { return kernel::futex(&word, FUTEX_WAIT_BITSET, 5, &past, 1); }) ==
          ETIMEDOUT);
    CHECK(errno_of([&] { return kernel::futex(&word, FUTEX_WAIT_BITSET, 5, &past, 0); }) == EINVAL);
    CHECK(kernel::futex(&word, FUTEX_WAKE_BITSET, INT_MAX, nullptr, 1) == 0);
}

}  // namespace
