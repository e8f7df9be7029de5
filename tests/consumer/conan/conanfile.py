# SPDX-License-Identifier: MIT
"""Conan's test package: builds the consumer against the package that was just made, and runs it."""

import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout


class Consumer(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeDeps"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        zcpool = self.dependencies["zcpool"]
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        toolchain.cache_variables["EXPECTED_VERSION"] = str(zcpool.ref.version)
        # What is asked of find_package() must be there, and not by chance.
        toolchain.cache_variables["WITH_URING"] = bool(zcpool.options.uring)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def test(self):
        if can_run(self):
            for program in ("consumer", "consumer_uring"):
                path = os.path.join(self.cpp.build.bindir, program)
                if program == "consumer" or os.path.exists(path):
                    self.run(path, env="conanrun")
