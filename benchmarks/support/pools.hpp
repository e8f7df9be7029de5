// SPDX-License-Identifier: MIT
#pragma once

// The pools that ours is measured beside. DPDK's is in core.dpdk.cpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>
#define ZCPOOL_BENCH_HAS_BOOST 1
#else
#define ZCPOOL_BENCH_HAS_BOOST 0
#endif

#if ZCPOOL_BENCH_HAS_AVUTIL
extern "C" {
#include <libavutil/buffer.h>
}
#endif

#include "support/heaps.hpp"
#include "support/subjects.hpp"

namespace bench {

/// What everybody writes first: a stack of free slots for each class, under one lock.
class locked_stacks {
public:
    static constexpr const char* name = "std::mutex and stacks of slots";

    class handle {
    public:
        handle() noexcept = default;
        handle(locked_stacks& from, std::byte* memory, std::uint32_t of) noexcept
            : from_(&from), memory_(memory), of_(of) {}
        handle(handle&& other) noexcept
            : from_(other.from_), memory_(std::exchange(other.memory_, nullptr)), of_(other.of_) {}
        handle& operator=(handle&& other) noexcept {
            std::swap(from_, other.from_);
            std::swap(memory_, other.memory_);
            std::swap(of_, other.of_);
            return *this;
        }
        ~handle() {
            if (memory_ != nullptr) {
                from_->release(memory_, of_);
            }
        }
        [[nodiscard]] std::byte* data() const noexcept { return memory_; }

    private:
        locked_stacks* from_ = nullptr;
        std::byte* memory_ = nullptr;
        std::uint32_t of_ = 0;
    };

    locked_stacks() {
        for (std::size_t of = 0; of < class_sizes.size(); ++of) {
            memory_[of].resize(slots_by_class[of] * class_sizes[of]);
            for (std::size_t slot = slots_by_class[of]; slot-- > 0;) {
                free_[of].push_back(memory_[of].data() + slot * class_sizes[of]);
            }
        }
    }
    [[nodiscard]] handle acquire(std::size_t bytes) {
        const std::uint32_t of = class_for(bytes);
        const std::lock_guard lock{mutex_};
        if (free_[of].empty()) {
            return {};
        }
        std::byte* const memory = free_[of].back();
        free_[of].pop_back();
        return {*this, memory, of};
    }

private:
    void release(std::byte* memory, std::uint32_t of) {
        const std::lock_guard lock{mutex_};
        free_[of].push_back(memory);
    }

    std::mutex mutex_;
    std::array<std::vector<std::byte*>, class_sizes.size()> free_;
    std::array<std::vector<std::byte>, class_sizes.size()> memory_;
};

/// std::pmr's pool with a lock, which is the one that may be shared as ours may.
struct pmr_subject {
    static constexpr const char* name = "std::pmr::synchronized_pool_resource";

    class handle {
    public:
        handle() noexcept = default;
        handle(std::pmr::memory_resource& from, std::size_t bytes)
            : memory_(static_cast<std::byte*>(from.allocate(bytes, 4096))),
              bytes_(bytes),
              from_(&from) {}
        handle(handle&& other) noexcept
            : memory_(std::exchange(other.memory_, nullptr)),
              bytes_(other.bytes_),
              from_(other.from_) {}
        handle& operator=(handle&& other) noexcept {
            std::swap(memory_, other.memory_);
            std::swap(bytes_, other.bytes_);
            std::swap(from_, other.from_);
            return *this;
        }
        ~handle() {
            if (memory_ != nullptr) {
                from_->deallocate(memory_, bytes_, 4096);
            }
        }
        [[nodiscard]] std::byte* data() const noexcept { return memory_; }

    private:
        std::byte* memory_ = nullptr;
        std::size_t bytes_ = 0;
        std::pmr::memory_resource* from_ = nullptr;
    };

    [[nodiscard]] handle acquire(std::size_t bytes) { return {resource, bytes}; }

    std::pmr::synchronized_pool_resource resource{
        {.max_blocks_per_chunk = 0, .largest_required_pool_block = 1_MiB}};
};

#if ZCPOOL_BENCH_HAS_BOOST
/// boost::pool, which knows no threads: one a thread, and nothing may cross.
struct boost_heap {
    static constexpr const char* name = "boost::pool, one a thread";

    static void prepare(std::size_t bytes) {
        static thread_local std::optional<boost::pool<>> mine;
        local = &mine.emplace(bytes, bytes >= 1_MiB ? 16 : 512);
    }
    [[nodiscard]] static void* allocate(std::size_t) { return local->malloc(); }
    static void deallocate(void* memory) { local->free(memory); }

    static inline constinit thread_local boost::pool<>* local = nullptr;
};
using boost_subject = heap_subject<boost_heap>;
#endif

#if ZCPOOL_BENCH_HAS_AVUTIL
/// FFmpeg's pool of one size, one for each class. A handle is a counted reference, as it comes.
class av_subject {
public:
    static constexpr const char* name = "AVBufferPool";

    class handle {
    public:
        handle() noexcept = default;
        explicit handle(AVBufferRef* held) noexcept : held_(held) {}
        handle(handle&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
        handle& operator=(handle&& other) noexcept {
            std::swap(held_, other.held_);
            return *this;
        }
        ~handle() {
            if (held_ != nullptr) {
                ::av_buffer_unref(&held_);
            }
        }
        [[nodiscard]] std::byte* data() const noexcept {
            return held_ == nullptr ? nullptr : reinterpret_cast<std::byte*>(held_->data);
        }

    private:
        AVBufferRef* held_ = nullptr;
    };

    av_subject() {
        for (std::size_t of = 0; of < class_sizes.size(); ++of) {
            pools_[of] = ::av_buffer_pool_init(class_sizes[of], nullptr);
        }
    }
    ~av_subject() {
        for (AVBufferPool*& pool : pools_) {
            ::av_buffer_pool_uninit(&pool);
        }
    }
    av_subject(const av_subject&) = delete;
    av_subject& operator=(const av_subject&) = delete;

    [[nodiscard]] handle acquire(std::size_t bytes) {
        return handle{::av_buffer_pool_get(pools_[class_for(bytes)])};
    }

private:
    std::array<AVBufferPool*, class_sizes.size()> pools_{};
};
#endif

}  // namespace bench
