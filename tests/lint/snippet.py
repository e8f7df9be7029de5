# SPDX-License-Identifier: MIT
"""The first C++ example of README.md is the marked part of examples/readme.cpp, which is run."""

import re
import textwrap

import lint

BLOCK = re.compile(r"^```cpp\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"^[ \t]*// \[readme\]\n(.*?)^[ \t]*// \[/readme\]", re.MULTILINE | re.DOTALL)


def check(root):
    readme, example = root / "README.md", root / "examples" / "readme.cpp"
    for path in (readme, example):
        if not path.is_file():
            return [f"{path}: missing"]
    shown, marked = BLOCK.search(lint.read(readme)), MARKED.search(lint.read(example))
    if shown is None:
        return [f"{readme}: no ```cpp block"]
    if marked is None:
        return [f"{example}: nothing between `// [readme]` and `// [/readme]`"]
    # The marked part may stand inside a function; the README shows it without that indentation.
    if shown[1] != textwrap.dedent(marked[1]):
        return [f"{readme}: the first ```cpp block is not what {example} has between its marks"]
    return []


EXAMPLE = "int main() {\n    // [readme]\n    a();\n\n        b();\n    // [/readme]\n}\n"

CASES = [
    ("equal", {"README.md": "x\n```cpp\na();\n\n    b();\n```\n```cpp\nc\n```\n",
               "examples/readme.cpp": EXAMPLE}, None),
    ("different", {"README.md": "```cpp\na();\n```\n", "examples/readme.cpp": EXAMPLE}, "is not"),
    ("no block", {"README.md": "```sh\na();\n```\n", "examples/readme.cpp": EXAMPLE}, "no ```cpp"),
    ("no marks", {"README.md": "```cpp\na();\n```\n", "examples/readme.cpp": "a();\n"}, "nothing"),
    ("no example", {"README.md": "```cpp\na();\n```\n"}, "missing"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
