# SPDX-License-Identifier: MIT
"""The include suite: what it costs a user's file to include the headers.

An empty main() behind a header is compiled with -O2, in turn with one behind three headers of the
standard library. Rows are processor time of the compiler, and the size of the text that it reads.
The limit is what the header includes of the system, without a line of the library's own.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pairs

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = "<expected>, <span>, <atomic>"
# All of it, and what a file needs that does one thing.
HEADERS = {name: [f"zcpool/{name}"] for name in (
    "zcpool.hpp", "pool/pool.hpp", "chain/writer.hpp", "sink/write.hpp", "sink/automatic.hpp",
    "ipc/channel.hpp")}


def of_the_system(name):
    """Returns: the headers of others that a header of ours includes, by itself or through ours."""
    found, seen, left = {}, set(), [name]
    while left:
        text = (ROOT / "include" / "zcpool" / left.pop()).read_text(encoding="utf-8")
        for header in re.findall(r"^#include <(.*)>$", text, re.MULTILINE):
            if header.startswith("zcpool/"):
                if header not in seen:
                    seen.add(header)
                    left.append(header.removeprefix("zcpool/"))
            elif not header.startswith("valgrind/"):  # which need not be there
                found[header] = None
    return list(found)


SUBJECTS = {BASELINE: ["expected", "span", "atomic"],
            **{f"<zcpool/{name}>": files for name, files in HEADERS.items()},
            **{f"limit: what <zcpool/{name}> has of the system": of_the_system(name)
               for name in ("zcpool.hpp", "pool/pool.hpp")}}


def compile_one(compiler, headers, folder):
    """Returns: seconds of processor time, kilobytes of preprocessed text."""
    source = folder / "file.cpp"
    source.write_text("".join(f"#include <{header}>\n" for header in headers)
                      + "int main() {}\n", encoding="ascii")
    command = [compiler, "-std=c++23", "-O2", "-pthread", f"-I{ROOT / 'include'}", str(source)]
    before = os.times()
    subprocess.run([*command, "-c", "-o", str(folder / "file.o")], check=True)
    after = os.times()
    text = subprocess.run([*command, "-E", "-P"], check=True, capture_output=True).stdout
    return (after.children_user - before.children_user
            + after.children_system - before.children_system, len(text) / 1000)


def run(suite, _, wanted_runs, quick):
    """Returns: rows, and the runs behind them."""
    compiler = os.environ.get("CXX", "g++")
    found = {name: [] for name in SUBJECTS}
    with tempfile.TemporaryDirectory() as name:
        for number in range(1 if quick else wanted_runs or 15):
            print(f"\r{suite}: pass {number + 1} ", end="", file=sys.stderr, flush=True)
            for subject, headers in SUBJECTS.items():
                found[subject].append(compile_one(compiler, headers, pathlib.Path(name)))
    print(file=sys.stderr)
    rows, raw = [], []
    for subject, measures in found.items():
        if subject == BASELINE:
            continue
        for at, (work, unit) in enumerate((("compile", "s CPU"), ("preprocess", "kB"))):
            row, behind = pairs.row_of(suite, work, subject, BASELINE, unit, [
                (mine[at], other[at], []) for mine, other in zip(measures, found[BASELINE])])
            rows.append(row)
            raw.append(behind)
    return rows, raw
