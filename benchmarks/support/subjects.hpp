// SPDX-License-Identifier: MIT
#pragma once

// The pool, and the limits that it is measured beside. A subject has a name, acquire(bytes), which
// gives a handle that frees by itself and shows its memory as data(), and prepare(bytes) where it
// keeps something by thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <zcpool/zcpool.hpp>

namespace bench {

using namespace zcpool::literals;

/// How many slots each class has, in the pool as in the peers that are as bounded: so many that
/// none of them is too few to be kept by threads.
inline constexpr std::array<std::uint32_t, 4> slots_by_class{1024, 1024, 256, 128};
inline constexpr std::array<std::size_t, 4> class_sizes{4_KiB, 64_KiB, 256_KiB, 1_MiB};

/// Which class has room for `bytes`.
[[nodiscard]] constexpr std::uint32_t class_for(std::size_t bytes) noexcept {
    std::uint32_t of = 0;
    for (const std::size_t size : class_sizes) {
        of += size < bytes ? 1U : 0U;
    }
    return of;
}

/// The library.
struct pool_subject {
    static constexpr const char* name = "zcpool";
    using handle = zcpool::buffer;
    using pool_type = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB, 256_KiB, 1_MiB>>;

    [[nodiscard]] handle acquire(std::size_t bytes) const noexcept {
        return pool.try_acquire(bytes);
    }

    pool_type pool = pool_type::create({.slots = {slots_by_class[0], slots_by_class[1],
                                                  slots_by_class[2], slots_by_class[3]}})
                         .value();
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
            for (std::size_t i = 0; i < class_sizes.size(); ++i) {
                mine.memory[i].resize(slots * class_sizes[i]);
                mine.stacks[i].memory = mine.memory[i].data();
                mine.stacks[i].bytes = class_sizes[i];
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
        const std::uint32_t of = class_for(bytes);
        stack& mine = local->stacks[of];
        return {of, mine.free[--mine.count]};
    }

    static constexpr std::uint32_t slots = 64;
    struct stack {
        std::array<std::uint32_t, slots> free{};
        std::uint32_t count = 0;
        std::byte* memory = nullptr;
        std::size_t bytes = 0;
    };
    struct state {
        std::array<stack, class_sizes.size()> stacks;
        std::array<std::vector<std::byte>, class_sizes.size()> memory;
    };
    static inline constinit thread_local state* local = nullptr;
};

/// Gives the calling thread what a subject keeps by thread, for blocks of `bytes`.
template <class Subject>
void prepare(std::size_t bytes) {
    if constexpr (requires { Subject::prepare(bytes); }) {
        Subject::prepare(bytes);
    }
}

}  // namespace bench
