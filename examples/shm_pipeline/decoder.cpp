// SPDX-License-Identifier: MIT
// Frames that the program ffmpeg decodes: it writes them into a pipe, and they are read from there
// to where they stay.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <zcpool/sys/transfer.hpp>
#include <zcpool/sys/unique_fd.hpp>

#include <shm_pipeline/child.hpp>
#include <shm_pipeline/frame_source.hpp>

namespace shm_pipeline {
namespace {

constexpr std::string_view graph_prefix = "lavfi:";

std::vector<std::string> command(const std::string& input, picture_size size) {
    std::vector<std::string> words{"ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error"};
    if (input.starts_with(graph_prefix)) {
        words.insert(words.end(), {"-f", "lavfi", "-i", input.substr(graph_prefix.size())});
    } else {
        words.insert(words.end(), {"-i", "file:" + input});
    }
    words.insert(words.end(), {"-an", "-vf", fmt::format("scale={}:{}", size.width, size.height),
                               "-pix_fmt", "rgb0", "-f", "rawvideo", "pipe:1"});
    return words;
}

class decoder final : public frame_source {
public:
    decoder(child process, zcpool::sys::unique_fd pipe)
        : process_(std::move(process)), pipe_(std::move(pipe)) {}

    // Not by source::read: that fills slots one after the other to their ends, so a frame would
    // begin anywhere in one and go on in the next. Here a frame has a slot, and a head before it.
    fill_result fill(std::span<std::byte> pixels, std::uint64_t) override {
        const std::size_t wanted = pixels.size();
        while (!pixels.empty()) {
            const auto got = zcpool::sys::read_some(pipe_.get(), pixels);
            if (!got || *got == 0) {
                const ending how = process_.wait();
                const bool is_whole = got && pixels.size() == wanted;
                return is_whole && !how.was_killed && how.code == 0 ? fill_result::ended
                                                                    : fill_result::failed;
            }
            pixels = pixels.subspan(*got);
        }
        return fill_result::filled;
    }

private:
    child process_;  // killed, if it still runs, when we go
    zcpool::sys::unique_fd pipe_;
};

}  // namespace

std::expected<std::unique_ptr<frame_source>, std::string> make_decoder(const std::string& input,
                                                                       picture_size size) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return std::unexpected{"no pipe for ffmpeg; see ulimit -n"};
    }
    zcpool::sys::unique_fd out{ends[0]};
    const zcpool::sys::unique_fd in{ends[1]};
    ::fcntl(out.get(), F_SETPIPE_SZ, 1 << 20);  // fewer calls; less is no harm
    auto process = child::start("ffmpeg", command(input, size), in.get());
    if (!process) {
        return std::unexpected{
            fmt::format("ffmpeg: {}; install it (apt-get install ffmpeg), or "
                        "use --source synthetic",
                        process.error().message())};
    }
    return std::make_unique<decoder>(std::move(*process), std::move(out));
}

}  // namespace shm_pipeline
