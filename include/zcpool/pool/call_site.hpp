// SPDX-License-Identifier: MIT
#pragma once

// Where in a program a call stands, to be named in a report.
//
// A function that users call takes a std::source_location as a defaulted argument, which costs
// nothing where it is not used. A destructor cannot: there it is the address of the code, which
// `addr2line -e FILE OFFSET` turns into a line.

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <source_location>

#include <zcpool/base/atomic.hpp>

namespace zcpool {

/// A place in the program: a line of source, or the address of an instruction, or not known.
struct call_site {
    call_site() noexcept = default;

    /// `where`: empty where the caller has none.
    /// `return_address`: of the function that was called there.
    call_site(std::source_location where, const void* return_address) noexcept
        : file(where.file_name()),
          function(where.function_name()),
          line(where.line()),
          code(return_address == nullptr ? nullptr
                                         : static_cast<const std::byte*>(return_address) - 1) {}

    /// Writes it as words, as snprintf does.
    int print(char* to, std::size_t room) const noexcept {
        if (line != 0) {
            return std::snprintf(to, room, "%.200s:%u (%.120s)", file, line, function);
        }
        Dl_info object{};
        if (code != nullptr && ::dladdr(code, &object) != 0 && object.dli_fname != nullptr) {
            const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(code) -
                                                         static_cast<std::byte*>(object.dli_fbase));
            return std::snprintf(to, room, "code at %.200s+0x%zx", object.dli_fname, offset);
        }
        return code != nullptr ? std::snprintf(to, room, "code at %p", code)
                               : std::snprintf(to, room, "a place that is not known");
    }

    const char* file = "";
    const char* function = "";
    std::uint32_t line = 0;      ///< 0: no source location
    const void* code = nullptr;  ///< null: not known
};

/// A call_site that one thread writes while another may read it. Who reads in the middle of it gets
/// a mixture of two.
class stored_call_site {
public:
    /// Keeps a place, for anybody to read meanwhile.
    void set(const call_site& site) noexcept {
        // relaxed: words for a report; see above.
        file_.store(site.file, memory_order_relaxed);
        function_.store(site.function, memory_order_relaxed);
        line_.store(site.line, memory_order_relaxed);
        code_.store(site.code, memory_order_relaxed);
    }

    [[nodiscard]] call_site get() const noexcept {
        call_site site;
        // relaxed: as in set().
        if (const char* const file = file_.load(memory_order_relaxed); file != nullptr) {
            site.file = file;
            // relaxed: as in set().
            site.function = function_.load(memory_order_relaxed);
            site.line = line_.load(memory_order_relaxed);
            site.code = code_.load(memory_order_relaxed);
        }
        return site;
    }

private:
    atomic<const char*> file_;
    atomic<const char*> function_;
    atomic<std::uint32_t> line_;
    atomic<const void*> code_;
};

}  // namespace zcpool
