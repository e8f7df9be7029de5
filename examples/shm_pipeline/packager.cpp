// SPDX-License-Identifier: MIT
// The second stage: each frame gets a head in a slot of its own, and both are published. The
// frame's bytes are not touched.
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include <zcpool/chain/slice.hpp>
#include <zcpool/ipc/channel_receiver.hpp>
#include <zcpool/ipc/publisher.hpp>

#include <shm_pipeline/programs.hpp>
#include <shm_pipeline/stage.hpp>

namespace shm_pipeline {
namespace {

class packaging {
public:
    packaging(stage& here, const sending_options& sending) : here_(here), sending_(sending) {}

    int run() {
        while (!here_.is_dismissed() && !is_over()) {
            if (!in_) {
                viewers_.reclaim();
                meet(patience);
                continue;
            }
            meet(std::chrono::milliseconds{0});
            if (zcpool::slice frame = in_ ? in_->try_receive() : zcpool::slice{}; !frame.empty()) {
                package(std::move(frame));
            } else if (in_ && (in_->ended() || is_capture_gone_)) {
                leave_capture();
            } else if (in_) {
                wait();
            }
        }
        viewers_.finish_for(farewell);
        return 0;
    }

private:
    [[nodiscard]] bool is_over() const { return !in_ && here_.has_reached(phase::packager_ends); }

    void meet(std::chrono::milliseconds longest, int also = -1) {
        const auto other = here_.next(longest, also);
        if (!other) {
            return;
        }
        if (other->is_to_receive) {
            leave_capture();
            in_ = here_.receive_from(*other);
            return;
        }
        // A packet is two messages.
        auto out = here_.send_to(*other, {.capacity = 2 * sending_.capacity,
                                          .when_full = sending_.when_full,
                                          .wakes_by = zcpool::ipc::wake_by::event});
        if (out) {
            static_cast<void>(viewers_.add(std::move(*out)));  // the broker introduces fewer
        }
    }

    void package(zcpool::slice frame) {
        const auto head = head_of<frame_head>(frame.bytes());
        if (!head) {
            here_.board().wrong.add();
            return;
        }
        const packet_head packet{
            .number = head->number, .frame_bytes = frame.size(), .packaged_at = now()};
        zcpool::buffer into;
        while (!into && !here_.is_dismissed()) {
            viewers_.reclaim();
            into = here_.pool().acquire_for(sizeof packet, patience).value_or(zcpool::buffer{});
            if (!into) {
                meet(std::chrono::milliseconds{0});
            }
        }
        if (!into) {
            return;
        }
        std::memcpy(into.data(), &packet, sizeof packet);
        into.commit(sizeof packet);
        viewers_.publish(std::move(into).freeze());
        const std::uint64_t before = viewers_.stats().dropped;
        viewers_.publish(std::move(frame));
        here_.board().packaged.add();
        here_.board().unseen.add(viewers_.stats().dropped - before);
    }

    /// Until there is a frame, or somebody to meet; what viewers have let go of is free meanwhile.
    void wait() {
        viewers_.reclaim();
        if (in_->begin_wait()) {
            meet(patience, in_->event());
        }
        if (in_) {
            in_->end_wait();
            // Asked before we look again: what it sent before it died is still received.
            is_capture_gone_ = in_->is_sender_gone();
        }
    }

    void leave_capture() {
        if (in_) {
            here_.board().lost.add(in_->stats().lost);
            in_.reset();
            is_capture_gone_ = false;
        }
    }

    stage& here_;
    sending_options sending_;
    std::optional<zcpool::ipc::channel_receiver> in_;
    bool is_capture_gone_ = false;
    zcpool::ipc::publisher viewers_;
};

}  // namespace

int package(const options& values) {
    auto here = stage::join(values.socket, role::packager);
    return here ? packaging{*here, values.sending}.run() : complain("packager", here.error());
}

}  // namespace shm_pipeline
