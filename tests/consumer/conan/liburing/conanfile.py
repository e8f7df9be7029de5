# SPDX-License-Identifier: MIT
"""The system's liburing under the name that Conan's own recipe has, so that the option of zcpool
can be tried where no remote can be reached."""

from conan import ConanFile


class SystemLiburing(ConanFile):
    name = "liburing"
    version = "2.3"
    package_type = "shared-library"
    settings = "os", "arch", "compiler", "build_type"

    def package_info(self):
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.system_libs = ["uring"]
        self.cpp_info.set_property("cmake_target_name", "liburing::liburing")
