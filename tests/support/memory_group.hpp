// SPDX-License-Identifier: MIT
#pragma once

// How much memory this process and the kernel on its behalf have taken since a moment, whatever
// else the machine does: a control group of its own counts it, also pages that are in no mapping
// and in no file any more.

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace zcpool_test {

/// A control group for memory, of either version, with this process in it while it lives. What was
/// taken before stays with the group before.
class memory_group {
public:
    memory_group() {
        std::ifstream groups{"/proc/self/cgroup"};
        for (std::string line; std::getline(groups, line) && !was_granted();) {
            // "4:memory:/path" is version 1, "0::/path" version 2.
            const auto second = line.find(':', line.find(':') + 1);
            const std::string controllers = line.substr(0, second);
            const std::string path = line.substr(second + 1);
            if (controllers.ends_with(":memory")) {
                enter("/sys/fs/cgroup/memory" + path, "/memory.usage_in_bytes");
            } else if (controllers == "0:") {
                enter("/sys/fs/cgroup" + path, "/memory.current");
            }
        }
    }
    memory_group(const memory_group&) = delete;
    memory_group& operator=(const memory_group&) = delete;
    ~memory_group() {
        if (was_granted()) {
            join(parent_);
            ::rmdir(own_.c_str());
        }
    }

    [[nodiscard]] bool was_granted() const noexcept { return !usage_.empty(); }

    /// Bytes that the group has; 0 where there is none.
    [[nodiscard]] long bytes() const {
        long counted = 0;
        std::ifstream{usage_} >> counted;
        return counted;
    }

private:
    void enter(const std::string& parent, const char* usage) {
        own_ = parent + (parent.ends_with('/') ? "" : "/") + "zcpool-" + std::to_string(::getpid());
        if (::mkdir(own_.c_str(), 0700) != 0) {
            return;
        }
        long counted = -1;
        std::ifstream{own_ + usage} >> counted;
        if (counted < 0 || !join(own_)) {
            ::rmdir(own_.c_str());
            return;
        }
        parent_ = parent;
        usage_ = own_ + usage;
    }
    static bool join(const std::string& group) {
        std::ofstream members{group + "/cgroup.procs"};
        members << ::getpid() << std::flush;
        return members.good();
    }

    std::string parent_;
    std::string own_;
    std::string usage_;
};

}  // namespace zcpool_test
