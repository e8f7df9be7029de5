// SPDX-License-Identifier: MIT
#pragma once

// The heaps that the pool is measured beside, as functions without an object, and the subject that
// each makes: acquire(bytes) gives a handle of one pointer that frees by itself.
//
// tcmalloc, mimalloc and jemalloc would replace malloc for everybody if they were linked. The first
// two are opened at run time, under names of their own. jemalloc cannot be, as it wants more memory
// of each thread than a library that comes late may have; jemalloc.cpp wraps it. All three cost a
// call through a pointer more than malloc does.

#include <dlfcn.h>
#include <malloc.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <utility>

#if ZCPOOL_BENCH_HAS_TBBMALLOC
#include <tbb/scalable_allocator.h>
#endif

namespace bench {

/// Some memory of a heap. As small as a handle can be, so that no peer pays for ours.
template <class Heap>
class block {
public:
    block() noexcept = default;
    explicit block(void* memory) noexcept : memory_(static_cast<std::byte*>(memory)) {}
    block(block&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    block& operator=(block&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~block() {
        if (memory_ != nullptr) {
            Heap::deallocate(memory_);
        }
    }
    [[nodiscard]] std::byte* data() const noexcept { return memory_; }

private:
    std::byte* memory_ = nullptr;
};

/// A subject made of allocate(bytes) and deallocate(memory).
template <class Heap>
struct heap_subject : Heap {
    using handle = block<Heap>;
    [[nodiscard]] handle acquire(std::size_t bytes) const { return handle{Heap::allocate(bytes)}; }
};

struct glibc_heap {
    static constexpr const char* name = "malloc/free";
    [[nodiscard]] static void* allocate(std::size_t bytes) noexcept { return std::malloc(bytes); }
    static void deallocate(void* memory) noexcept { std::free(memory); }
};

/// malloc told to keep what it has: nothing of these sizes is a mapping of its own, and nothing is
/// given back. There is no way back to what it was, so its rows have to be the program's last.
struct tuned_glibc_heap : glibc_heap {
    static constexpr const char* name = "malloc/free, tuned";
    static void prepare(std::size_t) {
        static const bool once = [] {
            ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
            ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
            ::mallopt(M_TOP_PAD, 64 << 20);
            return true;
        }();
        static_cast<void>(once);
    }
};

/// An allocator of a library that is opened at run time.
template <class Library>
struct opened_heap {
    /// Returns: whether the library is installed.
    [[nodiscard]] static bool open() noexcept {
        if (void* const opened = ::dlopen(Library::file, RTLD_NOW | RTLD_LOCAL)) {
            allocate_ =
                reinterpret_cast<void* (*)(std::size_t)>(::dlsym(opened, Library::allocate_symbol));
            deallocate_ =
                reinterpret_cast<void (*)(void*)>(::dlsym(opened, Library::deallocate_symbol));
        }
        return allocate_ != nullptr && deallocate_ != nullptr;
    }
    [[nodiscard]] static void* allocate(std::size_t bytes) noexcept { return allocate_(bytes); }
    static void deallocate(void* memory) noexcept { deallocate_(memory); }

private:
    static inline void* (*allocate_)(std::size_t) = nullptr;
    static inline void (*deallocate_)(void*) = nullptr;
};
struct tcmalloc : opened_heap<tcmalloc> {
    static constexpr const char* name = "tcmalloc";
    static constexpr const char* file = "libtcmalloc_minimal.so";
    static constexpr const char* allocate_symbol = "tc_malloc";
    static constexpr const char* deallocate_symbol = "tc_free";
};
struct mimalloc : opened_heap<mimalloc> {
    static constexpr const char* name = "mimalloc";
    static constexpr const char* file = "libmimalloc.so";
    static constexpr const char* allocate_symbol = "mi_malloc";
    static constexpr const char* deallocate_symbol = "mi_free";
};

#if ZCPOOL_BENCH_HAS_JEMALLOC
extern "C" void* zcpool_bench_jemalloc_allocate(std::size_t bytes);
extern "C" void zcpool_bench_jemalloc_deallocate(void* memory);

struct jemalloc {
    static constexpr const char* name = "jemalloc";
    [[nodiscard]] static void* allocate(std::size_t bytes) noexcept {
        return zcpool_bench_jemalloc_allocate(bytes);
    }
    static void deallocate(void* memory) noexcept { zcpool_bench_jemalloc_deallocate(memory); }
};
#endif

#if ZCPOOL_BENCH_HAS_TBBMALLOC
/// Only its proxy library replaces malloc; this one is linked as it is.
struct tbb_heap {
    static constexpr const char* name = "tbb scalable_malloc";
    [[nodiscard]] static void* allocate(std::size_t bytes) noexcept {
        return ::scalable_malloc(bytes);
    }
    static void deallocate(void* memory) noexcept { ::scalable_free(memory); }
};
#endif

/// A mapping for each buffer, and every page of it touched: what a buffer costs that nobody keeps.
struct fresh_pages {
    static constexpr const char* name = "mmap, touch, munmap";
    static constexpr std::size_t size = std::size_t{1} << 20;
    /// Expects: `bytes` is `size`.
    [[nodiscard]] static void* allocate(std::size_t bytes) noexcept {
        void* const memory =
            ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return nullptr;
        }
        for (std::size_t at = 0; at < bytes; at += 4096) {
            static_cast<volatile char*>(memory)[at] = 1;
        }
        return memory;
    }
    static void deallocate(void* memory) noexcept { ::munmap(memory, size); }
};

}  // namespace bench
