// SPDX-License-Identifier: MIT
// The first stage: frames are written straight into slots, and sent to the packager.
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_sender.hpp>

#include <shm_pipeline/checksum.hpp>
#include <shm_pipeline/frame_source.hpp>
#include <shm_pipeline/programs.hpp>
#include <shm_pipeline/stage.hpp>

namespace shm_pipeline {
namespace {

using zcpool::ipc::back_pressure;
using zcpool::ipc::send_outcome;

class capturing {
public:
    capturing(stage& here, frame_source& source, const options& values)
        : here_(here), source_(source), values_(values) {}

    int run() {
        while (!here_.is_dismissed() && !is_over_) {
            meet(out_ ? std::chrono::milliseconds{0} : patience);
            if (frame_.empty()) {
                is_over_ = here_.has_reached(phase::capture_ends);
                if (out_ && !is_over_) {
                    make_frame();
                }
            } else if (!out_) {
                is_over_ = here_.has_reached(phase::capture_ends);
            }
            if (out_ && !frame_.empty()) {
                send();
            }
        }
        if (out_ && !here_.is_dismissed()) {
            // What is not read by then is lost with us.
            static_cast<void>(out_->finish_for(farewell));
        }
        return has_failed_ ? 1 : 0;
    }

private:
    /// Takes another packager when there is one: the frame that is on its way to the one that died
    /// is sent to the next.
    void meet(std::chrono::milliseconds longest) {
        if (const auto packager = here_.next(longest)) {
            out_ = here_.send_to(*packager, {.capacity = values_.sending.capacity,
                                             .when_full = values_.sending.when_full,
                                             .wakes_by = zcpool::ipc::wake_by::event});
        }
    }

    void make_frame() {
        board_page& board = here_.board();
        const picture_size size = board.size;
        wait_for_its_time();
        // What the packager has read meanwhile is free for this frame.
        static_cast<void>(out_->reclaim());
        const std::size_t bytes = sizeof(frame_head) + size.bytes();
        const bool waits = values_.sending.when_full == back_pressure::wait;
        auto into = waits ? here_.pool().acquire_for(bytes, patience) : here_.pool().acquire(bytes);
        if (!into) {
            if (!waits) {
                board.starved.add();
                // The next one comes a little later; a camera would just go on.
                std::this_thread::sleep_for(std::chrono::milliseconds{1});
            }
            return;
        }
        const std::uint64_t number = board.numbers.next() + 1;
        if (values_.capture.frames != 0 && number > values_.capture.frames) {
            is_over_ = true;
            return;
        }
        const auto pixels = into->space().subspan(sizeof(frame_head), size.bytes());
        const fill_result filled = source_.fill(pixels, number);
        if (filled != fill_result::filled) {
            is_over_ = true;
            has_failed_ = filled == fill_result::failed;
            return;
        }
        const std::uint64_t sum = checksum(pixels);
        const frame_head head{
            .number = number, .captured_at = now(), .checksum = sum, .size = size};
        std::memcpy(into->data(), &head, sizeof head);
        into->commit(bytes);
        frame_ = std::move(*into).freeze();
        board.captured.add();
    }

    void send() {
        const auto sent = out_->send_for(std::move(frame_), patience);
        if (sent) {
            here_.board().unsent.add(*sent == send_outcome::sent ? 0 : 1);
            frame_ = {};  // with drop_newest it was not taken
        } else if (sent.error() != zcpool::errc::timed_out) {
            out_.reset();  // the packager died, or has ended
        }
    }

    void wait_for_its_time() {
        if (values_.capture.rate != 0) {
            const auto each = std::chrono::duration_cast<clock::duration>(
                std::chrono::duration<double>{1.0 / values_.capture.rate});
            std::this_thread::sleep_until(next_);
            next_ = std::max(next_ + each, clock::now() - each);
        }
    }

    using clock = std::chrono::steady_clock;

    stage& here_;
    frame_source& source_;
    const options& values_;
    std::optional<zcpool::ipc::channel_sender> out_;
    zcpool::slice frame_;
    clock::time_point next_ = clock::now();
    bool is_over_ = false;
    bool has_failed_ = false;
};

}  // namespace

int capture(const options& values) {
    auto here = stage::join(values.socket, role::capture);
    if (!here) {
        return complain("capture", here.error());
    }
    const picture_size size = here->board().size;
    std::unique_ptr<frame_source> source;
    if (constexpr std::string_view decoded = "ffmpeg:";
        values.capture.source.starts_with(decoded)) {
        auto made = make_decoder(values.capture.source.substr(decoded.size()), size);
        if (!made) {
            return complain("capture", made.error());
        }
        source = std::move(*made);
    } else {
        source = std::make_unique<synthetic_source>(size);
    }
    const int code = capturing{*here, *source, values}.run();
    return code == 0 ? 0
                     : complain("capture", fmt::format("--source {}: ffmpeg failed; see what it "
                                                       "says above",
                                                       values.capture.source));
}

}  // namespace shm_pipeline
