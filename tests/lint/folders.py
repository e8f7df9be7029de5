# SPDX-License-Identifier: MIT
"""Each folder of the library has a README.md with a line for each header, and for no other.

Those of tests/ and examples/ name every folder in them, and no other.
"""

import re

import lint

NAME = re.compile(r"(?<![\w/.-])([a-z0-9_]+\.hpp)\b")

FOLDER = re.compile(r"`([a-z0-9_]+)/`")


def folders_named(root, parent):
    readme = root / parent / "README.md"
    if not readme.is_file():
        yield f"{readme}: missing"
        return
    named = set(FOLDER.findall(lint.read(readme)))
    there = {path.name for path in readme.parent.iterdir()
             if path.is_dir() and not path.name.startswith(("_", "."))}
    yield from (f"{readme}: no line for {name}/" for name in sorted(there - named))
    # Others are named from the top: `examples/`.
    yield from (f"{readme}: names {name}/, which does not exist"
                for name in sorted(named - there) if not (root / name).is_dir())


def check(root):
    wrong = []
    library = root / "include" / "zcpool"
    everywhere = {path.name for path, _ in lint.headers(root)}
    for folder in sorted(path for path in library.iterdir() if path.is_dir()):
        readme = folder / "README.md"
        if not readme.is_file():
            wrong.append(f"{readme}: missing")
            continue
        named = set(NAME.findall(lint.read(readme)))
        for header in sorted(path.name for path in folder.glob("*.hpp")):
            if header not in named:
                wrong.append(f"{readme}: no line for {header}")
        for name in sorted(named - everywhere):
            wrong.append(f"{readme}: names {name}, which does not exist")
    for parent in ("tests", "examples"):
        if (root / parent).is_dir():
            wrong += folders_named(root, parent)
    return wrong


HEADER = "include/zcpool/base/a.hpp"
README = "include/zcpool/base/README.md"

CASES = [
    ("in order", {HEADER: "", README: "| `a.hpp` | what it is |\n"}, None),
    ("no README", {HEADER: ""}, "missing"),
    ("no line", {HEADER: "", README: "# base\n\ndata.hpp is another\n"}, "no line for a.hpp"),
    ("folders in order", {HEADER: "", README: "`a.hpp`", "tests/b/c.cpp": "",
                          "tests/README.md": "| `b/` |, for `include/`"}, None),
    ("a folder without a line", {HEADER: "", README: "`a.hpp`", "tests/b/c.cpp": "",
                                 "tests/README.md": "b"}, "no line for b/"),
    ("a folder that is gone", {HEADER: "", README: "`a.hpp`", "tests/b/c.cpp": "",
                               "tests/README.md": "`b/` `d/`"}, "names d/"),
    ("tests without README", {HEADER: "", README: "`a.hpp`", "tests/b/c.cpp": ""}, "missing"),
    ("a header that is gone", {HEADER: "", README: "- `a.hpp`\n- `b.hpp`\n"}, "does not exist"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
