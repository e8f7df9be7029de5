// SPDX-License-Identifier: MIT
#include <segment_server/origin/naive_origin.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include <segment_server/http/conditional.hpp>
#include <segment_server/http/target_path.hpp>
#include <segment_server/observe/pages.hpp>
#include <segment_server/origin/file_status.hpp>

namespace segment_server {
namespace {

// The part of a file into a block of its own.
zcpool::result<heap_block> read_part(int file, std::uint64_t offset, std::size_t length) {
    heap_block block{std::make_unique_for_overwrite<char[]>(length), length};
    std::size_t filled = 0;
    while (filled < length) {
        const ssize_t n = ::pread(file, block.bytes.get() + filled, length - filled,
                                  static_cast<off_t>(offset + filled));
        if (n < 0 && errno != EINTR) {
            return std::unexpected{std::error_code{errno, std::system_category()}};
        }
        if (n == 0) {
            return std::unexpected{std::error_code{EBUSY, std::system_category()}};
        }
        filled += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    return block;
}

}  // namespace

void naive_origin::push(std::string_view head, persistence after, std::string_view body,
                        heap_sink& out) {
    const auto part = end_.find(after);
    const std::string_view end{end_.text().data() + part.offset, part.length};
    heap_block response{
        std::make_unique_for_overwrite<char[]>(head.size() + end.size() + body.size()),
        head.size() + end.size() + body.size()};
    char* to = response.bytes.get();
    for (const std::string_view piece : {head, end, body}) {
        to = std::copy(piece.begin(), piece.end(), to);  // an empty one has no address
    }
    out.push(std::move(response));
}

void naive_origin::answer_plainly(status value, const plain_answer& answer, method how,
                                  persistence after, heap_sink& out) {
    counters_.responses[index_of(value)].add(1);
    push(answer.head, after,
         how == method::head ? std::string_view{} : std::string_view{answer.body}, out);
}

void naive_origin::refuse(status why, heap_sink& out) {
    answer_plainly(why, make_plain_answer(why), method::get, persistence::close, out);
}

void naive_origin::answer(const request& asked, persistence after, heap_sink& out, pin_list&) {
    target_path target;
    const status found = target.assign(asked.target);
    if (found != status::ok) {
        answer_plainly(found, make_plain_answer(found), asked.method, after, out);
    } else if (target.path().empty()) {
        answer_plainly(status::ok, make_index_page(report_), asked.method, after, out);
    } else if (target.path() == "metrics") {
        answer_plainly(status::ok, make_metrics_page(report_), asked.method, after, out);
    } else {
        answer_file(asked, after, out, target.c_str());
    }
}

void naive_origin::answer_file(const request& asked, persistence after, heap_sink& out,
                               const char* path) {
    const auto fail_with = [&](const std::error_code& error) {
        const status value = status_of(error);
        answer_plainly(value, make_plain_answer(value), asked.method, after, out);
    };
    auto file = root_.open_file(path);
    struct stat state{};
    if (!file || ::fstat(file->get(), &state) != 0) {
        return fail_with(file ? std::error_code{errno, std::system_category()} : file.error());
    }
    const file_version version = version_of(state);
    const std::string etag = make_etag(version, true);
    const validators present{etag, version.modified()};
    const verdict wanted = evaluate(asked, present);
    if (wanted == verdict::precondition_failed) {
        return answer_plainly(status::precondition_failed,
                              make_plain_answer(status::precondition_failed), asked.method, after,
                              out);
    }
    if (wanted == verdict::not_modified) {
        counters_.responses[index_of(status::not_modified)].add(1);
        return push(std::string{not_modified_line} + validator_fields(path, version, etag), after,
                    {}, out);
    }
    byte_range range = select_range(asked, present, version.size, end_.now());
    if (range.what == byte_range::kind::unsatisfiable) {
        return answer_plainly(status::range_not_satisfiable,
                              make_unsatisfiable_answer(version.size), asked.method, after, out);
    }
    const bool is_part = range.what == byte_range::kind::part;
    std::string head(partial_line_limit, '\0');
    if (is_part) {
        head.resize(write_partial_line(head.data(), range, version.size));
    } else {
        range = {byte_range::kind::whole, 0, version.size};
        head = ok_line(version.size);
    }
    head += content_fields(path) + validator_fields(path, version, etag);
    auto body =
        read_part(file->get(), range.offset, asked.method == method::head ? 0 : range.length);
    if (!body) {
        return fail_with(body.error());
    }
    counters_.responses[index_of(is_part ? status::partial_content : status::ok)].add(1);
    push(head, after, {body->bytes.get(), body->size}, out);
}

}  // namespace segment_server
