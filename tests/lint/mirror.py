# SPDX-License-Identifier: MIT
"""Each header has a test of its name, which includes it; each test case is in a group that runs."""

import re

import lint

EXCEPTIONS = {"version.hpp", "zcpool.hpp"}
CASE = re.compile(r'^\s*(?:TEMPLATE_\w*|)TEST_CASE\w*\(((?:[^"()]|"(?:[^"\\]|\\.)*"|\([^()]*\))*)',
                  re.MULTILINE)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
# Hidden groups that have a ctest case of their own; see tests/CMakeLists.txt.
HIDDEN = ("[.veth]", "[.memlock]", "[.stress]", "[.zerocopy]")


def groups(path, group, hidden_groups=HIDDEN):
    """A complaint for each test case of a file that no ctest case selects."""
    text = lint.read(path)
    for match in CASE.finditer(text):
        strings = STRING.findall(match[1])
        # Adjacent string literals are one; what holds the tags is the part from the first bracket.
        tags = "".join(strings[1:])
        hidden = any(tag in tags for tag in hidden_groups)
        if hidden or (f"[{group}]" in tags and "[." not in tags and "[!" not in tags):
            continue
        line = text.count("\n", 0, match.end(0)) + 1
        name = strings[0] if strings else "?"
        yield f"{path}:{line}: `{name}` is in no group that runs: [{group}] or a hidden tag"


def check(root):
    wrong = []
    for path, relative in lint.headers(root):
        if str(relative) in EXCEPTIONS:
            continue
        test = root / "tests" / relative.with_suffix(".test.cpp")
        if not test.is_file():
            wrong.append(f"{path}: no test {test.relative_to(root)}")
        elif f"#include <zcpool/{relative}>" not in lint.read(test):
            wrong.append(f"{test}: does not include <zcpool/{relative}>")
    for folder in sorted({relative.parts[0] for _, relative in lint.headers(root)
                          if len(relative.parts) > 1}):
        for test in sorted((root / "tests" / folder).glob("*.test.cpp")):
            wrong += groups(test, folder)
    # These binaries have a ctest case a file, with the file's name for a tag.
    for folder in ("stress", "process"):
        for test in sorted((root / "tests" / folder).glob("*.test.cpp")):
            wrong += groups(test, test.name.removesuffix(".test.cpp"), hidden_groups=())
    return wrong


HEADER = "include/zcpool/base/a.hpp"
TEST = "tests/base/a.test.cpp"
INCLUDES = "#include <zcpool/base/a.hpp>\n"

CASES = [
    ("mirrored", {HEADER: "", "include/zcpool/zcpool.hpp": "",
                  TEST: INCLUDES + 'TEST_CASE("a: \\"b\\" (c)", "[base]") {}\n'
                                 + 'TEST_CASE("a: over "\n    "two lines", "[base][.stress]") {}\n'
                                 + 'TEMPLATE_TEST_CASE("a: t", "[base]", int, (x<int>)) {}\n'},
     None),
    ("no test", {HEADER: ""}, "no test tests/base/a.test.cpp"),
    ("a test of something else", {HEADER: "", TEST: ""}, "does not include"),
    ("no tag", {HEADER: "", TEST: INCLUDES + 'TEST_CASE("a: b") {}\n'}, "no group"),
    ("a process test with the tag of another",
     {HEADER: "", TEST: INCLUDES,
      "tests/process/kills.test.cpp": 'TEST_CASE("kills: b", "[stops]") {}\n'}, "no group"),
    ("the tag of another", {HEADER: "", TEST: INCLUDES + 'TEST_CASE("a: b", "[sys]") {}\n'},
     "no group"),
    ("a hidden tag that nobody runs",
     {HEADER: "", TEST: INCLUDES + 'TEST_CASE("a: b", "[base][.slow]") {}\n'}, "no group"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
