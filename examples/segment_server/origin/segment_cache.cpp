// SPDX-License-Identifier: MIT
#include <segment_server/origin/segment_cache.hpp>

#include <iterator>
#include <utility>

namespace segment_server {

cached_file_ptr segment_cache::find(std::string_view path) {
    const std::lock_guard lock{mutex_};
    const auto found = index_.find(path);
    if (found == index_.end()) {
        return nullptr;
    }
    nodes_.splice(nodes_.begin(), nodes_, found->second);
    return found->second->file;
}

cached_file_ptr segment_cache::take_out(position where) {
    stats_.bytes -= where->file->body.size();
    cached_file_ptr file = std::move(where->file);
    index_.erase(where->path);
    nodes_.erase(where);
    return file;
}

void segment_cache::insert(std::string_view path, cached_file_ptr file) {
    cached_file_ptr former;  // Freed after the lock.
    const std::lock_guard lock{mutex_};
    if (const auto found = index_.find(path); found != index_.end()) {
        former = take_out(found->second);
    } else if (nodes_.size() == most_files) {
        former = take_out(std::prev(nodes_.end()));
    }
    stats_.bytes += file->body.size();
    nodes_.push_front({std::string{path}, std::move(file)});
    index_.emplace(nodes_.front().path, nodes_.begin());
}

void segment_cache::erase(std::string_view path) {
    cached_file_ptr former;
    const std::lock_guard lock{mutex_};
    if (const auto found = index_.find(path); found != index_.end()) {
        former = take_out(found->second);
    }
}

bool segment_cache::evict_one() {
    cached_file_ptr former;
    const std::lock_guard lock{mutex_};
    for (auto each = nodes_.end(); each != nodes_.begin();) {
        --each;
        // References are only made under the mutex, so a sole one stays sole.
        if (each->file.use_count() == 1) {
            former = take_out(each);
            ++stats_.evictions;
            return true;
        }
    }
    return false;
}

cache_stats segment_cache::stats() const {
    const std::lock_guard lock{mutex_};
    cache_stats now = stats_;
    now.files = nodes_.size();
    return now;
}

}  // namespace segment_server
