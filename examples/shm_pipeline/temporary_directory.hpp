// SPDX-License-Identifier: MIT
#pragma once

// Where the socket lies when nobody has said where.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace shm_pipeline {

/// A directory of its own for the socket, gone at the end.
class temporary_directory {
public:
    temporary_directory() {
        std::string name =
            (std::filesystem::temp_directory_path() / "shm_pipeline.XXXXXX").string();
        if (::mkdtemp(name.data()) != nullptr) {
            path_ = name;
        }
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        if (!path_.empty()) {
            ::rmdir(path_.c_str());
        }
    }
    [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

}  // namespace shm_pipeline
