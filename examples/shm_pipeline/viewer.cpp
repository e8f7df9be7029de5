// SPDX-License-Identifier: MIT
// The last stage: puts the two slices of a packet together as a chain, and looks at every byte.
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/reader.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_receiver.hpp>

#include <shm_pipeline/checksum.hpp>
#include <shm_pipeline/programs.hpp>
#include <shm_pipeline/stage.hpp>

namespace shm_pipeline {
namespace {

class viewing {
public:
    viewing(stage& here, const viewer_options& values) : here_(here), values_(values) {}

    int run() {
        while (!here_.is_dismissed() && (in_ || !here_.has_reached(phase::viewers_end))) {
            if (!in_) {
                meet(patience);
                continue;
            }
            auto got = in_->receive_for(patience);
            if (got) {
                take(std::move(*got));
            } else if (got.error() == zcpool::errc::timed_out) {
                meet(std::chrono::milliseconds{0});
            } else {
                leave();  // the packager has ended, or died
            }
        }
        leave();
        return 0;
    }

private:
    void meet(std::chrono::milliseconds longest) {
        if (const auto packager = here_.next(longest)) {
            leave();
            in_ = here_.receive_from(*packager);
        }
    }

    void leave() {
        if (in_) {
            here_.board().unpaired.add(packet_.empty() ? 0 : 1);
            here_.board().lost.add(in_->stats().lost);
            packet_ = {};
            in_.reset();
        }
    }

    /// A head begins a packet, and the frame behind it ends it. Where the channel drops what we are
    /// too slow for, one may come without the other.
    void take(zcpool::slice part) {
        const bool is_head = head_of<packet_head>(part.bytes()).has_value();
        if (is_head) {
            here_.board().unpaired.add(packet_.empty() ? 0 : 1);
            packet_ = {};
        } else if (packet_.empty()) {
            // The newest frame, which the packager gives to who comes later, has no head either.
            here_.board().unpaired.add();
            return;
        }
        if (!packet_.append(std::move(part))) {
            packet_ = {};
        } else if (!is_head) {
            look_at(std::exchange(packet_, zcpool::chain{}));
        }
    }

    void look_at(const zcpool::chain& packet) {
        const std::uint64_t arrived_at = now();
        board_page& board = here_.board();
        const auto first = head_of<packet_head>(packet.slices()[0].bytes());
        const auto head = head_of<frame_head>(packet.slices()[1].bytes());
        if (!first || !head) {
            board.wrong.add();
            return;
        }
        if (first->number != head->number) {
            board.unpaired.add(2);
            return;
        }
        zcpool::reader pixels{packet};
        const bool is_whole = pixels.skip(sizeof(packet_head) + sizeof(frame_head)) &&
                              first->frame_bytes == packet.slices()[1].size() &&
                              head->size == board.size &&
                              pixels.remaining() == head->size.bytes() &&
                              checksum(pixels.contiguous()) == head->checksum;
        if (!is_whole) {
            board.wrong.add();
            return;
        }
        board.latency.add(arrived_at - head->captured_at);
        std::this_thread::sleep_for(values_.looks_for);
        if (last_ != 0) {
            board.disorder.add(head->number <= last_ ? 1 : 0);
            board.gaps.add(head->number > last_ ? head->number - last_ - 1 : 0);
        }
        last_ = head->number;
        board.delivered.add();
    }

    stage& here_;
    viewer_options values_;
    std::optional<zcpool::ipc::channel_receiver> in_;
    zcpool::chain packet_;
    std::uint64_t last_ = 0;
};

}  // namespace

int view(const options& values) {
    auto here = stage::join(values.socket, role::viewer);
    return here ? viewing{*here, values.viewer}.run() : complain("viewer", here.error());
}

}  // namespace shm_pipeline
