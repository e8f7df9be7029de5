// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <support/child.hpp>
#include <support/faulty_syscalls.hpp>
#include <support/pools.hpp>
#include <support/resources.hpp>
#include <zcpool/ipc/attach.hpp>
#include <zcpool/ipc/audit.hpp>
#include <zcpool/ipc/reaper.hpp>
#include <zcpool/pool/layout.hpp>
#include <zcpool/sys/mapping.hpp>

// Kills at random moments, stops and pids that are used again are in tests/process.

namespace {

using namespace zcpool_test;
using zcpool::process_state;
using zcpool::ipc::attached_pool;
using zcpool::ipc::audit;
using zcpool::ipc::reaper;
using zcpool::sys::unique_fd;

/// A child that takes two slots of the smallest class and waits to be killed.
class holder {
public:
    explicit holder(const zcpool::pool_descriptors& files) : ready_(pipe_pair()) {
        process_.emplace([&] {
            const auto attached = attached_pool::attach(unique_fd{::dup(files.data)},
                                                        unique_fd{::dup(files.control)});
            if (!attached) {
                return 1;
            }
            const zcpool::buffer first = attached->view().try_acquire(1);
            zcpool::buffer second = attached->view().try_acquire(1);
            second.commit(1);
            const zcpool::slice published = std::move(second).freeze();
            static_cast<void>(!::write(ready_.second.get(), "x", 1));
            for (;;) {
                ::pause();
            }
        });
        char byte = 0;
        REQUIRE(::read(ready_.first.get(), &byte, 1) == 1);
    }
    void kill() {
        ::kill(process_->pid(), SIGKILL);
        static_cast<void>(process_->status());
    }
    void stop() { ::kill(process_->pid(), SIGSTOP); }

private:
    static std::pair<unique_fd, unique_fd> pipe_pair() {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        return {unique_fd{ends[0]}, unique_fd{ends[1]}};
    }
    std::pair<unique_fd, unique_fd> ready_;
    std::optional<child> process_;
};

TEST_CASE("reaper: what a killed process had comes back, once", "[ipc]") {
    const held before;
    {
        const auto pool = make_pool({.slots = {4, 1}});
        const auto files = pool.share().value();
        reaper tested{pool};
        REQUIRE(tested.reap().has_value());
        holder dead{files};
        SECTION("watched before") { CHECK(tested.reap()->found_dead == 0); }
        SECTION("found dead at first sight") {}
        CHECK(audit(pool).classes[0].of_process[1].all() == 2);
        dead.kill();
        reaper other{pool};
        const auto report = tested.reap();
        REQUIRE(report.has_value());
        CHECK(report->found_dead == 1);
        CHECK(report->recovered.gone == 2);
        CHECK(report->recovered.slots.freed == 2);
        CHECK(audit(pool).classes[0].free == 4);
        CHECK(audit(pool).processes[1].state == process_state::free);
        CHECK(tested.reap()->found_dead == 0);
        CHECK(other.reap()->recovered.gone == 0);
    }
    CHECK(before == held{});
}

TEST_CASE("reaper: a stopped process is left alone", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    holder stopped{pool.share().value()};
    stopped.stop();
    reaper tested{pool};
    const auto report = tested.reap_for(std::chrono::milliseconds{60});
    REQUIRE(report.has_value());
    CHECK(report->found_dead == 0);
    CHECK(audit(pool).classes[0].of_process[1].all() == 2);
}

TEST_CASE("reaper: waits for a death", "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    holder dead{pool.share().value()};
    reaper tested{pool};
    // Somebody waits for what the other holds, and gets it by its death.
    std::atomic<bool> got{false};
    std::thread waiter{[&] { got = pool.acquire_for(1, std::chrono::seconds{60}).has_value(); }};
    std::thread killer{[&] {
        ::usleep(30'000);
        dead.kill();
    }};
    const auto report = tested.reap_for(std::chrono::seconds{30});
    killer.join();
    // Not woken, it would look again when its time is up.
    for (int tries = 0; tries < 20'000 && !got; ++tries) {
        ::usleep(1'000);
    }
    CHECK(got);
    waiter.join();
    REQUIRE(report.has_value());
    CHECK(report->found_dead == 1);
    CHECK(audit(pool).classes[0].free == 2);
}

TEST_CASE("reaper: one who died as it waited is not waited for", "[ipc]") {
    const auto pool = make_pool({.slots = {1, 1}});
    const auto files = pool.share().value();
    const std::array<zcpool::class_spec, 2> classes{{{4_KiB, 1}, {64_KiB, 1}}};
    const auto layout = zcpool::compute_layout(classes).value();
    const auto control = zcpool::sys::mapping::shared(files.control, layout.control_bytes).value();
    const auto& counters =
        *reinterpret_cast<zcpool::class_counters*>(control.data() + layout.classes[0].counters);
    const auto waiters = [&] { return counters.waiters.load(zcpool::memory_order_relaxed); };
    const zcpool::buffer kept = pool.try_acquire(1);
    child dead{[&] {
        const auto attached =
            attached_pool::attach(unique_fd{::dup(files.data)}, unique_fd{::dup(files.control)});
        return attached->view().acquire_for(1, std::chrono::seconds{60}) ? 1 : 2;
    }};
    for (int tries = 0; tries < 20'000 && waiters() == 0; ++tries) {
        ::usleep(1'000);
    }
    REQUIRE(waiters() == 1);
    ::kill(dead.pid(), SIGKILL);
    CHECK(dead.status() == -SIGKILL);
    CHECK(waiters() == 1);
    CHECK(reaper{pool}.reap()->found_dead == 1);
    CHECK(waiters() == 0);
}

TEST_CASE("reaper: of a pool that is not shared nobody dies", "[ipc]") {
    const auto pool = make_pool({.slots = {2, 1}});
    reaper tested{pool};
    CHECK(tested.reap()->found_dead == 0);
}

TEST_CASE("reaper: what the system refuses is said, and nobody is taken for dead", "[ipc]") {
    const auto pool = make_pool({.slots = {4, 1}});
    holder living{pool.share().value()};
    faults broken;
    broken.fail_call(0, ENOSYS, 1000);
    reaper tested{pool};
    const auto report = tested.reap();
    REQUIRE_FALSE(report.has_value());
    CHECK(report.error() == std::error_code(ENOSYS, std::system_category()));
    CHECK(audit(pool).classes[0].of_process[1].all() == 2);
    // Without /proc its pid alone is no proof, and is asked for again.
    for (long i = 0; i < 12; ++i) {
        reaper another{pool};
        broken.fail_call(i, EACCES);
        static_cast<void>(another.reap());
        CHECK(audit(pool).processes[1].state == process_state::live);
    }
}

TEST_CASE("reaper: one look finds those it watches and those it has not seen yet", "[ipc]") {
    const auto pool = make_pool({.slots = {8, 1}});
    const auto files = pool.share().value();
    reaper reap{pool};
    holder watched{files};
    REQUIRE(reap.reap().has_value());
    holder fresh{files};
    watched.kill();
    fresh.kill();
    const auto report = reap.reap();
    REQUIRE(report.has_value());
    CHECK(report->found_dead == 2);
    CHECK(audit(pool).classes[0].available() == 8);
}

TEST_CASE("reaper: what a partner wrote is gone when it lets go, or is gone itself", "[ipc]") {
    auto options = zeroing_options(4, 1);
    options.reserve = {1};
    const auto pool = make_pool(options);
    const auto files = pool.share().value();
    // Takes all that there is, and ends without a word.
    CHECK(status_of([&] {
              auto attached = attached_pool::attach(unique_fd{::dup(files.data)},
                                                    unique_fd{::dup(files.control)});
              if (!attached || attached->view().report().zeroing != zcpool::zeroing::on_release) {
                  return 1;
              }
              std::vector<zcpool::buffer> kept(3);
              if (attached->view().acquire_many(1, kept) != 3) {
                  return 2;
              }
              for (auto& each : kept) {
                  std::fill_n(each.data(), each.capacity(), std::byte{0x5A});
                  each.commit(1);
              }
              kept[2].reset();
              const zcpool::slice lent = std::move(kept[1]).freeze();
              ::_exit(lent.lend() ? 0 : 3);
          }) == 0);
    std::vector<zcpool::buffer> all(3);
    CHECK(pool.acquire_many(1, all) == 1);
    CHECK(reaper{pool}.reap()->recovered.gone != 0);
    REQUIRE(pool.acquire_many(1, std::span{all}.subspan(1)) == 2);
    CHECK(std::all_of(all.begin(), all.end(), is_zero));
    CHECK(is_zero(pool.acquire(1, zcpool::priority::urgent).value()));
}

}  // namespace
