# SPDX-License-Identifier: MIT
"""The recipe for Conan 2: `conan create . -s compiler.cppstd=23`. Its targets have the names of our
own CMake package, so that a consumer's CMakeLists.txt does not know where zcpool came from."""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.scm import Version

required_conan_version = ">=2.0"


class Zcpool(ConanFile):
    name = "zcpool"
    description = "Size-class pool of page-aligned, shareable buffers that move without copying"
    license = "MIT"
    topics = ("memory-pool", "zero-copy", "shared-memory", "io-uring", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    # One option for each component, with the same name.
    options = {"asio": [True, False], "fmt": [True, False], "uring": [True, False]}
    default_options = {"asio": False, "fmt": False, "uring": False}
    exports_sources = "include/*.hpp", "LICENSE"
    no_copy_source = True
    test_package_folder = "tests/consumer/conan"

    # The first of each that compiles the library.
    oldest_compilers = {"gcc": "12", "clang": "19"}
    # What each component takes from another package: the package, and its part.
    component_packages = {"asio": ("asio/[>=1.22 <2]", "asio::asio"),
                          "fmt": ("fmt/[>=9]", "fmt::fmt"),
                          "uring": ("liburing/[>=2.3 <3]", "liburing::liburing")}

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "include/zcpool/version.hpp"))
        self.version = ".".join(
            re.search(rf"define ZCPOOL_VERSION_{part} (\d+)", header)[1]
            for part in ("MAJOR", "MINOR", "PATCH"))

    def requirements(self):
        for option, (package, _) in self.component_packages.items():
            if self.options.get_safe(option):
                self.requires(package, transitive_headers=True)

    def package_id(self):
        # The same headers for everybody, whatever they are used with.
        self.info.clear()

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("zcpool needs Linux: memfd, sealing, sendfile and futex")
        oldest = self.oldest_compilers.get(str(self.settings.compiler))
        if oldest and Version(self.settings.compiler.version) < oldest:
            raise ConanInvalidConfiguration(
                f"zcpool needs {self.settings.compiler} {oldest} or later")
        check_min_cppstd(self, 23)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"),
             os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "zcpool")
        # Conan wants a target for all components together, which nobody needs to link.
        self.cpp_info.set_property("cmake_target_name", "zcpool::all_components")
        core = self.cpp_info.components["zcpool"]
        core.set_property("cmake_target_name", "zcpool::zcpool")
        core.set_property("pkg_config_name", "zcpool")
        core.system_libs = ["pthread"]
        core.bindirs = []
        core.libdirs = []
        for option, (_, part) in self.component_packages.items():
            if self.options.get_safe(option):
                component = self.cpp_info.components[option]
                component.set_property("cmake_target_name", f"zcpool::{option}")
                component.set_property("pkg_config_name", f"zcpool-{option}")
                component.requires = ["zcpool", part]
                component.bindirs = []
                component.libdirs = []
