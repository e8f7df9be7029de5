// SPDX-License-Identifier: MIT
// zcpool_top: pools of running processes, seen from outside.

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include <zcpool_top/json.hpp>
#include <zcpool_top/options.hpp>
#include <zcpool_top/table.hpp>
#include <zcpool_top/watch.hpp>

namespace top {
namespace {

int complain(std::string_view what) {
    fmt::print(stderr, "zcpool_top: {}\n", what);
    return 1;
}

/// Where looks are shown: on a terminal each in place of the one before, elsewhere one after the
/// other.
class screen {
public:
    explicit screen(bool in_place) : in_place_(in_place) {}

    void show(std::string_view text) {
        const bool is_apart = !in_place_ && shown_ > 0 && !text.starts_with('{');
        const std::string out =
            in_place_ ? frame(text) : fmt::format("{}{}", is_apart ? "\n" : "", text);
        ++shown_;
        std::fwrite(out.data(), 1, out.size(), stdout);
        std::fflush(stdout);
    }

private:
    // No line may be broken, and none may scroll the first one away.
    [[nodiscard]] std::string frame(std::string_view text) const {
        winsize size{};
        ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        const std::size_t columns = size.ws_col == 0 ? 80 : size.ws_col;
        const std::size_t rows = size.ws_row == 0 ? 24 : size.ws_row;
        std::string out = shown_ == 0 ? "\x1b[2J\x1b[H" : "\x1b[H";
        for (std::size_t row = 1; !text.empty() && row < rows; ++row) {
            const std::size_t end = std::min(text.find('\n'), text.size());
            out += text.substr(0, std::min(end, columns));
            out += "\x1b[K\n";
            text.remove_prefix(std::min(end + 1, text.size()));
        }
        return out + "\x1b[J";
    }

    bool in_place_;
    std::uint64_t shown_ = 0;
};

/// Ends the program in its own time.
class ending {
public:
    ending() {
        sigemptyset(&signals_);
        sigaddset(&signals_, SIGINT);
        sigaddset(&signals_, SIGTERM);
        ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    }

    /// Waits so long. Returns: whether somebody wants the end meanwhile.
    [[nodiscard]] bool comes_within(std::chrono::milliseconds time) const {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
        const timespec wait{static_cast<time_t>(seconds.count()),
                            static_cast<long>(std::chrono::nanoseconds{time - seconds}.count())};
        return ::sigtimedwait(&signals_, nullptr, &wait) > 0;
    }

private:
    sigset_t signals_{};
};

std::string text_of(const std::vector<pool_snapshot>& pools, const watch& watched,
                    const options& values) {
    if (values.json) {
        return json_of(pools, watched.denied) + '\n';
    }
    if (!values.pid) {
        return list_of(pools, watched.denied);
    }
    std::string text;
    for (const pool_snapshot& each : pools) {
        text += text.empty() ? "" : "\n";
        text += table_of(each);
    }
    return text;
}

int run(int argc, char** argv) {
    const auto parsed = parse_options(argc, argv);
    if (!parsed.run) {
        return parsed.exit_code;
    }
    const options& values = parsed.values;
    const ending end;
    const bool once = values.count && *values.count == 1;
    screen out{::isatty(STDOUT_FILENO) != 0 && !values.json && !once};
    auto watched = values.pid ? watch_process(*values.pid) : watch_all();
    for (std::uint64_t looks = 1;; ++looks) {
        if (!watched) {
            return complain(watched.error());
        }
        for (const std::string& each : watched->warnings) {
            complain(each);
        }
        watched->warnings.clear();
        const auto pools = watched->look();
        if (values.pid && pools.empty()) {
            complain(fmt::format("PID {}: no process of its pools lives any more", *values.pid));
            return looks > 1 ? 0 : 1;
        }
        out.show(text_of(pools, *watched, values));
        if ((values.count && looks == *values.count) || end.comes_within(values.interval)) {
            return 0;
        }
        if (!values.pid) {
            watched = watch_all();  // others may have come
        }
    }
}

}  // namespace
}  // namespace top

int main(int argc, char** argv) { return top::run(argc, argv); }
