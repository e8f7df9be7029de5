// SPDX-License-Identifier: MIT
#pragma once

// Sockets that a loop's io_uring knows by their places in a table, so that a request need not look
// its descriptor up. What is no request, as shutdown and sendfile are not, goes by the descriptor.
// Source: io_uring_register(2), IORING_REGISTER_FILES2 (Linux 5.19), IOSQE_FIXED_FILE.

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <zcpool/base/result.hpp>
#include <zcpool/sys/uring.hpp>

namespace segment_server {

class file_table;

/// A place in a table, given up when this ends; or none.
class file_place {
public:
    file_place() noexcept = default;
    file_place(file_table& table, int number) noexcept : table_(&table), number_(number) {}
    file_place(file_place&& other) noexcept
        : table_(other.table_), number_(std::exchange(other.number_, -1)) {}
    file_place& operator=(file_place&&) = delete;
    inline ~file_place();

    /// Below 0: none.
    [[nodiscard]] int number() const noexcept { return number_; }

private:
    file_table* table_ = nullptr;
    int number_ = -1;
};

/// The registered files of one ring, which must outlive it. Belongs to the loop of that ring.
class file_table {
public:
    /// A table of so many places, all empty. `ring`: has none yet.
    ///
    /// Errors: those of sys::uring::reserve_files: EMFILE beyond RLIMIT_NOFILE, EINVAL before Linux
    /// 5.19.
    [[nodiscard]] static zcpool::result<std::unique_ptr<file_table>> create(
        zcpool::sys::uring& ring, unsigned places) {
        if (auto done = ring.reserve_files(places); !done) {
            return std::unexpected{done.error()};
        }
        return std::unique_ptr<file_table>{new file_table{ring, places}};
    }
    file_table(const file_table&) = delete;
    file_table& operator=(const file_table&) = delete;

    /// Gives a socket a place; none where the table is full, or the kernel has no memory.
    [[nodiscard]] file_place put(int fd) noexcept {
        if (free_.empty() || !ring_.set_file(static_cast<unsigned>(free_.back()), fd)) {
            return {};
        }
        const int number = free_.back();
        free_.pop_back();
        return file_place{*this, number};
    }

private:
    friend class file_place;

    file_table(zcpool::sys::uring& ring, unsigned places) : ring_(ring), free_(places) {
        std::iota(free_.rbegin(), free_.rend(), 0);
    }

    /// What cannot be emptied keeps its socket open until the ring ends, and is not used again.
    void give_back(int number) noexcept {
        if (ring_.set_file(static_cast<unsigned>(number), -1)) {
            free_.push_back(number);  // it has been there before: there is room
        }
    }

    zcpool::sys::uring& ring_;
    std::vector<int> free_;
};

inline file_place::~file_place() {
    if (number_ >= 0) {
        table_->give_back(number_);
    }
}

}  // namespace segment_server
