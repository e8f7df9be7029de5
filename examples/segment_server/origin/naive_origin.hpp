// SPDX-License-Identifier: MIT
#pragma once

// The baseline: what a server looks like before anybody has looked at its profile. A response opens
// its file, reads it into a buffer that was just allocated, copies head and body into another one,
// sends that and frees both. Same protocol, same event loop; only memory is handled differently.

#include <string_view>

#include <zcpool/base/result.hpp>

#include <segment_server/http/request.hpp>
#include <segment_server/http/status.hpp>
#include <segment_server/observe/counters.hpp>
#include <segment_server/observe/report.hpp>
#include <segment_server/origin/heap_sink.hpp>
#include <segment_server/origin/response_text.hpp>
#include <segment_server/origin/root_directory.hpp>

namespace segment_server {

/// Answers requests from files, each time anew.
class naive_origin {
public:
    using sink_type = heap_sink;

    /// Nothing is pinned: a response owns its memory.
    struct pin_list {
        void clear() noexcept {}
        [[nodiscard]] bool full() const noexcept { return false; }
    };

    naive_origin(const root_directory& root, worker_counters& counters, const server_report& report)
        : root_(root), counters_(counters), report_(report) {}

    [[nodiscard]] heap_sink make_sink(int socket) const noexcept { return heap_sink{socket}; }

    void answer(const request& asked, persistence after, heap_sink& out, pin_list& pinned);
    void refuse(status why, heap_sink& out);
    void set_date(std::time_t now) { end_.update(now); }
    [[nodiscard]] worker_counters& counters() noexcept { return counters_; }

private:
    void answer_file(const request& asked, persistence after, heap_sink& out, const char* path);
    void answer_plainly(status value, const plain_answer& answer, method how, persistence after,
                        heap_sink& out);
    void push(std::string_view head, persistence after, std::string_view body, heap_sink& out);

    const root_directory& root_;
    worker_counters& counters_;
    const server_report& report_;
    head_end end_;
};

}  // namespace segment_server
