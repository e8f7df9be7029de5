// SPDX-License-Identifier: MIT
#include <segment_server/origin/segment_store.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <segment_server/origin/adopt_text.hpp>
#include <segment_server/origin/read_lease.hpp>
#include <segment_server/origin/response_text.hpp>

namespace segment_server {
namespace {

constexpr int attempts_to_read = 3;
// A file that is held open for writing but has not changed for so long is taken for complete.
constexpr std::int64_t rested_ns = 10'000'000'000;

std::unexpected<std::error_code> failed_with(int code) noexcept {
    return std::unexpected{std::error_code{code, std::system_category()}};
}

std::int64_t real_time_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return to_nanoseconds(now);
}

std::int64_t coarse_time_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return to_nanoseconds(now);
}

zcpool::result<file_version> version_of_open(int file) noexcept {
    struct stat status{};
    if (::fstat(file, &status) != 0) {
        return failed_with(errno);
    }
    return version_of(status);
}

// Fills what a buffer has room for, or the rest of the file. Returns: false at an early end.
zcpool::result<bool> fill(zcpool::buffer& into, int file, std::uint64_t offset,
                          std::size_t bytes) noexcept {
    while (bytes > 0) {
        const auto room = into.space().first(bytes);
        const ssize_t n = ::pread(file, room.data(), room.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed_with(errno);
        }
        if (n == 0) {
            return false;
        }
        into.commit(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
        bytes -= static_cast<std::size_t>(n);
    }
    return true;
}

zcpool::result<cached_file_ptr> describe(std::optional<zcpool::pool_view> texts,
                                         std::string_view path, const file_version& version,
                                         bool settled, zcpool::chain body) {
    auto file = std::make_shared<cached_file>();
    file->version = version;
    file->settled = settled;
    file->seen_ns.store(coarse_time_ns(), std::memory_order_relaxed);
    file->etag = make_etag(version, settled);
    file->body = std::move(body);
    std::string head = ok_line(version.size);
    file->content_at = head.size();
    head += content_fields(path);
    file->validators_at = head.size();
    head += validator_fields(path, version, file->etag);
    auto placed = texts ? place_text(*texts, std::move(head)) : adopt_text(std::move(head));
    if (!placed) {
        return std::unexpected{placed.error()};
    }
    file->head = std::move(*placed);
    return file;
}

bool is_fresh(const cached_file_ptr& file, const file_version& version) noexcept {
    return file && file->settled && file->version == version;
}

}  // namespace

std::optional<text_pool> make_text_pool(zcpool::lending lending, std::uint32_t slots,
                                        std::chrono::milliseconds settle_time) {
    if (lending != zcpool::lending::arena) {
        return std::nullopt;
    }
    // All of it may be lent: it holds nothing else, and a smaller part would not come to an arena.
    auto made = text_pool::create({.slots = {slots},
                                   .lending = lending,
                                   .lent_budget_permille = 1000,
                                   .lent_settle_time = settle_time});
    if (!made || made->report().lending != lending) {
        return std::nullopt;
    }
    return std::move(*made);
}

zcpool::pool_options divide(std::size_t pool_bytes) noexcept {
    constexpr std::array<std::size_t, segment_classes::count> permille{40, 60, 250, 300, 350};
    constexpr std::size_t most_slots = std::size_t{1} << 20;
    zcpool::pool_options options;
    for (std::size_t i = 0; i < segment_classes::count; ++i) {
        const std::size_t slots = pool_bytes / 1000 * permille[i] / segment_classes::bytes[i];
        options.slots[i] =
            static_cast<std::uint32_t>(std::clamp<std::size_t>(slots, 1, most_slots));
    }
    return options;
}

zcpool::result<cached_file_ptr> segment_store::get(const target_path& path,
                                                   worker_counters& counters) {
    const bool believes = recheck_.count() != 0;
    const auto now_ns = believes ? coarse_time_ns() : 0;
    if (believes) {
        auto file = cache_.find(path.path());
        // relaxed: a time alone.
        if (file && file->settled &&
            now_ns - file->seen_ns.load(std::memory_order_relaxed) <
                std::chrono::nanoseconds{recheck_}.count()) {
            counters.cache_hits.add(1);
            return file;
        }
    }
    const auto seen = root_.version(path.c_str());
    if (!seen) {
        cache_.erase(path.path());
        return std::unexpected{seen.error()};
    }
    if (auto file = cache_.find(path.path()); is_fresh(file, *seen)) {
        counters.cache_hits.add(1);
        // relaxed: a time alone.
        file->seen_ns.store(now_ns, std::memory_order_relaxed);
        return file;
    }
    counters.cache_misses.add(1);
    const std::lock_guard lock{loading_};
    // Somebody may have read it while we waited, and the file may have changed again.
    const auto now = root_.version(path.c_str());
    if (auto file = cache_.find(path.path()); now && is_fresh(file, *now)) {
        return file;
    }
    return load(path);
}

zcpool::result<cached_file_ptr> segment_store::load(const target_path& path) {
    zcpool::result<cached_file_ptr> file = failed_with(EBUSY);
    for (int attempt = 0; attempt < attempts_to_read; ++attempt) {
        file = try_to_read(path);
        if (file) {
            cache_.insert(path.path(), *file);
            return file;
        }
        if (file.error() != std::error_code{EBUSY, std::system_category()}) {
            return file;
        }
    }
    // Being written: what it was before is whole, and true until the writer is done.
    if (auto former = cache_.find(path.path())) {
        return former;
    }
    return file;
}

zcpool::result<cached_file_ptr> segment_store::try_to_read(const target_path& path) {
    auto file = root_.open_file(path.c_str());
    if (!file) {
        return std::unexpected{file.error()};
    }
    const std::int64_t now = real_time_ns();
    const read_lease lease{file->get()};
    const auto before = version_of_open(file->get());
    if (!before) {
        return std::unexpected{before.error()};
    }
    if (lease.has_writer() && now - std::max(before->modified_ns, before->changed_ns) < rested_ns) {
        return failed_with(EBUSY);
    }
    auto body = read_body(file->get(), before->size);
    if (!body) {
        return std::unexpected{body.error()};
    }
    const auto after = version_of_open(file->get());
    if (!after || *after != *before) {
        return failed_with(EBUSY);
    }
    return describe(texts_, path.path(), *before, is_settled(*before, now), std::move(*body));
}

zcpool::result<zcpool::chain> segment_store::read_body(int file, std::uint64_t size) {
    if (size > pool_.report().data_bytes) {
        return zcpool::fail(zcpool::errc::too_large);
    }
    zcpool::chain body;
    while (body.size() < size) {
        const auto rest = static_cast<std::size_t>(size - body.size());
        zcpool::buffer part = room_for(rest);
        if (!part) {
            return zcpool::fail(zcpool::errc::exhausted);
        }
        const auto filled = fill(part, file, body.size(), std::min(rest, part.capacity()));
        if (!filled) {
            return std::unexpected{filled.error()};
        }
        if (!*filled) {
            return failed_with(EBUSY);  // It has become shorter.
        }
        if (!body.append(std::move(part).freeze())) {
            return zcpool::fail(zcpool::errc::out_of_memory);
        }
    }
    return body;
}

zcpool::buffer segment_store::room_for(std::size_t bytes) {
    const std::size_t wanted = std::min(bytes, pool_.largest());
    do {
        // The slot that fits, or one of a smaller class, down to a sixteenth: a chain of 16 is
        // still a short one, and the pool is used to the end before anything is given up.
        for (const std::size_t parts : {1U, 4U, 16U}) {
            if (auto room = pool_.try_acquire((wanted + parts - 1) / parts)) {
                return room;
            }
        }
    } while (cache_.evict_one());
    return {};
}

}  // namespace segment_server
