// SPDX-License-Identifier: MIT
#pragma once

// A file descriptor that is closed once.

#include <utility>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/call.hpp>

namespace zcpool::sys {

/// Sole owner of a file descriptor; empty when it holds none.
class unique_fd {
public:
    unique_fd() noexcept = default;
    /// Takes over a descriptor; -1: none.
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = other.release();
        }
        return *this;
    }
    ~unique_fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor up without closing it.
    /// Returns: it, or -1.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes the descriptor, if any. An error of close(2) has no remedy, and repeating it could
    /// close a stranger's.
    void reset() noexcept {
        if (fd_ >= 0) {
            static_cast<void>(provider::close(std::exchange(fd_, -1)));
        }
    }

    /// Another descriptor for what `fd` refers to: it stays open when that one is closed.
    ///
    /// Errors: the errno of fcntl; EMFILE when no descriptor is left.
    [[nodiscard]] static result<unique_fd> duplicate(int fd) noexcept {
        auto made = call([&] { return provider::duplicate(fd); });
        if (!made) {
            return fail(made.error());
        }
        return unique_fd{*made};
    }

private:
    int fd_ = -1;
};

}  // namespace zcpool::sys
