// SPDX-License-Identifier: MIT
#pragma once

// An object that each process has for itself, as a list of what it still has to look after: a
// forked child must neither look after that of its parent nor wait for a lock that a thread of the
// parent held. Source: pthread_atfork(3).

#include <pthread.h>

#include <cstddef>
#include <new>

namespace zcpool::sys {

/// The one object of a type. It is never destroyed: something may need it at the end of the
/// program.
///
/// A child of fork(2) begins with a new one, and forgets its parent's; a child of a bare clone(2)
/// does not.
/// `Object`: befriends this where its constructor is private.
template <class Object>
class process_local {
public:
    /// This process's; made at the first call.
    [[nodiscard]] static Object& get() noexcept {
        static Object* const object = make();
        return *object;
    }

private:
    [[nodiscard]] static Object* make() noexcept {
        // Where the system has no memory to note that down, a child has a copy of its parent's.
        static_cast<void>(::pthread_atfork(nullptr, nullptr, [] { construct(); }));
        return construct();
    }

    static Object* construct() noexcept {
        alignas(Object) static std::byte memory[sizeof(Object)];
        return new (memory) Object;
    }
};

}  // namespace zcpool::sys
