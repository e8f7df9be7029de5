// SPDX-License-Identifier: MIT
#pragma once

// One connection: requests in, responses out, in order, and never more memory than its limits say.
// What a response is made of is the origin's business; this knows when to read, when to wait and
// when to give up.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <zcpool/sink/sink.hpp>

#include <segment_server/http/request_parser.hpp>
#include <segment_server/net/ready_socket.hpp>
#include <segment_server/net/socket_options.hpp>
#include <segment_server/observe/counters.hpp>

namespace segment_server {

/// A point of the event loop's clock.
using moment = std::chrono::milliseconds;

/// How much, and for how long. All durations are without progress, but `header`, which is for a
/// whole head.
struct connection_limits {
    head_limits head;
    moment header{10'000};
    moment idle{60'000};
    moment send{30'000};
    moment linger{2'000};
    std::size_t queued_bytes = std::size_t{256} << 10;  ///< above it no further request is read
    std::size_t lingering_bytes = std::size_t{1} << 20;
};

/// A connection over any origin, and so over any sink, and any way in.
///
/// An edge-triggered state machine: run() goes on until the socket has nothing to read or takes
/// nothing more. Concurrency: belongs to one event loop.
/// Socket: as ready_socket.
template <class Origin, class Socket>
class connection {
public:
    enum class fate {
        waiting,  ///< for an event, or for its deadline
        hungry,   ///< has more to do, and lets others go first
        closed,   ///< to be destroyed
    };

    connection(Socket socket, Origin& origin, const connection_limits& limits, moment now)
        : socket_(std::move(socket)),
          origin_(origin),
          limits_(limits),
          capacity_(limits.head.head + 1),
          input_(std::make_unique_for_overwrite<char[]>(capacity_)),
          parser_(limits.head),
          sink_(make_sink()),
          deadline_(now + limits.header) {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    /// Who is to be told by the sink's ring, if it has one, that run() has something to do.
    void set_owner(void* owner) noexcept {
        if constexpr (requires { sink_.set_owner(owner); }) {
            sink_.set_owner(owner);
        }
    }

    /// Does all there is to do. `events`: what happened, in the words of epoll; 0 to just look.
    [[nodiscard]] fate run(std::uint32_t events, moment now) {
        if ((events & EPOLLHUP) != 0 || ((events & EPOLLERR) != 0 && !awaits_notifications())) {
            return broken(sink_.queued() > 0);
        }
        has_ended_ = has_ended_ || (events & EPOLLRDHUP) != 0;
        readable_ = readable_ || has_ended_ || (events & EPOLLIN) != 0;
        for (int round = 0; round < rounds_a_turn; ++round) {
            if (const auto state = flush(); state == zcpool::sink::state::failed) {
                return broken(true);
            } else if (state == zcpool::sink::state::blocked) {
                return wait(now);
            }
            if (phase_ != phase::serving) {
                return linger(now);
            }
            if (answer_what_has_arrived()) {
                continue;
            }
            if (!readable_ || filled_ == capacity_) {
                return rest(now);
            }
            if (!receive()) {
                return fate::closed;
            }
        }
        wait(now);
        return fate::hungry;
    }

    /// Whether it waits for something else than octets of requests.
    [[nodiscard]] bool awaits_output() const noexcept { return is_held_; }

    /// Looks at the clock. Returns: `closed` when the peer has used up its time.
    [[nodiscard]] fate expire(moment now) {
        if (now < deadline_) {
            return fate::waiting;
        }
        auto& counters = origin_.counters();
        switch (waiting_for_) {
            case wait_kind::head:
                counters.header_timeouts.add(1);
                refuse(status::request_timeout);
                return run(0, now);
            case wait_kind::output:
                counters.send_timeouts.add(1);
                reset_on_close(fd());
                return fate::closed;
            case wait_kind::first_octet:
            case wait_kind::next_request: counters.idle_timeouts.add(1); return fate::closed;
            case wait_kind::peer_closing: break;
        }
        return fate::closed;
    }

    /// Answers with `why` and closes, without reading a request.
    [[nodiscard]] fate turn_away(status why, moment now) {
        refuse(why);
        return run(0, now);
    }

    /// Finishes what has been asked for and takes no further request.
    [[nodiscard]] fate drain(moment now) {
        draining_ = true;
        readable_ = true;  // A request may lie in the socket, not yet announced.
        return run(0, now);
    }

    /// Whether it stands in the list of hungry ones; kept here for the event loop.
    bool is_listed_hungry = false;

private:
    enum class phase { serving, finishing, lingering };
    enum class wait_kind { first_octet, head, next_request, output, peer_closing };

    // A turn ends after so many rounds, so that one client cannot keep the loop.
    static constexpr int rounds_a_turn = 16;

    // Requests to a ring that knows the socket by its place go there.
    [[nodiscard]] auto make_sink() {
        if constexpr (requires { origin_.make_sink(socket_.get(), socket_.registered_place()); }) {
            return origin_.make_sink(socket_.get(), socket_.registered_place());
        } else {
            return origin_.make_sink(socket_.get());
        }
    }

    // Always asks the sink: one that failed has dropped what was queued, and only the answer tells.
    [[nodiscard]] zcpool::sink::state flush() {
        const auto before = sink_.queued();
        const auto state = sink_.flush();
        if (state != zcpool::sink::state::failed && sink_.queued() < before) {
            origin_.counters().sent_bytes.add(before - sink_.queued());
            has_progress_ = true;
        }
        note_confirmations();
        account_for_sink();
        is_held_ = state == zcpool::sink::state::blocked || state == zcpool::sink::state::pending;
        if (!is_held_) {
            pinned_.clear();
        }
        return state;
    }

    // EPOLLERR is how the kernel says that it has let go of memory, to sinks that wait for it. A
    // connection that broke shows as EPOLLHUP, too.
    [[nodiscard]] static constexpr bool awaits_notifications() noexcept {
        return requires(const connection& self) { self.sink_.in_flight(); };
    }

    // A peer that takes what the kernel has makes progress, though the sink has nothing to do.
    void note_confirmations() noexcept {
        if constexpr (requires { sink_.in_flight(); }) {
            has_progress_ = has_progress_ || sink_.in_flight() < in_flight_;
            in_flight_ = sink_.in_flight();
        }
    }

    void account_for_sink() noexcept {
        if constexpr (requires { sink_.stats().lent_bytes; }) {
            const auto& now = sink_.stats();
            origin_.counters().sink_copied_bytes.add(now.copied_bytes - copied_bytes_);
            origin_.counters().sink_lent_bytes.add(now.lent_bytes - lent_bytes_);
            copied_bytes_ = now.copied_bytes;
            lent_bytes_ = now.lent_bytes;
        }
    }

    // Returns: whether there is something to flush.
    [[nodiscard]] bool answer_what_has_arrived() {
        std::size_t used = 0;
        const auto before = sink_.queued();
        while (phase_ == phase::serving && sink_.queued() < limits_.queued_bytes &&
               !pinned_.full()) {
            const auto outcome = parser_.parse({input_.get() + used, filled_ - used});
            if (outcome == request_parser::outcome::incomplete) {
                break;
            }
            if (outcome == request_parser::outcome::refused) {
                refuse(parser_.refusal());
                break;
            }
            const auto after = draining_ ? persistence::close : parser_.request().after;
            origin_.answer(parser_.request(), after, sink_, pinned_);
            used += parser_.size();
            parser_.next();
            has_progress_ = true;
            if (after == persistence::close) {
                phase_ = phase::finishing;
            }
        }
        if (used > 0) {
            filled_ -= used;
            std::memmove(input_.get(), input_.get() + used, filled_);
            was_served_ = true;
        }
        origin_.counters().queued_bytes.add(sink_.queued() - before);
        return sink_.queued() > 0;
    }

    void refuse(status why) {
        const auto before = sink_.queued();
        origin_.refuse(why, sink_);
        origin_.counters().queued_bytes.add(sink_.queued() - before);
        phase_ = phase::finishing;
    }

    // Returns: false when the peer is gone or has nothing more to say.
    [[nodiscard]] bool receive() {
        const received got = socket_.receive(input_.get() + filled_, capacity_ - filled_);
        origin_.counters().receive_calls.add(got.calls);
        origin_.counters().receive_slots_lacked.add(got.lacked_slot ? 1 : 0);
        filled_ += got.count;
        // What comes later makes a new event; but the peer's end may have been announced together
        // with what was read here.
        readable_ = got.ask_again || (has_ended_ && got.what == received::kind::octets);
        return got.what != received::kind::end;
    }

    // Closing with octets unread would reset the connection, and the peer might lose the response
    // that it has not yet read: say that nothing more comes, and read until the peer closes.
    [[nodiscard]] fate linger(moment now) {
        if (phase_ == phase::finishing) {
            phase_ = phase::lingering;
            readable_ = true;
            ::shutdown(fd(), SHUT_WR);
        }
        while (readable_) {
            filled_ = 0;
            if (!receive()) {
                return fate::closed;
            }
            lingered_ += filled_;
            if (lingered_ > limits_.lingering_bytes) {
                return fate::closed;
            }
        }
        return wait(now);
    }

    // Nothing has come and nothing is queued. One that drains is done when the last response has
    // left, which may be long after it was told to.
    [[nodiscard]] fate rest(moment now) {
        const fate after = wait(now);
        const bool is_idle =
            waiting_for_ == wait_kind::first_octet || waiting_for_ == wait_kind::next_request;
        return draining_ && is_idle && !socket_.has_more() ? fate::closed : after;
    }

    fate wait(moment now) {
        wait_kind kind = filled_ > 0   ? wait_kind::head
                         : was_served_ ? wait_kind::next_request
                                       : wait_kind::first_octet;
        if (is_held_) {
            kind = wait_kind::output;
        } else if (phase_ == phase::lingering) {
            kind = wait_kind::peer_closing;
        }
        if (kind != waiting_for_ || has_progress_) {
            waiting_for_ = kind;
            deadline_ = now + time_for(kind);
        }
        has_progress_ = false;
        return fate::waiting;
    }

    [[nodiscard]] moment time_for(wait_kind kind) const noexcept {
        switch (kind) {
            case wait_kind::first_octet:
            case wait_kind::head: return limits_.header;
            case wait_kind::next_request: return limits_.idle;
            case wait_kind::output: return limits_.send;
            case wait_kind::peer_closing: return limits_.linger;
        }
        return limits_.idle;
    }

    // The peer is gone. What it had not read is lost, if there was anything.
    [[nodiscard]] fate broken(bool had_output) {
        if (had_output) {
            origin_.counters().aborted.add(1);
        }
        return fate::closed;
    }

    Socket socket_;
    Origin& origin_;
    const connection_limits& limits_;
    std::size_t capacity_;
    std::size_t filled_ = 0;
    std::unique_ptr<char[]> input_;
    request_parser parser_;
    typename Origin::pin_list
        pinned_;  // destroyed after the sink, which may still refer to what is pinned
    typename Origin::sink_type sink_;
    phase phase_ = phase::serving;
    wait_kind waiting_for_ = wait_kind::first_octet;
    bool is_held_ = false;  ///< output is queued, or the kernel still refers to it
    bool readable_ = false;
    bool has_ended_ = false;  ///< the peer sends nothing more
    bool draining_ = false;
    bool was_served_ = false;
    bool has_progress_ = false;
    std::size_t lingered_ = 0;
    std::size_t in_flight_ = 0;       ///< sends that the kernel had not confirmed
    std::uint64_t copied_bytes_ = 0;  ///< what the sink said last
    std::uint64_t lent_bytes_ = 0;
    moment deadline_;
};

}  // namespace segment_server
