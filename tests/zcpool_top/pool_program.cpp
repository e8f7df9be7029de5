// SPDX-License-Identifier: MIT
// A program with a pool, for zcpool_top to look at. It obeys orders on its standard input and
// answers each with a line:
//
//   partner NAME SMALL LARGE SHOWN   forks a process that attaches, calls itself NAME, owns so many
//                                    small and large slots and publishes so many small ones; its
//                                    pid, or 0 where that failed
//   acquire CLASS N                  owns N slots more of that class; how many it got
//   churn CLASS N                    acquires and releases N times
//   wait PID                         waits for a partner that was killed
//   reap                             takes back what the dead had; how many there were
//   control                          the sum of all bytes of the control file, and of places taken
//   close                            closes the pool
//
// An argument `shared`, `alone` or `checked` says what kind of pool it is. It ends when its input
// does.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zcpool/zcpool.hpp>

namespace {

using namespace zcpool::literals;

constexpr zcpool::pool_policy checked{.checking = zcpool::checking::full};
using plain_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>>;
using checked_pool = zcpool::pool<zcpool::size_classes<4_KiB, 64_KiB>, checked>;

constexpr unsigned longest_life = 250;  // seconds, where the test has died

struct holder {
    std::vector<zcpool::buffer> buffers;
    std::vector<zcpool::slice> slices;

    std::size_t acquire(zcpool::pool_view pool, std::size_t bytes, std::size_t count) {
        std::size_t got = 0;
        for (; got < count; ++got) {
            buffers.push_back(pool.try_acquire(bytes));
            if (!buffers.back()) {
                buffers.pop_back();
                break;
            }
        }
        return got;
    }
    bool publish(zcpool::pool_view pool, std::size_t count) {
        for (; count != 0; --count) {
            zcpool::buffer made = pool.try_acquire(1);
            if (!made) {
                return false;
            }
            made.commit(1);
            slices.push_back(std::move(made).freeze());
            // A slot is published when somebody beside its process is to see it.
            static_cast<void>(slices.back().lend());
        }
        return true;
    }
};

std::size_t bytes_of(std::size_t index) { return index == 0 ? 4_KiB : 64_KiB; }

struct partner_orders {
    std::string name;
    std::size_t small = 0;
    std::size_t large = 0;
    std::size_t shown = 0;
};

[[noreturn]] void be_partner(zcpool::pool_descriptors files, const partner_orders& orders,
                             int ready) {
    ::alarm(longest_life);
    static_cast<void>(::prctl(PR_SET_NAME, orders.name.c_str()));
    ::close(STDIN_FILENO);
    auto attached = zcpool::ipc::attached_pool::attach(
        zcpool::sys::unique_fd{::dup(files.data)}, zcpool::sys::unique_fd{::dup(files.control)});
    holder mine;
    const bool done = attached &&
                      mine.acquire(attached->view(), 4_KiB, orders.small) == orders.small &&
                      mine.acquire(attached->view(), 64_KiB, orders.large) == orders.large &&
                      mine.publish(attached->view(), orders.shown);
    static_cast<void>(::write(ready, done ? "y" : "n", 1));
    for (;;) {
        ::pause();
    }
}

pid_t fork_partner(zcpool::pool_view pool, const partner_orders& orders) {
    int ready[2];
    const auto files = pool.share();
    if (!files || ::pipe(ready) != 0) {
        return 0;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        be_partner(*files, orders, ready[1]);
    }
    char answer = 'n';
    ::close(ready[1]);
    static_cast<void>(::read(ready[0], &answer, 1));
    ::close(ready[0]);
    return answer == 'y' ? pid : 0;
}

// What would change if somebody wrote to the control memory, or joined.
std::string control_text(zcpool::pool_view pool) {
    std::uint64_t sum = 0;
    std::size_t places = 0;
    const auto files = pool.share();
    std::vector<unsigned char> bytes(files ? pool.report().control_bytes : 0);
    if (files && ::pread(files->control, bytes.data(), bytes.size(), 0) ==
                     static_cast<ssize_t>(bytes.size())) {
        for (const unsigned char each : bytes) {
            sum = (sum ^ each) * 0x100'0000'01B3;  // FNV-1a
        }
    }
    for (const auto& each : zcpool::ipc::audit(pool).processes) {
        places += each.state != zcpool::process_state::free ? 1 : 0;
    }
    return std::to_string(sum) + ' ' + std::to_string(places);
}

std::string obey(zcpool::pool_view pool, zcpool::ipc::reaper& reaper, holder& mine,
                 const std::string& order) {
    std::size_t index = 0;
    std::size_t count = 0;
    if (order == "partner") {
        partner_orders orders;
        std::cin >> orders.name >> orders.small >> orders.large >> orders.shown;
        return std::to_string(fork_partner(pool, orders));
    }
    if (order == "acquire") {
        std::cin >> index >> count;
        return std::to_string(mine.acquire(pool, bytes_of(index), count));
    }
    if (order == "churn") {
        std::cin >> index >> count;
        for (std::size_t i = 0; i < count; ++i) {
            if (!pool.try_acquire(bytes_of(index))) {
                return "full";
            }
        }
        return "done";
    }
    if (order == "wait") {
        pid_t pid = 0;
        std::cin >> pid;
        return std::to_string(::waitpid(pid, nullptr, 0));
    }
    if (order == "reap") {
        const auto report = reaper.reap();
        return report ? std::to_string(report->found_dead) : report.error().message();
    }
    return order == "control" ? control_text(pool) : "what?";
}

template <class Pool>
int run(bool is_shared) {
    auto pool = Pool::create({.slots = {32, 8}, .lending = zcpool::lending::cached});
    if (!pool) {
        std::cout << pool.error().message() << std::endl;
        return 1;
    }
    if (is_shared && !pool->share()) {
        return 1;
    }
    ::alarm(longest_life);
    zcpool::ipc::reaper reaper{*pool};
    holder mine;
    std::cout << "ready" << std::endl;
    for (std::string order; std::cin >> order;) {
        if (order == "close") {
            pool->close();
            std::cout << "closed" << std::endl;
        } else {
            std::cout << obey(*pool, reaper, mine, order) << std::endl;
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view kind = argc == 2 ? argv[1] : "shared";
    return kind == "checked" ? run<checked_pool>(false) : run<plain_pool>(kind == "shared");
}
