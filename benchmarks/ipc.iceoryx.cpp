// SPDX-License-Identifier: MIT
// iceoryx, which hands frames over without a copy too: its rows of ipc.frames.cpp. It needs a
// daemon, which is started here, and a process of it stays what it is; so one child answers for all
// rows, and this process has the runtime from its first row on.
#include <benchmark/benchmark.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "ipc.frames.hpp"
#include "support/cpu.hpp"
#include "support/program.hpp"
#include "support/two_processes.hpp"

namespace {

using namespace bench;

constexpr const char* subject = "iceoryx";

iox::capro::ServiceDescription service(const char* way, const std::string& size) {
    return {"zcpool-bench", iox::capro::IdString_t{iox::cxx::TruncateToCapacity, way},
            iox::capro::IdString_t{iox::cxx::TruncateToCapacity, size.c_str()}};
}

void begin_runtime(const char* name) {
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
        iox::log::LogLevel::kOff, iox::log::LogLevelOutput::kHideLogLevel);
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t{
        iox::cxx::TruncateToCapacity, (name + std::to_string(::getpid())).c_str()});
}

/// One side of a size.
struct side {
    side(const std::string& size, bool answers)
        : out(service(answers ? "back" : "there", size)),
          in(service(answers ? "there" : "back", size)) {}

    bool is_connected() {
        return in.getSubscriptionState() == iox::SubscribeState::SUBSCRIBED && out.hasSubscribers();
    }
    bool write(std::uint64_t number, std::size_t bytes) {
        auto frame = out.loan(static_cast<std::uint32_t>(bytes));
        if (frame.has_error()) {
            return false;
        }
        std::memcpy(frame.value(), &number, sizeof number);
        out.publish(frame.value());
        return true;
    }
    std::uint64_t read() {
        for (;;) {
            auto got = in.take();
            if (!got.has_error()) {
                std::uint64_t number = 0;
                std::memcpy(&number, got.value(), sizeof number);
                in.release(got.value());
                return number;
            }
        }
    }

    iox::popo::UntypedPublisher out;
    iox::popo::UntypedSubscriber in;
};

/// The daemon and the child that answers. Ended with this process.
class world {
public:
    world() {
        char path[] = "/tmp/zcpool-bench-roudi-XXXXXX";
        const int made = ::mkstemp(path);
        if (made < 0) {
            return;
        }
        ::close(made);
        config_ = path;
        std::ofstream{config_} << "[general]\nversion = 1\n[[segment]]\n"
                                  "[[segment.mempool]]\nsize = 4096\ncount = 64\n"
                                  "[[segment.mempool]]\nsize = 65536\ncount = 64\n"
                                  "[[segment.mempool]]\nsize = 1048576\ncount = 16\n"
                                  "[[segment.mempool]]\nsize = 8388608\ncount = 16\n";
        daemon_ = ::fork();
        if (daemon_ == 0) {
            std::freopen("/dev/null", "w", stdout);
            std::freopen("/dev/null", "w", stderr);
            ::execlp("iox-roudi", "iox-roudi", "-c", config_.c_str(), "-m", "off", nullptr);
            ::_exit(127);
        }
        ::usleep(1'500'000);
        int status = 0;
        if (daemon_ < 0 || ::waitpid(daemon_, &status, WNOHANG) != 0) {
            daemon_ = -1;
            return;
        }
        answers_ = ::fork();
        if (answers_ == 0) {
            answer();
        }
        begin_runtime("zcpool-asks-");
    }
    world(const world&) = delete;
    world& operator=(const world&) = delete;
    ~world() {
        for (const pid_t each : {answers_, daemon_}) {
            if (each > 0) {
                ::kill(each, SIGKILL);
                ::waitpid(each, nullptr, 0);
            }
        }
        ::unlink(config_.c_str());
    }
    [[nodiscard]] bool is_there() const { return daemon_ > 0 && answers_ > 0; }

private:
    /// Sends back what comes, of every size; sleeps where nothing has come for a while.
    [[noreturn]] static void answer() {
        pin_to(1);
        begin_runtime("zcpool-answers-");
        std::vector<std::unique_ptr<side>> all;
        std::vector<std::size_t> sizes{4096, 65536, 1048576, 8388608};
        for (const std::size_t bytes : sizes) {
            all.push_back(std::make_unique<side>(std::to_string(bytes), true));
        }
        std::size_t last = 0;
        for (std::uint64_t idle = 0;;) {
            auto got = all[last]->in.take();
            if (!got.has_error()) {
                std::uint64_t number = 0;
                std::memcpy(&number, got.value(), sizeof number);
                all[last]->in.release(got.value());
                static_cast<void>(all[last]->write(number, sizes[last]));
                idle = 0;
            } else if (++idle > 100'000) {
                // Not this size any more.
                last = (last + 1) % all.size();
                ::usleep(1'000);
                idle = 99'990;
            }
        }
    }

    std::string config_;
    pid_t daemon_ = -1;
    pid_t answers_ = -1;
};

}  // namespace

void bench::register_iceoryx(const char* size_name, std::size_t bytes) {
    if (is_quick()) {
        return;  // the daemon takes seconds to come
    }
    benchmark::RegisterBenchmark(
        (std::string{size_name} + " frame there and back, spinning | " + subject).c_str(),
        [=](benchmark::State& state) {
            static world all;
            const std::size_t count = 20'000;
            std::vector<double> times(count);
            const double before = cache_line_round_trip();
            for (auto _ : state) {
                if (!all.is_there()) {
                    state.SkipWithError("iox-roudi could not be started");
                    return;
                }
                pin_to(0);
                side mine{std::to_string(bytes), false};
                for (int tries = 0; !mine.is_connected() && tries < 10'000; ++tries) {
                    ::usleep(1'000);
                }
                if (!mine.is_connected() || !mine.write(0, bytes) || mine.read() != 0) {
                    state.SkipWithError("no answer");
                    return;
                }
                const double begin = wall_ns();
                for (std::uint64_t i = 0; i < count; ++i) {
                    const double sent = wall_ns();
                    if (!mine.write(i, bytes) || mine.read() != i) {
                        state.SkipWithError("what came out is not what went in");
                        return;
                    }
                    times[i] = wall_ns() - sent;
                }
                state.SetIterationTime((wall_ns() - begin) * 1e-9);
            }
            state.counters["round_trip_before"] = before;
            state.counters["round_trip_after"] = cache_line_round_trip();
            std::sort(times.begin(), times.end());
            state.counters["p50"] = times[count / 2];
            state.counters["p99"] = times[count * 99 / 100];
            state.counters["p99.9"] = times[count * 999 / 1000];
            state.counters["max"] = times.back();
            state.SetItemsProcessed(static_cast<std::int64_t>(count));
        })
        ->Iterations(1)
        ->UseManualTime();
}
