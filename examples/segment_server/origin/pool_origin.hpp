// SPDX-License-Identifier: MIT
#pragma once

// Answers out of the pool: a response is a few slices that exist already, pushed into the sink in
// order. A hit allocates nothing and copies nothing; what has to be written for one response only
// (the head of a part) is written into a slot.

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <zcpool/chain/slice.hpp>
#include <zcpool/chain/writer.hpp>
#include <zcpool/pool/pool.hpp>
#include <zcpool/sink/sink.hpp>

#include <segment_server/http/conditional.hpp>
#include <segment_server/http/request.hpp>
#include <segment_server/http/status.hpp>
#include <segment_server/http/target_path.hpp>
#include <segment_server/observe/counters.hpp>
#include <segment_server/observe/pages.hpp>
#include <segment_server/origin/adopt_text.hpp>
#include <segment_server/origin/cached_file.hpp>
#include <segment_server/origin/file_status.hpp>
#include <segment_server/origin/response_text.hpp>
#include <segment_server/origin/segment_store.hpp>
#include <segment_server/sinks.hpp>

namespace segment_server {

/// The origin of one event loop; the store behind it is common to all.
template <class Sink>
    requires zcpool::chain_sink<Sink>
class pool_origin {
public:
    using sink_type = Sink;

    /// The files that a connection's queue refers to, so that none of them is evicted: it would
    /// free nothing.
    class pin_list {
    public:
        void clear() noexcept {
            while (count_ > 0) {
                files_[--count_].reset();
            }
        }
        [[nodiscard]] bool full() const noexcept { return count_ == files_.size(); }
        /// Expects: not full.
        void add(cached_file_ptr file) noexcept { files_[count_++] = std::move(file); }

    private:
        std::array<cached_file_ptr, 16> files_;
        std::size_t count_ = 0;
    };

    pool_origin(segment_store& store, worker_counters& counters, const server_report& report,
                sink_maker<Sink> new_sink)
        : store_(store),
          counters_(counters),
          report_(report),
          new_sink_(std::move(new_sink)),
          not_modified_(must_adopt(not_modified_line)),
          dates_(make_text_pool(store.pool().report().lending, date_slots,
                                std::chrono::milliseconds{0})) {
        for (const auto& row : status_table) {
            plain_[index_of(row.value)] = adopt(make_plain_answer(row.value));
        }
    }

    [[nodiscard]] Sink make_sink(int socket) const noexcept { return new_sink_(socket); }
    /// `place`: of the socket among the registered files of the sink's ring; below 0: none.
    [[nodiscard]] Sink make_sink(int socket, int place) const noexcept
        requires std::invocable<const sink_maker<Sink>&, int, int>
    {
        return new_sink_(socket, place);
    }
    /// What sinks have in common.
    [[nodiscard]] const sink_maker<Sink>& sinks() const noexcept { return new_sink_; }

    void answer(const request& asked, persistence after, Sink& out, pin_list& pinned) {
        target_path target;
        const status found = target.assign(asked.target);
        if (found != status::ok) {
            say(found, asked.method, after, out);
        } else if (target.path().empty()) {
            push_page(make_index_page(report_), status::ok, asked.method, after, out);
        } else if (target.path() == "metrics") {
            push_page(make_metrics_page(report_), status::ok, asked.method, after, out);
        } else if (auto file = store_.get(target, counters_)) {
            answer_file(asked, after, **file, out);
            pinned.add(std::move(*file));
        } else {
            say(status_of(file.error()), asked.method, after, out);
        }
    }

    /// Says why a request is not answered, and that the connection ends.
    void refuse(status why, Sink& out) { say(why, method::get, persistence::close, out); }

    /// Tells the time, once a turn of the event loop.
    void set_date(std::time_t now) {
        if (end_.update(now)) {
            if (auto fresh = dates_ ? place_text(*dates_, end_.text()) : adopt_text(end_.text())) {
                end_slice_ = std::move(*fresh);
            }
        }
    }

    [[nodiscard]] worker_counters& counters() noexcept { return counters_; }

private:
    // A slot each second, of two arenas: one is renewed while the other is in use.
    static constexpr std::uint32_t date_slots = 1024;

    struct plain_slices {
        zcpool::slice head;
        zcpool::slice body;
    };

    // Only at the start, where no memory means no server.
    static zcpool::slice must_adopt(std::string_view text) {
        return adopt_text(std::string{text}).value();
    }

    static plain_slices adopt(const plain_answer& answer) {
        return {must_adopt(answer.head), must_adopt(answer.body)};
    }

    void answer_file(const request& asked, persistence after, const cached_file& file, Sink& out) {
        switch (evaluate(asked, file.present())) {
            case verdict::precondition_failed:
                return say(status::precondition_failed, asked.method, after, out);
            case verdict::not_modified:
                count(status::not_modified);
                out.push(zcpool::slice{not_modified_});
                out.push(file.head.subslice(file.validators_at));
                return push_end(after, out);
            case verdict::send: break;
        }
        const auto range = select_range(asked, file.present(), file.version.size, end_.now());
        switch (range.what) {
            case byte_range::kind::whole: return send_whole(asked.method, after, file, out);
            case byte_range::kind::part: return send_part(range, after, file, out);
            case byte_range::kind::unsatisfiable:
                return push_page(make_unsatisfiable_answer(file.version.size),
                                 status::range_not_satisfiable, asked.method, after, out);
        }
    }

    void send_whole(method how, persistence after, const cached_file& file, Sink& out) {
        count(status::ok);
        out.push(zcpool::slice{file.head});
        push_end(after, out);
        if (how == method::get) {
            push_body(file.body, 0, file.body.size(), out);
        }
    }

    void send_part(const byte_range& range, persistence after, const cached_file& file, Sink& out) {
        zcpool::writer line{store_.pool(), 1};
        const auto room = line.space(partial_line_limit);
        if (room.empty()) {
            return say(status::unavailable, method::get, after, out);
        }
        line.commit(
            write_partial_line(reinterpret_cast<char*>(room.data()), range, file.version.size));
        count(status::partial_content);
        out.push(line.finish());
        out.push(file.head.subslice(file.content_at));
        push_end(after, out);
        push_body(file.body, static_cast<std::size_t>(range.offset),
                  static_cast<std::size_t>(range.length), out);
    }

    // Slice by slice: a chain of its own would need memory for more slices than fit into it.
    static void push_body(const zcpool::chain& body, std::size_t offset, std::size_t length,
                          Sink& out) {
        for (const zcpool::slice& each : body.slices()) {
            if (length == 0) {
                break;
            }
            if (offset >= each.size()) {
                offset -= each.size();
                continue;
            }
            zcpool::slice part = each.subslice(std::exchange(offset, 0), length);
            length -= part.size();
            out.push(std::move(part));
        }
    }

    void push_end(persistence after, Sink& out) {
        const auto part = end_.find(after);
        out.push(end_slice_.subslice(part.offset, part.length));
    }

    void say(status value, method how, persistence after, Sink& out) {
        count(value);
        push_plain(plain_[index_of(value)], how, after, out);
    }

    void push_page(const plain_answer& page, status value, method how, persistence after,
                   Sink& out) {
        auto head = adopt_text(page.head);
        auto body = adopt_text(page.body);
        if (!head || !body) {
            return say(status::unavailable, how, after, out);
        }
        count(value);
        push_plain({std::move(*head), std::move(*body)}, how, after, out);
    }

    void push_plain(const plain_slices& answer, method how, persistence after, Sink& out) {
        out.push(zcpool::slice{answer.head});
        push_end(after, out);
        if (how == method::get) {
            out.push(zcpool::slice{answer.body});
        }
    }

    void count(status value) noexcept { counters_.responses[index_of(value)].add(1); }

    segment_store& store_;
    worker_counters& counters_;
    const server_report& report_;
    sink_maker<Sink> new_sink_;
    zcpool::slice not_modified_;
    std::array<plain_slices, status_count> plain_;
    head_end end_;
    zcpool::slice end_slice_;
    std::optional<text_pool> dates_;
};

}  // namespace segment_server
