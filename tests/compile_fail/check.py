#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that a file compiles as it is, and with ZCPOOL_EXPECT_FAIL fails for the reason it names.

usage: check.py --include DIR --compiler CXX -- FILE | --self-test
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

EXPECTATION = re.compile(r"^// expect-error: (.+)$", re.MULTILINE)

# What the check must accept (None) or refuse, with a word of the refusal.
SELF_TEST = [
    ("accepted",
     "// expect-error: nonsense\n#ifdef ZCPOOL_EXPECT_FAIL\nnonsense x;\n#endif\n", None),
    ("compiles both ways", "// expect-error: nonsense\nint x;\n", "compiles, and should not"),
    ("fails both ways", "// expect-error: nonsense\nnonsense x;\n", "does not compile as it is"),
    ("fails for another reason",
     "// expect-error: expected_word\n#ifdef ZCPOOL_EXPECT_FAIL\nnonsense x;\n#endif\n",
     "does not say"),
    ("names no reason", "#ifdef ZCPOOL_EXPECT_FAIL\nnonsense x;\n#endif\n", "no line"),
]


def compile_file(compiler, include, source, *defines):
    command = [compiler, "-std=c++23", "-fsyntax-only", "-fdiagnostics-color=never", f"-I{include}",
               *(f"-D{define}" for define in defines), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"})
    return done.returncode == 0, done.stderr


def complaint(compiler, include, source):
    """What is wrong with the file, or None."""
    expected = EXPECTATION.search(source.read_text(encoding="utf-8"))
    if expected is None:
        return f"{source}: no line `// expect-error: REGEX`"
    compiles, output = compile_file(compiler, include, source)
    if not compiles:
        return f"{source}: does not compile as it is:\n{output}"
    compiles, output = compile_file(compiler, include, source, "ZCPOOL_EXPECT_FAIL")
    if compiles:
        return f"{source}: compiles, and should not"
    # Only what the compiler says counts: it also quotes source lines, among them the expectation.
    said = "\n".join(line for line in output.splitlines() if "error:" in line)
    if re.search(expected[1], said) is None:
        return f"{source}: the compiler does not say `{expected[1]}`:\n{output}"
    return None


def self_test(compiler, include):
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, text, word in SELF_TEST:
            source = pathlib.Path(folder, "case.cpp")
            source.write_text(text, encoding="utf-8")
            found = complaint(compiler, include, source)
            if (found is None) != (word is None) or (word is not None and word not in found):
                print(f"self-test `{name}`: {found}", file=sys.stderr)
                wrong += 1
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True)
    parser.add_argument("--compiler", required=True)
    options, rest = parser.parse_known_args()
    what = [word for word in rest if word != "--"]
    if len(what) != 1:
        parser.error("one file, or --self-test")
    if what[0] == "--self-test":
        return 1 if self_test(options.compiler, options.include) else 0
    found = complaint(options.compiler, options.include, pathlib.Path(what[0]))
    if found is not None:
        print(found, file=sys.stderr)
    return 1 if found is not None else 0


if __name__ == "__main__":
    sys.exit(main())
