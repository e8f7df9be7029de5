# SPDX-License-Identifier: MIT
"""A header includes its own layer and lower ones, by full path; and the shape of source files."""

import pathlib
import re

import lint

# Folders of one layer do not include each other.
LAYER = {
    "base": 0,
    "sys": 1, "ring": 1,
    "pool": 2,
    "chain": 3,
    "sink": 4, "source": 4, "ipc": 4, "overload": 4, "observe": 4,
    "adapt": 5, "http2": 5,
}
# Headers outside the layers: the version may be included by all, the umbrella by none.
TOP = {"version.hpp": True, "zcpool.hpp": False}

SPDX = "SPDX-License-Identifier: MIT"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COLUMNS = 100
HEADER_LINES = 350
SOURCES = ("*.hpp", "*.cpp", "*.py", "*.sh", "*.cmake", "CMakeLists.txt")
FOLDERS = ("include", "tests", "benchmarks", "examples", "cmake")


def includes(root, path, relative):
    for form, name in INCLUDE.findall(lint.read(path)):
        if form == '"':
            yield f'{path}: #include "{name}": own headers are included as <zcpool/...>'
            continue
        if not name.startswith("zcpool/"):
            continue
        if not (root / "include" / name).is_file():
            yield f"{path}: <{name}> does not exist"
            continue
        target = pathlib.PurePath(name).relative_to("zcpool")
        if len(target.parts) == 1:
            allowed = TOP.get(name.removeprefix("zcpool/"), False) or len(relative.parts) == 1
        elif len(relative.parts) == 1:
            allowed = True  # the umbrella
        else:
            own, other = relative.parts[0], target.parts[0]
            allowed = own == other or LAYER[other] < LAYER[own]
        if not allowed:
            yield f"{path}: includes <{name}>, which is not in a lower layer"


def shape(path, header):
    lines = lint.read(path).splitlines()
    # A script's first line may be its interpreter.
    head = [line for line in lines[:2] if not line.startswith("#!")]
    if not head or SPDX not in head[0]:
        yield f"{path}:1: the first line is not `{SPDX}`"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, more than {COLUMNS}"
    if header:
        if "#pragma once" not in lines:
            yield f"{path}: no #pragma once"
        if len(lines) > HEADER_LINES:
            yield f"{path}: {len(lines)} lines, more than {HEADER_LINES}: more than one concept?"


def check(root):
    wrong = []
    for path, relative in lint.headers(root):
        folder = relative.parts[0]
        if len(relative.parts) == 1:
            if folder not in TOP:
                wrong.append(f"{path}: not in the folder of a layer")
                continue
        elif folder not in LAYER:
            wrong.append(f"{path}: `{folder}` is not a layer")
            continue
        wrong += includes(root, path, relative)
    for folder in FOLDERS:
        for pattern in SOURCES:
            for path in sorted((root / folder).rglob(pattern)):
                wrong += shape(path, folder == "include")
    return wrong


HEAD = f"// {SPDX}\n#pragma once\n"
BASE = {"include/zcpool/base/a.hpp": HEAD, "include/zcpool/version.hpp": HEAD}


def case(name, path, text, word):
    return (name, BASE | {path: text}, word)


CASES = [
    ("a tree in order", BASE | {
        "include/zcpool/pool/p.hpp": HEAD + "#include <zcpool/base/a.hpp>\n#include <vector>\n",
        "include/zcpool/zcpool.hpp": HEAD + "#include <zcpool/pool/p.hpp>\n",
        "include/zcpool/base/b.hpp": HEAD + "#include <zcpool/base/a.hpp>\n"
                                          + "#include <zcpool/version.hpp>\n",
        "cmake/s.sh": f"#!/bin/sh\n# {SPDX}\n",
    }, None),
    ("upwards", BASE | {
        "include/zcpool/pool/p.hpp": HEAD,
        "include/zcpool/base/b.hpp": HEAD + "#include <zcpool/pool/p.hpp>\n",
    }, "not in a lower layer"),
    ("sideways", BASE | {
        "include/zcpool/sys/s.hpp": HEAD,
        "include/zcpool/ring/r.hpp": HEAD + "#  include <zcpool/sys/s.hpp>\n",
    }, "not in a lower layer"),
    ("the umbrella from inside", BASE | {
        "include/zcpool/zcpool.hpp": HEAD,
        "include/zcpool/pool/p.hpp": HEAD + "#include <zcpool/zcpool.hpp>\n",
    }, "not in a lower layer"),
    case("short path", "include/zcpool/base/b.hpp", HEAD + '#include "a.hpp"\n', "own headers"),
    case("absent", "include/zcpool/base/b.hpp", HEAD + "#include <zcpool/base/c.hpp>\n",
         "not exist"),
    case("no layer", "include/zcpool/misc/b.hpp", HEAD, "not a layer"),
    case("no folder", "include/zcpool/b.hpp", HEAD, "not in the folder"),
    case("no licence", "include/zcpool/base/b.hpp", "#pragma once\n", "first line"),
    case("no guard", "include/zcpool/base/b.hpp", f"// {SPDX}\n", "no #pragma once"),
    case("wide", "tests/x.cpp", f"// {SPDX}\n//{'x' * 99}\n", "101 columns"),
    case("long", "include/zcpool/base/b.hpp", HEAD + "//\n" * 349, "351 lines"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
