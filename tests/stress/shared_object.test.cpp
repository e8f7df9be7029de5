// SPDX-License-Identifier: MIT

// A plugin with its own copy of the library: loaded, used by threads of the program and by threads
// of its own, with its own pool and one of the program's, and unloaded while threads that called it
// go on.

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <barrier>
#include <string>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/zcpool.hpp>

#include "plugin.hpp"
#include "team.hpp"

namespace {

using namespace zcpool_test;
using zcpool::buffer;
using zcpool::pool_view;

/// A loaded plugin.
class plugin {
public:
    explicit plugin(const char* path) : path_(path), handle_(::dlopen(path, RTLD_NOW)) {
        INFO(path << ": " << (handle_ == nullptr ? ::dlerror() : "loaded"));
        REQUIRE(handle_ != nullptr);
        find(begin, "zcpool_plugin_begin");
        find(call, "zcpool_plugin_call");
        find(threads, "zcpool_plugin_threads");
        find(take, "zcpool_plugin_take");
        find(release, "zcpool_plugin_release");
        find(end, "zcpool_plugin_end");
    }
    plugin(const plugin&) = delete;
    plugin& operator=(const plugin&) = delete;
    ~plugin() { unload(); }

    /// Returns: whether its code is gone. It stays while the end of a thread may still need it.
    bool unload() {
        if (handle_ != nullptr) {
            ::dlclose(handle_);
            handle_ = nullptr;
        }
        void* const still = ::dlopen(path_, RTLD_NOW | RTLD_NOLOAD);
        if (still != nullptr) {
            ::dlclose(still);
        }
        return still == nullptr;
    }

    decltype(&zcpool_plugin_begin) begin = nullptr;
    decltype(&zcpool_plugin_call) call = nullptr;
    decltype(&zcpool_plugin_threads) threads = nullptr;
    decltype(&zcpool_plugin_take) take = nullptr;
    decltype(&zcpool_plugin_release) release = nullptr;
    decltype(&zcpool_plugin_end) end = nullptr;

private:
    template <class Function>
    void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(::dlsym(handle_, name));
        REQUIRE(function != nullptr);
    }

    const char* path_;
    void* handle_;
};

// With symbols of its own (hidden), and with those that a program that exports its own would put in
// their place.
constexpr std::array paths{ZCPOOL_PLUGIN_HIDDEN, ZCPOOL_PLUGIN_VISIBLE};

TEST_CASE("shared object: two copies of the library share a pool handed from one to the other",
          "[shared_object]") {
    const held before;
    for (const char* path : paths) {
        CAPTURE(path);
        const auto pool = make_pool({.slots = {64, 16}});
        const pool_view view = pool;
        plugin loaded{path};
        REQUIRE(loaded.begin());
        std::atomic<long> mismatches{0};
        std::thread inside{[&] { mismatches += loaded.threads(&view, 8, scaled(5'000)); }};
        run_together(4, [&](unsigned number) {
            for (long n = 0; n < scaled(1'000); ++n) {
                // Taken in one copy and released in the other, both ways.
                buffer ours = pool.try_acquire(1);
                buffer theirs;
                if (loaded.take(&view, &theirs)) {
                    theirs.reset();
                }
                loaded.release(&ours);
                mismatches += loaded.call(&view, number, 4);
            }
        });
        inside.join();
        CHECK(mismatches == 0);
        CHECK(loaded.end() == 0);
        CHECK(slots_in_use(pool) == 0);
        std::vector<buffer> all(65);
        CHECK(pool.acquire_many(1, all) == 64);
    }
    CHECK(before == held{});
}

TEST_CASE("shared object: is unloaded while threads that called it go on and end",
          "[shared_object]") {
    for (const char* path : paths) {
        for (long round = 0; round < scaled(10); ++round) {
            const auto pool = make_pool({.slots = {64, 16}});
            const pool_view view = pool;
            plugin loaded{path};
            REQUIRE(loaded.begin());
            std::atomic<long> mismatches{0};
            std::barrier step{5};
            std::vector<std::thread> threads;
            for (unsigned number = 0; number < 4; ++number) {
                threads.emplace_back([&, number] {
                    buffer kept;
                    mismatches += loaded.call(&view, number, 100);
                    mismatches += loaded.take(&view, &kept) ? 0 : 1;
                    step.arrive_and_wait();  // all calls are over
                    step.arrive_and_wait();  // the plugin is gone
                    for (int n = 0; n < 100; ++n) {
                        mismatches += pool.try_acquire(1) ? 0 : 1;
                    }
                    kept.reset();
                });
            }
            mismatches += loaded.threads(&view, 4, 100);
            step.arrive_and_wait();
            CHECK(loaded.end() == 0);
            loaded.unload();
            step.arrive_and_wait();
            for (auto& each : threads) {
                each.join();
            }
            CHECK(mismatches == 0);
            CHECK(slots_in_use(pool) == 0);
            std::vector<buffer> all(65);
            CHECK(pool.acquire_many(1, all) == 64);
            // With its symbols hidden it is really gone now. Visible ones of g++ keep it for ever
            // (STB_GNU_UNIQUE). Twice: the first call lets the linker see that nobody needs it.
            loaded.unload();
            CHECK((loaded.unload() || path != paths[0]));
        }
    }
}

}  // namespace
