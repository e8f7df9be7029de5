// SPDX-License-Identifier: MIT
// The process that owns the pool: starts the stages, starts those again that were killed, kills
// them itself if it is told so, and ends them one after the other.
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <zcpool/sys/process.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <shm_pipeline/broker.hpp>
#include <shm_pipeline/child.hpp>
#include <shm_pipeline/killer.hpp>
#include <shm_pipeline/programs.hpp>
#include <shm_pipeline/report.hpp>
#include <shm_pipeline/temporary_directory.hpp>

namespace shm_pipeline {
namespace {

zcpool::sys::unique_fd take_signals() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int each : {SIGTERM, SIGINT, SIGCHLD}) {
        sigaddset(&wanted, each);
    }
    ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
    return zcpool::sys::unique_fd{::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK)};
}

/// The command line of a stage.
std::vector<std::string> command(role as, const options& values) {
    std::vector<std::string> words{"shm_pipeline", std::string{role_names[index_of(as)]},
                                   "--socket", values.socket};
    const auto add = [&](const char* name, std::string value) {
        words.emplace_back(name);
        words.push_back(std::move(value));
    };
    if (as != role::viewer) {
        add("--capacity", std::to_string(values.sending.capacity));
        add("--when-full", name_of(values.sending.when_full));
    }
    if (as == role::capture) {
        add("--source", values.capture.source);
        add("--rate", std::to_string(values.capture.rate));
        add("--frames", std::to_string(values.capture.frames));
    }
    if (as == role::viewer) {
        add("--view-ms", std::to_string(values.viewer.looks_for.count()));
    }
    return words;
}

class runner {
public:
    runner(broker& owner, const options& values, zcpool::sys::unique_fd signals)
        : broker_(owner),
          values_(values),
          signals_(std::move(signals)),
          killer_(values.broker),
          ends_at_(values.broker.duration.count() == 0 ? clock::time_point::max()
                                                       : clock::now() + values.broker.duration) {}

    run_outcome run() {
        const auto began = clock::now();
        if (values_.what == program::run) {
            start(role::packager);
            for (std::uint32_t i = 0; i < values_.broker.viewers; ++i) {
                start(role::viewer);
            }
        } else {
            fmt::print("ready {}\n", values_.socket);
            std::fflush(stdout);
        }
        while (!is_over_) {
            wait();
            begin();
            strike();
            end();
        }
        outcome_.took = clock::now() - began;
        stages_.clear();  // those that would not end are killed
        outcome_.slots = broker_.account();
        outcome_.taken_back = broker_.taken_back();
        return std::move(outcome_);
    }

private:
    using clock = killer::clock;

    struct started {
        role as;
        child process;
        bool was_struck = false;
    };

    void start(role as) {
        auto process = child::start("/proc/self/exe", command(as, values_));
        if (!process) {
            return fail(fmt::format("{} could not be started: {}; see ulimit -u",
                                    role_names[index_of(as)], process.error().message()));
        }
        ++outcome_.starts[index_of(as)];
        stages_.push_back({as, std::move(*process)});
    }

    /// For connections, deaths, signals, or the time of the next kill.
    void wait() {
        entries_.clear();
        entries_.push_back({signals_.get(), POLLIN, 0});
        broker_.watch(entries_);
        const int longest = values_.broker.kills != 0 && !killer_.has_done() ? 1 : 50;
        const auto ready = zcpool::sys::poll_readable(entries_, longest);
        if (!ready || *ready == 0) {
            if (longest != 1) {
                broker_.reap();  // of guests, whose deaths are no news for us
            }
            return;
        }
        const bool was_signalled = entries_.front().revents != 0;
        broker_.go_on(entries_);
        if (was_signalled) {
            take_signals();
        }
    }

    void take_signals() {
        signalfd_siginfo told{};
        bool has_died = false;
        while (::read(signals_.get(), &told, sizeof told) == sizeof told) {
            has_died = has_died || told.ssi_signo == SIGCHLD;
            if (told.ssi_signo != SIGCHLD) {
                outcome_.was_signalled = true;
                finish();
            }
        }
        if (has_died) {
            bury();
        }
    }

    /// Takes back what the dead had, and starts them again.
    void bury() {
        std::vector<role> dead;
        std::erase_if(stages_, [&](started& each) {
            const pid_t pid = each.process.pid();
            ending how;
            if (!each.process.has_ended(how)) {
                return false;
            }
            broker_.forget(pid);
            if (is_to_start_again(each, how)) {
                dead.push_back(each.as);
            }
            return true;
        });
        broker_.reap();
        for (const role each : dead) {
            start(each);
        }
    }

    [[nodiscard]] bool is_to_start_again(const started& one, ending how) {
        const std::string_view name = role_names[index_of(one.as)];
        const bool is_running = broker_.board().current() == phase::running;
        if (how.was_killed && how.code != SIGKILL && how.code != SIGTERM) {
            fail(fmt::format("{} crashed with signal {}", name, how.code));
        } else if (!how.was_killed && how.code != 0) {
            fail(fmt::format("{} ended with code {}", name, how.code));
        } else if (!how.was_killed && one.as == role::capture) {
            finish();  // there is no more to come
        }
        return how.was_killed && is_running && outcome_.failure.empty();
    }

    /// The first capture waits for all others, so that nobody misses its first frame.
    void begin() {
        if (values_.what == program::run && outcome_.starts[index_of(role::capture)] == 0 &&
            broker_.board().current() == phase::running && broker_.count(role::packager) == 1 &&
            broker_.count(role::viewer) == values_.broker.viewers) {
            start(role::capture);
        }
        if (clock::now() >= ends_at_) {
            finish();
        }
    }

    void strike() {
        const std::uint64_t delivered = broker_.board().delivered.get();
        const auto now = clock::now();
        if (values_.broker.kills == 0 || broker_.board().current() != phase::running) {
            return;
        }
        if (killer_.has_done()) {
            // The last of them is to show that it goes on.
            if (delivered != delivered_at_last_) {
                finish();
            }
            return;
        }
        if (!killer_.is_due(delivered, now)) {
            return;
        }
        std::vector<started*> alive;
        for (started& each : stages_) {
            if (!each.was_struck) {
                alive.push_back(&each);
            }
        }
        if (!alive.empty()) {
            started& victim = *alive[killer_.choose(alive.size(), delivered, now)];
            victim.process.kill(SIGKILL);
            victim.was_struck = true;
            ++outcome_.kills[index_of(victim.as)];
            delivered_at_last_ = delivered;
        }
    }

    /// Begins the end.
    void finish() {
        if (broker_.board().current() == phase::running) {
            broker_.board().enter(phase::capture_ends);
            gives_up_at_ = clock::now() + longest_end;
        }
    }

    void fail(std::string why) {
        if (outcome_.failure.empty()) {
            outcome_.failure = std::move(why);
        }
        finish();
    }

    /// Ends one stage after the other: each reads what was sent to it before it goes.
    void end() {
        board_page& board = broker_.board();
        while (!is_over_ && board.current() != phase::running) {
            const auto as = static_cast<role>(static_cast<std::uint32_t>(board.current()) - 1);
            const bool is_there =
                std::ranges::any_of(stages_, [as](const started& each) { return each.as == as; });
            if (clock::now() >= gives_up_at_) {
                is_over_ = true;
                return fail(fmt::format("{} did not end", role_names[index_of(as)]));
            }
            if (is_there || broker_.count(as) != 0) {
                return;
            }
            if (as == role::viewer) {
                is_over_ = true;
            } else {
                board.enter(static_cast<phase>(static_cast<std::uint32_t>(board.current()) + 1));
            }
        }
    }

    static constexpr std::chrono::seconds longest_end{60};

    broker& broker_;
    const options& values_;
    zcpool::sys::unique_fd signals_;
    killer killer_;
    clock::time_point ends_at_;
    clock::time_point gives_up_at_;
    std::vector<started> stages_;
    std::vector<pollfd> entries_;
    std::uint64_t delivered_at_last_ = 0;
    run_outcome outcome_;
    bool is_over_ = false;
};

}  // namespace

int run(const options& given) {
    options values = given;
    const std::string_view name = values.what == program::run ? "run" : "broker";
    const temporary_directory directory;
    if (values.socket.empty()) {
        values.socket = directory.file("socket");
    }
    auto signals = take_signals();
    auto owner = broker::create(values);
    if (!owner) {
        return complain(name, owner.error());
    }
    runner all{*owner, values, std::move(signals)};
    const run_outcome outcome = all.run();
    print_report(values, owner->board(), outcome);
    const std::string wrong = verdict(values, owner->board(), outcome);
    return wrong.empty() ? 0 : complain(name, wrong);
}

}  // namespace shm_pipeline
