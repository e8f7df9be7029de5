// SPDX-License-Identifier: MIT
#pragma once

// What all processes of a pipeline see: what the pictures are like, what each stage has counted,
// and whether it is over. A file in memory of its own, so that nothing that was counted dies with
// who counted it.

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include <zcpool/base/atomic.hpp>
#include <zcpool/base/result.hpp>
#include <zcpool/sys/mapping.hpp>
#include <zcpool/sys/memfd.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <shm_pipeline/frame.hpp>
#include <shm_pipeline/latency.hpp>

namespace shm_pipeline {

/// A number that any process adds to.
class counter {
public:
    void add(std::uint64_t count = 1) noexcept { static_cast<void>(next(count)); }
    /// Adds, and says what there was before.
    [[nodiscard]] std::uint64_t next(std::uint64_t count = 1) noexcept {
        // relaxed: numbers without anything behind them.
        return value_.fetch_add(count, zcpool::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t get() const noexcept {
        // relaxed: as above.
        return value_.load(zcpool::memory_order_relaxed);
    }

private:
    zcpool::atomic<std::uint64_t> value_;
};

/// The end comes stage by stage, so that what was captured still arrives.
enum class phase : std::uint32_t { running, capture_ends, packager_ends, viewers_end };

/// Zeroed memory but for the size. Concurrency: any process.
struct board_page {
    picture_size size;  // written before anybody else sees the page
    zcpool::atomic<std::uint32_t> phase_word;
    counter numbers;    ///< of frames, given out
    counter captured;   ///< frames that were filled
    counter starved;    ///< times that there was no slot for a frame, and it was not waited for
    counter unsent;     ///< frames that the packager was too slow for
    counter packaged;   ///< packets that were published
    counter unseen;     ///< packets that a viewer was too slow for
    counter delivered;  ///< frames that were seen whole, by all viewers together
    counter wrong;      ///< frames with other bytes than were captured
    counter disorder;   ///< frames that came behind a later one
    counter gaps;       ///< frames between two that a viewer saw
    counter unpaired;   ///< heads without their frame, and frames without their head
    counter lost;       ///< messages of a dead stage that were taken back before they were read
    latency_counts latency;

    [[nodiscard]] phase current() const noexcept {
        // relaxed: who sees it late ends late.
        return static_cast<phase>(phase_word.load(zcpool::memory_order_relaxed));
    }
    void enter(phase next) noexcept {
        // relaxed: as above.
        phase_word.store(static_cast<std::uint32_t>(next), zcpool::memory_order_relaxed);
    }
};

/// The page, mapped.
class board {
public:
    /// Errors: the errno of what the system refused.
    [[nodiscard]] static zcpool::result<board> create(picture_size size) {
        auto file = zcpool::sys::memfd::create("shm_pipeline-board", sizeof(board_page));
        if (!file) {
            return zcpool::fail(file.error());
        }
        if (auto done = file->seal(); !done) {
            return zcpool::fail(done.error());
        }
        auto made = map(std::move(*file));
        if (made) {
            new (made->mapping_.data()) board_page{};
            made->page().size = size;
        }
        return made;
    }
    /// Of a descriptor that the broker sent.
    [[nodiscard]] static zcpool::result<board> adopt(zcpool::sys::unique_fd file) {
        return map(zcpool::sys::memfd::adopt(std::move(file), sizeof(board_page)));
    }

    [[nodiscard]] board_page& page() const noexcept {
        return *reinterpret_cast<board_page*>(mapping_.data());
    }
    [[nodiscard]] int fd() const noexcept { return file_.fd(); }

private:
    [[nodiscard]] static zcpool::result<board> map(zcpool::sys::memfd file) {
        auto mapped = zcpool::sys::mapping::shared(file.fd(), file.bytes());
        if (!mapped) {
            return zcpool::fail(mapped.error());
        }
        board made;
        made.file_ = std::move(file);
        made.mapping_ = std::move(*mapped);
        return made;
    }

    zcpool::sys::memfd file_;
    zcpool::sys::mapping mapping_;
};

}  // namespace shm_pipeline
