// SPDX-License-Identifier: MIT
#pragma once

// One direction of a connection, in the two ways there are: past the process, or through it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <zcpool/chain/chain.hpp>
#include <zcpool/chain/slice.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sink/sink.hpp>
#include <zcpool/sink/write.hpp>
#include <zcpool/source/read.hpp>
#include <zcpool/source/source.hpp>
#include <zcpool/source/splice.hpp>
#include <zcpool/sys/pipe_pool.hpp>
#include <zcpool/sys/transfer.hpp>

#include <relay/statistics.hpp>
#include <relay/transport_stream.hpp>

namespace relay {

/// What moving came to.
enum class fate {
    more,     ///< others have had no turn: go on with this one later
    waiting,  ///< for either of the sockets
    starved,  ///< for a slot or a pipe
    ended,    ///< all is out, and the receiver has been told
    failed,
};

/// What all directions of a relay share.
struct surroundings {
    std::optional<zcpool::pool_view> pool;  ///< there is one when something looks at the bytes
    zcpool::sys::pipe_pool& pipes;
    std::size_t direction_bytes;
    statistics& counted;
};

/// Past the process: by source::splice. Holds what its pipe does, and has one only while the
/// receiver takes no more.
class passing {
public:
    passing(int from, int to, surroundings& around) noexcept
        : between_(from, to, {.most_a_pull = around.direction_bytes, .pipes = &around.pipes}) {}

    fate move() noexcept {
        switch (between_.pull()) {
            case zcpool::source::state::data: return fate::more;
            case zcpool::source::state::exhausted: return fate::starved;
            case zcpool::source::state::ended: return fate::ended;
            case zcpool::source::state::failed: return fate::failed;
            case zcpool::source::state::blocked:
            case zcpool::source::state::full: break;
        }
        return fate::waiting;
    }

    [[nodiscard]] std::uint64_t moved() const noexcept { return between_.moved(); }
    [[nodiscard]] std::size_t held() const noexcept { return between_.in_pipe(); }

private:
    zcpool::source::splice between_;
};

/// Through the process: read into slots of the pool, looked at, written. Reads only when what it
/// read before is out, so that it holds its share and no more, and a slow receiver stops it.
class inspecting {
public:
    inspecting(int from, int to, surroundings& around) noexcept
        : to_(to),
          in_(from, *around.pool, {.hold_at_most = around.direction_bytes}),
          out_(to),
          stream_(around.counted.stream) {}

    fate move() noexcept {
        for (std::size_t turn = 0; turn < most_turns; ++turn) {
            switch (out_.flush()) {
                case zcpool::sink::state::done: break;
                case zcpool::sink::state::failed: return fate::failed;
                case zcpool::sink::state::blocked:
                case zcpool::sink::state::pending: return fate::waiting;
            }
            if (in_.available() == 0) {
                switch (in_.pull()) {
                    case zcpool::source::state::data: break;
                    case zcpool::source::state::exhausted: return fate::starved;
                    case zcpool::source::state::ended: return pass_on_the_end();
                    case zcpool::source::state::failed: return fate::failed;
                    case zcpool::source::state::blocked:
                    case zcpool::source::state::full: return fate::waiting;
                }
            }
            zcpool::chain came = in_.take();
            for (const zcpool::slice& each : came.slices()) {
                stream_.look_at(each.bytes());
            }
            out_.push(std::move(came));
        }
        return fate::more;
    }

    [[nodiscard]] std::uint64_t moved() const noexcept { return out_.stats().copied_bytes; }
    [[nodiscard]] std::size_t held() const noexcept {
        // When the sink fails it drops its queue; what came and did not go out is lost.
        return static_cast<std::size_t>(in_.stats().bytes - moved());
    }

private:
    static constexpr std::size_t most_turns = 4;

    fate pass_on_the_end() noexcept {
        return zcpool::sys::shutdown_writing(to_) ? fate::ended : fate::failed;
    }

    int to_;
    zcpool::source::read in_;
    zcpool::sink::write out_;
    transport_stream stream_;
};

}  // namespace relay
