// SPDX-License-Identifier: MIT
#pragma once

// What the pool is measured beside, each with the shape of the pool itself: acquire(bytes) gives a
// handle that frees by itself, data(handle) its memory.
//
// tcmalloc and mimalloc would replace malloc if they were linked, so they are opened at run time
// where they are installed, under their own names, and cost a call through a pointer.

#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <optional>
#include <utility>
#include <vector>

#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>
#define ZCPOOL_BENCH_HAS_BOOST 1
#else
#define ZCPOOL_BENCH_HAS_BOOST 0
#endif

#include <zcpool/zcpool.hpp>

namespace bench {

using namespace zcpool::literals;

/// Some memory of an allocator that frees by address.
template <class Allocator>
class block {
public:
    block() noexcept = default;
    block(Allocator& from, std::size_t bytes)
        : memory_(static_cast<std::byte*>(from.allocate(bytes))), bytes_(bytes), from_(&from) {}
    block(block&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)),
          bytes_(other.bytes_),
          from_(other.from_) {}
    block& operator=(block&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(bytes_, other.bytes_);
        std::swap(from_, other.from_);
        return *this;
    }
    ~block() {
        if (memory_ != nullptr) {
            from_->deallocate(memory_, bytes_);
        }
    }
    [[nodiscard]] std::byte* data() const noexcept { return memory_; }

private:
    std::byte* memory_ = nullptr;
    std::size_t bytes_ = 0;
    Allocator* from_ = nullptr;
};

/// The library.
struct pool_subject {
    static constexpr const char* name = "zcpool";
    using handle = zcpool::buffer;
    using pool_type = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB, 256_KiB, 1_MiB>>;

    [[nodiscard]] handle acquire(std::size_t bytes) const noexcept {
        return pool.try_acquire(bytes);
    }

    pool_type pool = pool_type::create({.slots = {1024, 512, 128, 128}}).value();
};

/// The limit: what is left when nobody else may exist. A stack of indices of one size.
struct bare_indices {
    static constexpr const char* name = "limit: thread-local array of indices";

    class handle {
    public:
        handle() noexcept = default;
        explicit handle(std::byte* memory) noexcept : memory_(memory) {}
        handle(handle&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
        handle& operator=(handle&& other) noexcept {
            std::swap(memory_, other.memory_);
            return *this;
        }
        ~handle() {
            if (memory_ != nullptr) {
                local.free[local.count++] =
                    static_cast<std::uint32_t>((memory_ - local.memory) >> local.shift);
            }
        }
        [[nodiscard]] std::byte* data() const noexcept { return memory_; }

    private:
        std::byte* memory_ = nullptr;
    };

    /// Gives the calling thread its slots. Expects: `bytes` is a power of two.
    static void prepare(std::size_t bytes) {
        static thread_local std::vector<std::byte> memory;
        const std::uint32_t slots = bytes >= 1_MiB ? 16 : 512;
        memory.assign(slots * bytes, std::byte{});
        local.memory = memory.data();
        local.shift = static_cast<unsigned>(__builtin_ctzll(bytes));
        for (local.count = 0; local.count < slots; ++local.count) {
            local.free[local.count] = slots - 1 - local.count;
        }
    }
    [[nodiscard]] handle acquire(std::size_t) const noexcept {
        const std::size_t index = local.free[--local.count];
        return handle{local.memory + (index << local.shift)};
    }

    struct state {
        std::array<std::uint32_t, 512> free;
        std::uint32_t count;
        unsigned shift;
        std::byte* memory;
    };
    static inline constinit thread_local state local = {};
};

/// The same limit where sizes vary: such a stack for each of four classes.
struct bare_classes {
    static constexpr const char* name = "limit: thread-local arrays of indices";

    struct handle {
        handle() noexcept = default;
        handle(std::uint32_t class_index, std::uint32_t slot) noexcept
            : of(class_index), index(slot) {}
        handle(handle&& other) noexcept : of(std::exchange(other.of, none)), index(other.index) {}
        handle& operator=(handle&& other) noexcept {
            std::swap(of, other.of);
            std::swap(index, other.index);
            return *this;
        }
        ~handle() {
            if (of != none) {
                stack& mine = local->stacks[of];
                mine.free[mine.count++] = index;
            }
        }
        [[nodiscard]] std::byte* data() const noexcept {
            return local->stacks[of].memory + index * local->stacks[of].bytes;
        }

        static constexpr std::uint32_t none = ~0U;
        std::uint32_t of = none;
        std::uint32_t index = 0;
    };

    static void prepare(std::size_t) {
        static thread_local state mine;
        if (local == nullptr) {
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                mine.memory[i].resize(slots * sizes[i]);
                mine.stacks[i].memory = mine.memory[i].data();
                mine.stacks[i].bytes = sizes[i];
            }
            local = &mine;
        }
        for (stack& each : mine.stacks) {
            for (std::uint32_t i = 0; i < slots; ++i) {
                each.free[i] = slots - 1 - i;
            }
            each.count = slots;
        }
    }
    [[nodiscard]] handle acquire(std::size_t bytes) const noexcept {
        std::uint32_t of = 0;
        for (const std::size_t size : sizes) {
            of += size < bytes ? 1U : 0U;
        }
        stack& mine = local->stacks[of];
        return {of, mine.free[--mine.count]};
    }

    static constexpr std::uint32_t slots = 64;
    static constexpr std::array<std::size_t, 4> sizes{4_KiB, 64_KiB, 256_KiB, 1_MiB};
    struct stack {
        std::array<std::uint32_t, slots> free{};
        std::uint32_t count = 0;
        std::byte* memory = nullptr;
        std::size_t bytes = 0;
    };
    struct state {
        std::array<stack, sizes.size()> stacks;
        std::array<std::vector<std::byte>, sizes.size()> memory;
    };
    static inline constinit thread_local state* local = nullptr;
};

/// A subject made of an allocator with allocate and deallocate.
template <class Allocator>
struct allocator_subject {
    using handle = block<Allocator>;
    [[nodiscard]] handle acquire(std::size_t bytes) { return {allocator, bytes}; }
    Allocator allocator;
};

struct glibc_heap {
    [[nodiscard]] void* allocate(std::size_t bytes) noexcept { return std::malloc(bytes); }
    void deallocate(void* memory, std::size_t) noexcept { std::free(memory); }
};
struct malloc_subject : allocator_subject<glibc_heap> {
    static constexpr const char* name = "malloc/free";
};

/// An allocator of a library that is opened at run time; does not work where it is not installed.
class opened_heap {
public:
    opened_heap(const char* library, const char* allocate, const char* deallocate) noexcept {
        void* const opened = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
        if (opened != nullptr) {
            allocate_ = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(opened, allocate));
            deallocate_ = reinterpret_cast<void (*)(void*)>(::dlsym(opened, deallocate));
        }
    }
    [[nodiscard]] bool works() const noexcept { return allocate_ && deallocate_; }
    [[nodiscard]] void* allocate(std::size_t bytes) noexcept { return allocate_(bytes); }
    void deallocate(void* memory, std::size_t) noexcept { deallocate_(memory); }

private:
    void* (*allocate_)(std::size_t) = nullptr;
    void (*deallocate_)(void*) = nullptr;
};
struct tcmalloc_subject : allocator_subject<opened_heap> {
    static constexpr const char* name = "tcmalloc";
    tcmalloc_subject() : allocator_subject{{"libtcmalloc_minimal.so", "tc_malloc", "tc_free"}} {}
};
struct mimalloc_subject : allocator_subject<opened_heap> {
    static constexpr const char* name = "mimalloc";
    mimalloc_subject() : allocator_subject{{"libmimalloc.so", "mi_malloc", "mi_free"}} {}
};

/// std::pmr's pool with a lock, which is the one that may be shared as ours may.
struct pmr_heap {
    [[nodiscard]] void* allocate(std::size_t bytes) { return resource.allocate(bytes, 4096); }
    void deallocate(void* memory, std::size_t bytes) { resource.deallocate(memory, bytes, 4096); }
    std::pmr::synchronized_pool_resource resource{
        {.max_blocks_per_chunk = 0, .largest_required_pool_block = 1_MiB}};
};
struct pmr_subject : allocator_subject<pmr_heap> {
    static constexpr const char* name = "std::pmr::synchronized_pool_resource";
};

#if ZCPOOL_BENCH_HAS_BOOST
/// boost::pool, which knows no threads: one a thread, and nothing may cross.
struct boost_subject {
    static constexpr const char* name = "boost::pool, one a thread";
    struct heap {
        [[nodiscard]] void* allocate(std::size_t) { return local->malloc(); }
        void deallocate(void* memory, std::size_t) { local->free(memory); }
    };
    using handle = block<heap>;

    static void prepare(std::size_t bytes) {
        static thread_local std::optional<boost::pool<>> mine;
        local = &mine.emplace(bytes, bytes >= 1_MiB ? 16 : 512);
    }
    [[nodiscard]] handle acquire(std::size_t bytes) { return {allocator, bytes}; }

    heap allocator;
    static inline constinit thread_local boost::pool<>* local = nullptr;
};
#endif

/// Gives the calling thread what a subject keeps by thread, for blocks of `bytes`.
template <class Subject>
void prepare(std::size_t bytes) {
    if constexpr (requires { Subject::prepare(bytes); }) {
        Subject::prepare(bytes);
    }
}

}  // namespace bench
