// SPDX-License-Identifier: MIT
#pragma once

// Knowing that nobody is writing a file, and that nobody begins to while it is read. Comparing
// stat(2) before and after cannot see a writer that pauses between two writes; a read lease can:
// the kernel grants it only while the file is open for writing nowhere, and makes the next writer
// wait in open(2) until it is given back. Source: fcntl(2), "Leases". Needs the file's owner or
// CAP_LEASE, and a local file system.

#include <fcntl.h>

#include <cerrno>

namespace segment_server {

/// A lease for as long as it lives. The process must ignore SIGIO, by which the kernel says that a
/// writer waits.
class read_lease {
public:
    /// Asks for a lease on a descriptor that is open for reading only.
    explicit read_lease(int file) noexcept : file_(file) {
        if (::fcntl(file_, F_SETLEASE, F_RDLCK) == 0) {
            held_ = true;
        } else {
            has_writer_ = errno == EAGAIN || errno == EBUSY;
        }
    }
    read_lease(const read_lease&) = delete;
    read_lease& operator=(const read_lease&) = delete;
    ~read_lease() {
        if (held_) {
            ::fcntl(file_, F_SETLEASE, F_UNLCK);
        }
    }

    /// Whether somebody has the file open for writing. False also when the system does not tell.
    [[nodiscard]] bool has_writer() const noexcept { return has_writer_; }

private:
    int file_;
    bool held_ = false;
    bool has_writer_ = false;
};

}  // namespace segment_server
